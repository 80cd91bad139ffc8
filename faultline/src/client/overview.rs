//! The one screen of `faultline status`.
use super::lists::headed;
use super::shape::{Shape, apart, listed, shortened, size};
use crate::render::Paint;

/// Digits shown of a digest.
const DIGEST_SHOWN: usize = 16;
/// Names listed of what a verdict would lack.
const NAMES_SHOWN: usize = 12;

/// The screen.
///
/// - `status`: the answer of `/status`.
/// - `url`: where it was asked.
pub fn page(status: Shape<'_>, url: &str, paint: Paint) -> String {
    let mut out = head(status, url, paint);
    for (name, value) in lines(status) {
        out.push_str(&format!("{name:<13}{value}\n"));
    }
    out.push_str(&rules_unknown(status.at("rules"), paint));
    let refused = status.at("rules.refused");
    if refused.is_there() {
        let kept = status.at("rules.in_force").is_there();
        out.push_str(&rules_refused(refused, kept, paint));
    }
    for record in status.at("quarantined").list() {
        let (position, reason) = (record.at("position").text_or("?"), record.at("reason").text());
        out.push_str(&format!(
            "{}\n",
            paint.red(&format!("SKIPPED      record {position} broke the engine: {reason}"))
        ));
    }
    out.push_str(&sources(status, paint));
    out.push_str(&lacks(status.at("lacks"), paint));
    out.push_str(&rejects(status, paint));
    out
}

fn head(status: Shape<'_>, url: &str, paint: Paint) -> String {
    let (version, why) =
        (status.at("version").text_or("?"), status.at("not_ready").text_or("the server does not say why"));
    let ready = if status.at("ready").flag() { paint.green("ready") } else { paint.red(&format!("NOT READY: {why}")) };
    format!("{}  {ready}\n\n", paint.bold(&format!("faultline {version} at {url}")))
}

fn lines(status: Shape<'_>) -> Vec<(&'static str, String)> {
    let (counts, ledger, rules) = (status.at("counts"), status.at("ledger"), status.at("rules"));
    let things = |name: &str, one: &str| counts.at(name).things(one);
    let series = counts.at("series").figure();
    let root = status.at("ledger.tree_root").text_or("?");
    let behind = ledger.at("leaves").count().saturating_sub(ledger.at("tree_size").count());
    let unsigned = if behind > 0 { format!(", {behind} not yet under it") } else { String::new() };
    let in_force = rules.at("in_force");
    let digest: String = in_force.at("digest").text_or("?").chars().take(DIGEST_SHOWN).collect();
    let rules = match in_force.is_there() {
        true => format!(
            "{}, {} alerting and {} recording rules, digest {digest}",
            rules.at("groups").things("group"),
            in_force.at("alerts").figure(),
            in_force.at("records").figure()
        ),
        false => "none in force".to_string(),
    };
    let thinned = match counts.at("samples_thinned").count() {
        0 => String::new(),
        _ => format!("; {} given up early: ranges are coarser", things("samples_thinned", "sample")),
    };
    let bytes = counts.at("journal_bytes");
    let journal = if bytes.is_there() { size(bytes.count()) } else { "?".to_string() };
    Vec::from([
        ("rule time", format!("{} UTC, up since {} UTC", status.at("at").moment(), status.at("started").moment())),
        ("covers", format!("record {} ({})", status.at("covers").text_or("?"), things("records", "record"))),
        ("taken", format!("{}, {}, {}", things("points", "point"), things("logs", "log"), things("spans", "span"))),
        ("sees", format!("{series} series, {}, {}{thinned}", things("services", "service"), things("edges", "call"))),
        ("journal", format!("{journal}, oldest record {}", counts.at("journal_first").text_or("?"))),
        (
            "ledger",
            format!(
                "{} leaves, signed head of {} with root {}{unsigned}, {}",
                ledger.at("leaves").figure(),
                ledger.at("tree_size").figure(),
                root.chars().take(DIGEST_SHOWN).collect::<String>(),
                ledger.at("anchors").things("anchor")
            ),
        ),
        ("rules", rules),
        (
            "now",
            format!(
                "{}, {} pending, firing or unknown",
                status.at("open_incidents").things("open incident"),
                status.at("alerts").things("alert")
            ),
        ),
    ])
}

/// Rules that wait, one a line.
fn rules_unknown(rules: Shape<'_>, paint: Paint) -> String {
    let mut out = String::new();
    for rule in rules.at("unknown").list() {
        let name = |name: &str| rule.at(name).text_or("?").to_string();
        let of = format!("{} of {};{}", name("rule"), name("file"), name("group"));
        let why = "what it reads was not kept for as long as it looks back";
        out.push_str(&format!("UNKNOWN      {of}: not evaluated until {}, {why}\n", rule.at("until").moment()));
    }
    let more = rules.at("unknown_count").count().saturating_sub(rules.at("unknown").list().count() as u64);
    if more > 0 {
        out.push_str(&format!("UNKNOWN      {more} more\n"));
    }
    if out.is_empty() { out } else { paint.yellow(out.trim_end()) + "\n" }
}

/// - `kept`: whether others are in force.
fn rules_refused(refused: Shape<'_>, kept: bool, paint: Paint) -> String {
    let line = refused.at("line").count();
    let line = if line > 0 { format!(":{line}") } else { String::new() };
    let (file, reason) = (refused.at("file").text_or("?"), refused.at("reason").text_or("no reason given"));
    let since = refused.at("decided_at");
    let kept = if kept { "those above stay in force" } else { "none is in force" };
    let since = if since.is_there() { format!(" at {}", since.moment()) } else { String::new() };
    format!(
        "{}\n",
        paint.red(&format!("REFUSED      rules{since}: {file}{line}: {reason}; {kept} until this is mended"))
    )
}

fn sources(status: Shape<'_>, paint: Paint) -> String {
    let rows: Vec<Vec<String>> = status.at("sources").list().map(source).collect();
    let title = paint.bold("SOURCES");
    if rows.is_empty() {
        return format!("\n{title}\nnone yet: send OTLP or Prometheus remote write here\n");
    }
    let headings = ["LISTENER", "PEER", "POINTS", "LOGS", "SPANS", "REJECTS", "RETRIES", "LAG", "STATE"];
    format!("\n{title}\n{}", headed(&headings, &rows, paint))
}

fn source(row: Shape<'_>) -> Vec<String> {
    let count = |name: &str| row.at(name).figure();
    Vec::from([
        row.at("listener").text_or("?"),
        shortened(&row.at("peer").text_or("?"), 40),
        count("points"),
        count("logs"),
        count("spans"),
        count("rejects"),
        count("retries"),
        row.at("lag_ms").whole().map_or("-".to_string(), apart),
        row.at("state").text_or("?"),
    ])
}

/// What a verdict taken now would lack.
fn lacks(lacks: Shape<'_>, paint: Paint) -> String {
    let told = told_lacks(lacks);
    let title = paint.bold("A VERDICT NOW WOULD LACK");
    if told.is_empty() {
        return format!("\n{title}\nnothing that is known of\n");
    }
    format!("\n{title}\n{}\n", told.join("\n"))
}

/// What cannot be seen, a line each.
pub fn told_lacks(lacks: Shape<'_>) -> Vec<String> {
    let mut told = Vec::new();
    let (unseen, silent) = (lacks.at("unseen").texts(), lacks.at("silent").texts());
    if !unseen.is_empty() {
        told.push(format!("services that only their callers tell of: {}", listed(&unseen, NAMES_SHOWN)));
    }
    if !silent.is_empty() {
        told.push(format!("services that have stopped sending: {}", listed(&silent, NAMES_SHOWN)));
    }
    // Less shows as 0.0 %: some are always still on their way.
    if lacks.at("unpaired").number().is_some_and(|share| share >= 0.0005) {
        let share = lacks.at("unpaired").percent();
        told.push(format!("callers of {share} of the server spans: no client span came for them"));
    }
    if lacks.at("sampling_unknown").flag() {
        told.push("true rates: spans are sampled, and not every sampler says how".to_string());
    }
    told
}

/// What was refused by reason, largest first: of records, and requests that never became one.
fn rejects(status: Shape<'_>, paint: Paint) -> String {
    let kinds = [("rejects", "refused"), ("turned_away", "turned away")];
    let counts = |(name, what): (&str, &'static str)| -> Vec<(u64, String, &'static str)> {
        status.at(name).fields().map(|(reason, count)| (count.count(), reason, what)).collect()
    };
    let mut rows = kinds.map(counts).concat();
    if rows.is_empty() {
        return String::new();
    }
    rows.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let row = |(count, reason, what): (u64, String, &str)| Vec::from([count.to_string(), reason, what.to_string()]);
    let rows: Vec<Vec<String>> = rows.into_iter().map(row).collect();
    let (title, headings) = (paint.bold("REJECTS"), ["COUNT", "REASON", "HOW"]);
    format!("\n{title}\n{}`faultline rejects` shows them.\n", headed(&headings, &rows, paint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::shape::tests::{golden, plain, served, without_each_field};
    use serde_json::{Value, json};

    fn shown(value: &Value) -> String {
        plain(&page(Shape::of(value), "http://127.0.0.1:7400", Paint::stdout()))
    }

    fn troubled() -> Value {
        json!({
            "version": "0.1.0", "ready": false, "not_ready": "replaying record 0/70",
            "started": "2026-11-21T00:53:16.050Z", "at": "2026-11-21T00:54:16.050Z", "covers": "0/14",
            "counts": {"records": 15, "points": 1_234_567, "logs": 8, "spans": 9, "series": 3, "samples_thinned": 1_200, "services": 4, "edges": 5,
                       "journal_bytes": 3_500_000, "journal_first": "0/2"},
            "ledger": {"leaves": 112, "tree_size": 110, "tree_root": "00ab".repeat(16), "anchors": 1, "newest_anchor": null},
            "rules": {"groups": 2, "unknown_count": 3,
                      "unknown": [{"file": "red.yml", "group": "red", "rule": "Slow", "until": "2026-11-21T00:59:16.050Z"}],
                      "in_force": {"id": "0/1.0", "leaf": 100, "digest": "07".repeat(32), "groups": 2, "alerts": 3, "records": 1},
                      "refused": {"id": "0/6.0", "decided_at": "2026-11-21T00:54:11.050Z", "file": "red.yml", "line": 3,
                                  "reason": "unknown function rat()"}},
            "open_incidents": 1, "alerts": 2, "recent": {"series": 3, "bytes": 132},
            "rejects": {"bad-encoding": 1, "cardinality": 3}, "turned_away": {"busy": 2},
            "quarantined": [{"position": "0/9", "reason": "assertion failed"}],
            "lacks": {"unseen": ["ledger-db"], "silent": ["mainframe"], "unpaired": 0.25, "sampling_unknown": true},
            "sources": [
                {"id": "03", "listener": "otlp-grpc", "peer": "127.0.0.1", "points": 121, "logs": 0, "spans": 7, "rejects": 1,
                 "retries": 2, "newest": "2026-11-21T00:54:16.050Z", "lag_ms": 250, "idle": false, "state": "sending"},
                {"id": "04", "listener": "remote-write", "peer": "prom\u{1b}]0;x", "points": 0, "logs": 0, "spans": 0,
                 "rejects": 0, "retries": 0, "newest": null, "lag_ms": null, "idle": true, "state": "never"}
            ]
        })
    }

    #[test]
    fn one_screen_says_how_it_goes() {
        golden("status.txt", &shown(&troubled()));
    }

    #[test]
    fn whatever_a_server_leaves_out_or_means_otherwise_the_screen_is_shown() {
        without_each_field(&troubled(), &mut |status| {
            let text = shown(status);
            assert!(text.starts_with("faultline ") && !text.contains('\u{1b}'), "{text}");
        });
        let empty = shown(&Value::Null);
        let mut none = troubled();
        none["rules"]["in_force"] = Value::Null;
        assert!(shown(&none).contains("rat(); none is in force until this is mended\n"));
        assert!(empty.contains("NOT READY: the server does not say why") && empty.contains("? points"), "{empty}");
    }

    /// The shape that `edge/serve` really answers with: its own golden file.
    #[test]
    fn the_screen_reads_what_the_api_answers() {
        let text = shown(&served(include_str!("../../../edge/serve/tests/golden/status.txt")));
        for part in [
            "faultline 0.1.0 at http://127.0.0.1:7400  ready\n",
            "covers       record 0/14 (15 records)\n",
            "ledger       110 leaves, signed head of 110 with root 0000000000000000, 0 anchors\n",
            "rules        1 group, 2 alerting and 1 recording rules, digest 0707070707070707\n",
            "UNKNOWN      Slow of red.yml;red: not evaluated until 2026-11-21 00:59:16, ",
            "otlp-grpc  127.0.0.1  121     0     0      0        0        250 ms  sending\n",
            "services that only their callers tell of: ledger-db\n",
            "3      cardinality   refused\n2      too-large     turned away\n1      bad-encoding  refused\n1      content-type  turned away\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains('?') && !text.contains("REFUSED"), "{text}");
    }
}
