//! What the verdict says: ranked causes, why not the second, evidence, path, and how to check all of it.
use super::section;
use crate::client::shape::{Shape, against_onset, percent, shortened, time_of_day};
use crate::render::{Paint, bar};

/// Places of a bar.
const BAR: usize = 20;

/// Causes, why not the runner-up, evidence and path of the first; empty without a verdict.
pub(super) fn sections(incident: Shape<'_>, paint: Paint) -> [String; 4] {
    let verdict = incident.at("verdict");
    let causes: Vec<Shape<'_>> = verdict.at("causes").list().collect();
    let Some(&first) = causes.first() else { return Default::default() };
    let name = first.at("entity").text_or("?");
    let runner_up = causes.get(1).map(|second| second.at("entity").text_or("?")).unwrap_or_default();
    let why_not = verdict.at("why_not_second").text();
    let why_not = if why_not.is_empty() { why_not } else { format!("{why_not}\n") };
    [
        section("CAUSES", &ranking(verdict, &causes, incident, paint), paint),
        section(&format!("WHY NOT {runner_up}"), &why_not, paint),
        section(&format!("EVIDENCE for {name}, in nats (2.3 make the odds ten times higher)"), &evidence(first), paint),
        section(&format!("PATH from what is violated to {name}, caller -> callee"), &path(first), paint),
    ]
}

/// How far the first cause's posterior can be trusted.
fn trust(verdict: Shape<'_>) -> String {
    let it = verdict.at("reliability");
    let count = |path: &str| it.at(path).count();
    let (cases, right) =
        (count("elsewhere.cases") + count("here.cases"), count("elsewhere.right") + count("here.right"));
    let of_all = format!("{} cases elsewhere, {} here", count("cases_elsewhere"), count("cases_here"));
    match (verdict.at("calibrated").flag(), it.is_there()) {
        (true, _) => format!(
            "calibrated on {of_all}: {right} of {cases} verdicts as sure as this one were right (90 % interval {} to {})",
            it.at("low").percent(),
            it.at("high").percent()
        ),
        (false, true) => format!(
            "UNCALIBRATED: of {of_all} only {cases} were about as sure as this one, {right} of them right; trust the order more than the figures."
        ),
        (false, false) if verdict.at("unknown").flag() => String::new(),
        (false, false) => {
            "UNCALIBRATED: not yet checked against closed incidents; trust the order more than the figures.".to_string()
        }
    }
}

fn ranking(verdict: Shape<'_>, causes: &[Shape<'_>], incident: Shape<'_>, paint: Paint) -> String {
    let onset = incident.at("onset").time();
    let width = causes.iter().map(|cause| label(*cause).chars().count()).max().unwrap_or(0);
    let mut body = String::new();
    for (place, cause) in (1..).zip(causes) {
        let posterior = cause.at("posterior").number().unwrap_or(0.0);
        let label = label(*cause);
        let pad = " ".repeat(width - label.chars().count());
        let share = cause.at("share").percent();
        let since = cause.at("onset").time().map_or("no onset of its own".to_string(), |at| {
            let against = onset.map_or(String::new(), |onset| format!(", {}", against_onset(at, onset)));
            format!("since {}{against}", time_of_day(at))
        });
        let line =
            format!("{place}  {label}{pad}  {} {:>7}  share {share}, {since}", bar(posterior, BAR), percent(posterior));
        body.push_str(&if place == 1 { paint.bold(&line) } else { line });
        body.push('\n');
    }
    if verdict.at("unknown").flag() {
        body.push_str(&format!(
            "{}\n",
            paint.yellow("UNKNOWN: none of these deserves belief; they are the best of a flat field.")
        ));
    }
    let trust = trust(verdict);
    if !trust.is_empty() {
        body.push_str(&format!("{}\n", paint.dim(&trust)));
    }
    body
}

fn label(cause: Shape<'_>) -> String {
    format!("{} {}", shortened(&cause.at("entity").text_or("?"), 40), cause.at("kind").text_or("?"))
}

fn evidence(cause: Shape<'_>) -> String {
    let line = |piece: Shape<'_>| {
        let nats = piece.at("nats").number().map_or("?".to_string(), |nats| format!("{nats:+.1}"));
        format!("{nats:>7}  {}\n", piece.at("what").text_or("?"))
    };
    cause.at("evidence").list().map(line).collect()
}

fn path(cause: Shape<'_>) -> String {
    let steps: Vec<Shape<'_>> = cause.at("path").list().collect();
    let call = |step: &Shape<'_>| {
        let end = |name: &str| shortened(&step.at(name).text_or("?"), 40);
        format!("{} -> {}", end("client"), end("server"))
    };
    let width = steps.iter().map(|step| call(step).chars().count()).max().unwrap_or(0);
    let mut body = String::new();
    for step in &steps {
        let call = call(step);
        let pad = " ".repeat(width - call.chars().count());
        let lag = match step.at("lag_ms").whole() {
            Some(ms) => format!("{} shows it {}", step.at("client").text_or("?"), follows(ms)),
            None => "lag not known".to_string(),
        };
        body.push_str(&format!("{call}{pad}  explains {:>7}  {lag}\n", step.at("explained").percent()));
    }
    body
}

/// The caller's onset less the callee's.
fn follows(ms: i64) -> String {
    let apart = crate::render::duration(ms.saturating_abs());
    match ms {
        0 => "at the same time".to_string(),
        1.. => format!("{apart} later"),
        _ => format!("{apart} earlier"),
    }
}

/// How the verdict was computed, where it stands in the ledger, and how to check it.
pub(super) fn proof(incident: Shape<'_>, paint: Paint) -> String {
    let verdict = incident.at("verdict");
    if !verdict.is_there() {
        return String::new();
    }
    let mut body = String::new();
    let method = verdict.at("method").text();
    if !method.is_empty() {
        body.push_str(&format!("{method}\n"));
    }
    body.push_str(&format!(
        "verdict {}, revision {}, on evidence frozen at {} UTC: leaf {} of the ledger\n",
        verdict.at("id").text_or("?"),
        verdict.at("revision").figure(),
        verdict.at("frozen_at").moment(),
        verdict.at("leaf").text_or("?")
    ));
    let leaves = incident.at("leaves").list().count();
    if leaves > 0 {
        body.push_str(&format!("all that was decided of it: {leaves} leaves, listed by `-o json`\n"));
    }
    // The API does not say where the data is: only who is on that machine can read it.
    body.push_str(
        "check: `faultline verify --data FOLDER` computes it again from what was received; FOLDER is what `faultline run` shows as data\n",
    );
    section("PROOF", &body, paint)
}
