//! `faultline rules backtest` and `faultline rules diff`: rules tried on what was received.
use super::firings::{Fate, Firing, Firings, Pair, compare, flaps, lengths};
use super::history::{History, Stretch, under};
use crate::cli::{BacktestArgs, DiffRulesArgs, Output};
use crate::render::{Paint, duration, table};
use crate::rule_files::tried;
use faultline_model::Millis;
use faultline_sinks::stdout::visible;
use serde_json::{Value, json};
use std::error::Error;
use std::process::ExitCode;

/// Alerts shown one by one; JSON has all of them.
const SHOWN: usize = 40;
/// Places of a plot in the terminal.
const PLOT: usize = 48;

/// Runs rules over the journal and says when their alerts would have fired.
pub fn backtest(args: &BacktestArgs) -> Result<ExitCode, Box<dyn Error>> {
    let stretch = Stretch { data: &args.folder.data, from: args.stretch.from, to: args.stretch.to };
    let history = under(tried(Vec::new(), &args.files, args.features.set())?, &stretch)?;
    match args.folder.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&backtest_json(&history))?),
        Output::Table => print!("{}", backtest_text(&history)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares firings of two sets of rules; exit code 1 where they differ, which a merge may hang on.
pub fn diff(args: &DiffRulesArgs) -> Result<ExitCode, Box<dyn Error>> {
    let stretch = Stretch { data: &args.folder.data, from: args.stretch.from, to: args.stretch.to };
    let features = args.features.set();
    let after = under(tried(Vec::new(), &args.files, features)?, &stretch)?;
    let before = match args.against.is_empty() {
        true => after.held.clone(),
        false => under(tried(Vec::new(), &args.against, features)?, &stretch)?.tried,
    };
    let pairs = compare(&before, &after.tried);
    let differ = pairs.iter().any(|pair| pair.fate != Fate::Same);
    match args.folder.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&diff_json(&after, &pairs))?),
        Output::Table => print!("{}", diff_text(&after, &pairs)),
    }
    Ok(if differ { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn head(history: &History) -> String {
    let (from, to) = history.span;
    let mut text = format!(
        "{} to {}: {} records, {} events in {:.1} s ({:.0} events/s)\n",
        from,
        to,
        history.records,
        history.events,
        history.seconds,
        history.events as f64 / history.seconds.max(1e-9)
    );
    if history.interrupted {
        text += "interrupted: so far\n";
    }
    if let Some(below) = history.trimmed_below {
        text += &format!("records below {below} are trimmed: longer ranges of these rules see less at first\n");
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
    json!({
        "from": history.span.0.to_string(),
        "to": history.span.1.to_string(),
        "records": history.records,
        "events": history.events,
        "seconds": history.seconds,
        "trimmed_below": history.trimmed_below.map(|below| below.to_string()),
        "interrupted": history.interrupted,
    })
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
