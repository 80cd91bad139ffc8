//! `faultline rules backtest` and `faultline rules diff`: rules tried on what was received.
use super::firings::{Fate, Firing, Firings, Pair, compare, flaps, lengths};
use super::history::{History, Read, Stretch, under, under_blocks};
use super::past;
use crate::cli::{BacktestArgs, DiffRulesArgs, FolderArgs, Output, PastArgs, StretchArgs};
use crate::render::{Paint, duration, table};
use crate::rule_files::tried;
use faultline_model::Millis;
use faultline_promql::Features;
use faultline_sinks::stdout::visible;
use serde_json::{Value, json};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Alerts shown one by one; JSON has all of them.
const SHOWN: usize = 40;
/// Places of a plot in the terminal.
const PLOT: usize = 48;

/// Runs rules over the journal and says when their alerts would have fired.
pub fn backtest(args: &BacktestArgs) -> Result<ExitCode, Box<dyn Error>> {
    let history = over(&args.files, args.features.set(), &args.past, &args.folder, &args.stretch)?;
    match args.folder.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&backtest_json(&history))?),
        Output::Table => print!("{}", backtest_text(&history)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares firings of two sets of rules; exit code 1 where they differ, which a merge may hang on.
pub fn diff(args: &DiffRulesArgs) -> Result<ExitCode, Box<dyn Error>> {
    if args.past.history.is_some() && args.against.is_empty() {
        return Err("blocks do not say what was decided: name the rules to compare with (--against FILE)".into());
    }
    let over = |files: &[PathBuf]| over(files, args.features.set(), &args.past, &args.folder, &args.stretch);
    let after = over(&args.files)?;
    let before = match args.against.is_empty() {
        true => after.held.clone(),
        false => over(&args.against)?.tried,
    };
    let pairs = compare(&before, &after.tried);
    let differ = pairs.iter().any(|pair| pair.fate != Fate::Same);
    match args.folder.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&diff_json(&after, &pairs))?),
        Output::Table => print!("{}", diff_text(&after, &pairs)),
    }
    Ok(if differ { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Runs rule files over the journal, or over blocks where they are named.
fn over(
    files: &[PathBuf],
    features: Features,
    past: &PastArgs,
    folder: &FolderArgs,
    stretch: &StretchArgs,
) -> Result<History, Box<dyn Error>> {
    let rules = tried(Vec::new(), files, features)?;
    let (from, to) = (stretch.from, stretch.to);
    match &past.history {
        None => under(rules, &Stretch { data: &folder.data, from, to }),
        Some(named) => {
            let own = || folder.data.join(crate::recent::FOLDER);
            let folder = named.clone().unwrap_or_else(own);
            under_blocks(rules, &past::Stretch { folder: &folder, from, to })
        }
    }
}

fn head(history: &History) -> String {
    let (from, to) = history.span;
    let (seconds, rate) = (history.seconds, |count: u64| count as f64 / history.seconds.max(1e-9));
    let mut text = match &history.read {
        Read::Journal { records, events, .. } => {
            format!(
                "{from} to {to}: {records} records, {events} events in {seconds:.1} s ({:.0} events/s)\n",
                rate(*events)
            )
        }
        Read::Blocks(it) => format!(
            "{from} to {to}: {} blocks, {} samples, {} evaluations in {seconds:.1} s ({:.0} samples/s)\n",
            it.blocks,
            it.samples,
            it.evaluations,
            rate(it.samples)
        ),
    };
    if history.interrupted {
        text += "interrupted: so far\n";
    }
    match &history.read {
        Read::Journal { trimmed_below: Some(below), .. } => {
            text += &format!("records below {below} are trimmed: longer ranges of these rules see less at first\n");
        }
        Read::Journal { .. } => {}
        Read::Blocks(it) => {
            it.missing.iter().for_each(|(path, what)| text += &format!("{}: {}\n", path.display(), visible(what)));
            let idle = it.idle.iter().map(|(rule, selector)| format!("{rule}: {selector} selects nothing"));
            text += &listed(idle);
            let failed = it
                .failed
                .iter()
                .map(|(rule, failures, all, why)| format!("{rule}: failed at {failures} of {all} instants: {why}"));
            text += &listed(failed);
        }
    }
    text
}

/// The first lines, and how many more there are.
fn listed(lines: impl ExactSizeIterator<Item = String>) -> String {
    let more = lines.len().saturating_sub(SHOWN);
    let mut text = lines.take(SHOWN).fold(String::new(), |text, line| text + &visible(&line) + "\n");
    if more > 0 {
        text += &format!("{more} more: -o json shows all\n");
    }
    text
}

fn backtest_text(history: &History) -> String {
    let mut text = head(history);
    let (from, end) = history.span;
    let mut alerts: Vec<(&str, &[Firing])> = history.tried.alerts().collect();
    text += &format!(
        "{} firings of {} alerts, {} pending only\n",
        history.tried.count(),
        alerts.len(),
        history.tried.pending_only
    );
    if alerts.is_empty() {
        return text;
    }
    alerts.sort_by_key(|(_, firings)| std::cmp::Reverse(firings.len()));
    let rows: Vec<Vec<String>> = alerts
        .iter()
        .take(SHOWN)
        .map(|(labels, firings)| {
            let (all, longest) = lengths(firings, end);
            Vec::from([
                firings.len().to_string(),
                flaps(firings).to_string(),
                duration(all),
                duration(longest),
                plot(firings, from, end),
                // Telemetry names alerts; a name must not steer the reader's terminal.
                visible(labels),
            ])
        })
        .collect();
    text += &table(&["FIRINGS", "FLAPS", "FIRING", "LONGEST", "WHEN", "ALERT"], &rows);
    if alerts.len() > SHOWN {
        text += &format!("{} more: -o json shows all\n", alerts.len() - SHOWN);
    }
    text
}

/// When an alert fired, from the start of the history to its end: full where it did all the time, half where for a part.
fn plot(firings: &[Firing], from: Millis, to: Millis) -> String {
    let all = to.since(from).max(1) as f64;
    let place = |time: Millis| (time.since(from) as f64 / all * PLOT as f64).clamp(0.0, PLOT as f64);
    let mut shares = [0.0_f64; PLOT];
    for firing in firings {
        let (begins, ends) = (place(firing.from), place(firing.to.unwrap_or(to)));
        for (i, share) in shares.iter_mut().enumerate() {
            let within = (ends.min(i as f64 + 1.0) - begins.max(i as f64)).max(0.0);
            // However short, it is seen.
            let begins_here = begins as usize == i || i + 1 == PLOT && begins as usize == PLOT;
            *share += if begins_here { within.max(0.01) } else { within };
        }
    }
    let mark = |share: f64| match share {
        share if share <= 0.0 => '\u{00b7}',
        share if share < 0.5 => '\u{2582}',
        share if share < 0.95 => '\u{2585}',
        _ => '\u{2588}',
    };
    shares.into_iter().map(mark).collect()
}

fn diff_text(history: &History, pairs: &[Pair]) -> String {
    let paint = Paint::stdout();
    let count = |fate| pairs.iter().filter(|pair| pair.fate == fate).count();
    let mut text = head(history);
    text += &format!(
        "{} firings appear, {} vanish, {} move, {} stay as they are\n",
        count(Fate::Appears),
        count(Fate::Vanishes),
        count(Fate::Moves),
        count(Fate::Same)
    );
    let different: Vec<&Pair> = pairs.iter().filter(|pair| pair.fate != Fate::Same).collect();
    for pair in different.iter().take(SHOWN) {
        let alert = visible(&pair.alert);
        let line = match (pair.before, pair.after) {
            (None, Some(after)) => paint.red(&format!("+ {alert} {}", stretch(after))),
            (Some(before), None) => paint.green(&format!("- {alert} {}", stretch(before))),
            (Some(before), Some(after)) => {
                paint.yellow(&format!("~ {alert} {}, was {}", stretch(after), stretch(before)))
            }
            (None, None) => unreachable!("a pair has one side at least"),
        };
        text += &format!("{line}\n");
    }
    if different.len() > SHOWN {
        text += &format!("{} more: -o json shows all\n", different.len() - SHOWN);
    }
    text
}

fn stretch(firing: Firing) -> String {
    match firing.to {
        Some(to) => format!("{} to {to}", firing.from),
        None => format!("{} on", firing.from),
    }
}

fn summary(history: &History) -> Value {
    let mut all = json!({
        "from": history.span.0.to_string(),
        "to": history.span.1.to_string(),
        "seconds": history.seconds,
        "interrupted": history.interrupted,
    });
    match &history.read {
        Read::Journal { records, events, trimmed_below } => {
            all["records"] = (*records).into();
            all["events"] = (*events).into();
            all["trimmed_below"] = trimmed_below.map(|below| below.to_string()).into();
        }
        Read::Blocks(it) => {
            let missing = it.missing.iter().map(|(path, why)| json!({ "file": path, "why": why }));
            let idle = it.idle.iter().map(|(rule, selector)| json!({ "rule": rule, "selector": selector }));
            let failed = it.failed.iter().map(|(rule, failures, all, why)| {
                json!({ "rule": rule, "failures": failures, "evaluations": all, "error": why })
            });
            all["blocks"] = it.blocks.into();
            all["samples"] = it.samples.into();
            all["evaluations"] = it.evaluations.into();
            all["missing"] = missing.collect();
            all["select_nothing"] = idle.collect();
            all["failed"] = failed.collect();
        }
    }
    all
}

fn backtest_json(history: &History) -> Value {
    let Firings { pending_only, .. } = history.tried;
    let alerts: Vec<Value> = history
        .tried
        .alerts()
        .map(|(labels, firings)| {
            let (all, longest) = lengths(firings, history.span.1);
            json!({
                "alert": labels, "firings": firings, "flaps": flaps(firings),
                "firing_seconds": all as f64 / 1e3, "longest_seconds": longest as f64 / 1e3,
            })
        })
        .collect();
    let mut all = summary(history);
    all["firings"] = history.tried.count().into();
    all["pending_only"] = pending_only.into();
    all["alerts"] = alerts.into();
    all
}

fn diff_json(history: &History, pairs: &[Pair]) -> Value {
    let mut all = summary(history);
    for (name, fate) in
        [("appear", Fate::Appears), ("vanish", Fate::Vanishes), ("move", Fate::Moves), ("same", Fate::Same)]
    {
        all[name] = pairs.iter().filter(|pair| pair.fate == fate).count().into();
    }
    all["firings"] = json!(pairs.iter().filter(|pair| pair.fate != Fate::Same).collect::<Vec<_>>());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_shows_when() {
        let firing = |from, to: Option<i64>| Firing { from: Millis(from), to: to.map(Millis) };
        let plot = |firings: &[Firing]| plot(firings, Millis(0), Millis(PLOT as i64 * 10));
        assert_eq!(plot(&[]), "\u{00b7}".repeat(PLOT));
        let shown: Vec<char> =
            plot(&[firing(0, Some(10)), firing(22, Some(24)), firing(32, Some(39)), firing(470, None)])
                .chars()
                .collect();
        assert_eq!(shown[..5].iter().collect::<String>(), "\u{2588}\u{00b7}\u{2582}\u{2585}\u{00b7}");
        assert_eq!((shown.len(), shown[PLOT - 1]), (PLOT, '\u{2588}'));
        assert_eq!(plot(&[firing(PLOT as i64 * 10, None)]).chars().last(), Some('\u{2582}'));
    }
}
