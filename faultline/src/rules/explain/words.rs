//! An explanation for people and for machines.
use super::{Story, active};
use crate::render::{Paint, duration};
use faultline_model::facts::AlertState;
use faultline_model::{Labels, Millis, Number, Position};
use faultline_promql::Role;
use faultline_rules::{Explained, Health, PartView, Reads, SeriesTold, Told, print_duration_ms};
use faultline_sinks::stdout::visible;
use serde_json::{Value, json};

/// Samples of a series that are told; JSON has all.
const SAMPLES_SHOWN: usize = 3;
/// Characters of a part that are shown; JSON has all.
const TEXT_SHOWN: usize = 120;
/// Elements of a part that are named in a sentence.
const NAMED: usize = 3;

/// For people.
///
/// - `not_fired`: whether it was asked why nothing fires.
pub fn text(story: &Story, not_fired: bool) -> String {
    let paint = Paint::stdout();
    let mut lines = Vec::new();
    for it in &story.rules {
        let kind = if it.rule.alerting.is_some() { "alert" } else { "recording rule" };
        let tried = if it.dry_run { ", tried only: nobody is told" } else { "" };
        let group = format!("{kind} in group {} of {}{tried}", visible(&it.group), visible(&it.file));
        lines.push(format!("{}  {group}", paint.bold(&visible(&it.rule.name))));
        let (digest, at) = &story.version;
        let since = at.map_or("a record below the ledger's last 100,000 leaves".into(), |at| format!("record {at}"));
        lines.push(format!("  rules        in force since {since}, SHA-256 {}", &digest.hex()[..16]));
        lines.push(format!("  evaluated    {}", visible(&it.rule.explain())));
        let last = it.last_at.map_or("never yet".into(), |at| at.to_string());
        let interval = print_duration_ms(it.interval_ms);
        lines.push(format!("  grid         every {interval}, last {last}, next {}", it.next_at));
        if let Some(alerting) = &it.rule.alerting {
            let (for_ms, keep) = (print_duration_ms(alerting.for_ms), print_duration_ms(alerting.keep_firing_for_ms));
            lines.push(format!("  for          {for_ms}, keep_firing_for {keep}"));
        }
        lines.push(format!("  looked at    {}, after record {}", it.seen_at, place(story.last)));
        lines.push(String::new());
        lines.extend(state(story, it, paint));
        let nothing_fires = active(story).all(|alert| alert.state != AlertState::Firing);
        if it.rule.alerting.is_some() && (not_fired || nothing_fires) {
            lines.push(paint.bold("why it does not fire"));
            lines.extend(why_not(story, it).iter().map(|line| format!("  {}", visible(line))));
        }
        lines.push(paint.bold(&format!("what it is made of, at {}", it.seen_at)));
        it.parts.iter().for_each(|part| self::part(story, part, paint, &mut lines));
        lines.push(String::new());
    }
    if !story.transitions.is_empty() {
        lines.push(paint.bold("what it did, the last of it"));
        for (id, it) in &story.transitions {
            let labels = visible(&it.labels.to_string());
            let change = format!("{} -> {}", it.from.word(), it.to.word());
            lines.push(format!("  {}  {change:<20} {labels} {}  effect {id}", it.at, it.value));
        }
    }
    lines.join("\n") + "\n"
}

fn place(at: Option<Position>) -> String {
    at.map_or("none".into(), |at| at.to_string())
}

/// The alerts as they are, and their timers.
fn state(story: &Story, it: &Explained, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(alerting) = &it.rule.alerting else {
        let health = if it.rule.record.health == Health::Ok { "ok" } else { "not evaluated, or failing" };
        return vec![format!("  {health}"), String::new()];
    };
    let mut agreeing = 0;
    for alert in alerting.alerts.iter().filter(|alert| faultline_rules::agree(&story.asked, &alert.labels)) {
        agreeing += 1;
        let word = match alert.state {
            AlertState::Firing => paint.red("firing"),
            _ => paint.yellow(alert.state.word()),
        };
        let (since, began) = (alert.active_at, alert.occurrence.began);
        lines.push(format!("{word}  {}  value {}", visible(&alert.labels.to_string()), alert.value));
        lines.push(format!("  active since {since}, record {began}"));
        if let Some(silent) = alert.silent_since {
            lines.push(format!("  unknown since {silent}: what sent its series is silent, or its target is down"));
        }
        if let Some(gone) = alert.keep_firing_since {
            lines.push(format!("  kept firing since {gone}: its expression no longer holds"));
        }
    }
    for (at, labels) in &it.timers {
        lines.push(format!("  timer        {at}  {}", visible(&labels.to_string())));
    }
    if agreeing == 0 {
        let others = alerting.alerts.len();
        let others = if others > 0 { format!("; {others} other alerts of the rule are active") } else { String::new() };
        lines.push(format!("{}{others}", paint.green(alerting.state.word())));
    }
    lines.push(String::new());
    lines
}

/// Why no alert of the rule fires that agrees with what was asked about, the reason that comes first.
fn why_not(story: &Story, it: &Explained) -> Vec<String> {
    let firing = active(story).find(|alert| alert.state == AlertState::Firing);
    if let Some(alert) = firing {
        return vec![format!("it does: {}", alert.labels)];
    }
    if let Some(until) = it.rule.unknown_until {
        return vec![format!("it is unknown until {until}: not all that it reads was kept before it came into force")];
    }
    if let (Health::Err, Some(error)) = (it.rule.record.health, &it.rule.record.last_error) {
        return vec![format!("its last evaluation failed: {error}")];
    }
    let Some(whole) = it.parts.first() else { return vec!["its expression is a constant".into()] };
    let told = match &whole.value {
        Ok(told) => told,
        Err(error) => return vec![format!("it cannot be evaluated: {error}")],
    };
    if told.agreeing == 0 && told.scalar.is_none() {
        return lost(&it.parts);
    }
    let mut lines = Vec::new();
    if it.held_back {
        lines.push("it asks for what is missing, and is held back until all senders are back after the start".into());
    }
    let for_ms = it.rule.alerting.as_ref().map_or(0, |alerting| alerting.for_ms);
    for alert in active(story) {
        if let Some(silent) = alert.silent_since {
            lines.push(format!("it is unknown since {silent}: what sent its series is silent, or its target is down"));
            continue;
        }
        let due = alert.active_at.plus(for_ms);
        let for_ms = print_duration_ms(for_ms);
        lines.push(format!("its expression holds since {}, and must for {for_ms}: until {due}", alert.active_at));
    }
    if lines.is_empty() {
        lines.push(format!("its expression holds now; the rule is evaluated next at {}", it.next_at));
    }
    lines
}

/// Where on the way from the selectors to the whole the last element was lost.
fn lost(parts: &[PartView]) -> Vec<String> {
    let mut at = 0;
    // The first part that gives nothing though each that it is made of gives something.
    while let Some(next) = made_of(parts, at).find(|&next| is_empty(&parts[next])) {
        at = next;
    }
    let part = &parts[at];
    match (&part.value, &part.reads) {
        (Err(error), _) => return vec![format!("{} cannot be evaluated: {error}", part.text)],
        (_, Some(reads)) => return nothing_read(part, reads),
        _ => {}
    }
    let what = match part.role {
        Role::Compares => "no element passes",
        Role::Joins => "no element is left of both sides",
        Role::Other | Role::Reads(_) => "nothing comes of what it is made of",
    };
    let others = part.value.as_ref().map_or(0, |told| told.elements);
    let others =
        if others > 0 { format!(" (with other labels: {})", counted(others, "element")) } else { String::new() };
    let mut lines = vec![format!("{what}: {}{others}", part.text)];
    for side in made_of(parts, at).map(|place| &parts[place]) {
        let Ok(told) = &side.value else { continue };
        let given = match &side.reads {
            // Of a stretch, how many samples each has: a rate needs two.
            Some(reads) if told.first.is_empty() => counted_samples(reads),
            _ => given(told),
        };
        lines.push(format!("  {} gives {given}", side.text));
    }
    lines
}

/// Series and how many samples each has.
fn counted_samples(reads: &Reads) -> String {
    let first = reads.first.iter().take(NAMED);
    let first = first.map(|it| format!("{} {}", it.labels, counted(it.samples.len(), "sample")));
    format!("{}: {}", counted(reads.series, "series"), first.collect::<Vec<_>>().join(", "))
}

/// The parts that a part is made of.
fn made_of(parts: &[PartView], at: usize) -> impl Iterator<Item = usize> + '_ {
    let depth = parts[at].depth;
    let own = (at + 1..parts.len()).take_while(move |&place| parts[place].depth > depth);
    own.filter(move |&place| parts[place].depth == depth + 1)
}

fn is_empty(part: &PartView) -> bool {
    part.value.as_ref().map_or(true, |told| told.scalar.is_none() && told.agreeing == 0)
}

fn nothing_read(part: &PartView, reads: &Reads) -> Vec<String> {
    let (after, to) = reads.stretch;
    if reads.series == 0 {
        let mut lines = vec![format!("no series matches {}", part.text)];
        for (matcher, count) in &reads.but_for {
            lines.push(format!("  {} would, were it not for {matcher}", counted(*count, "series")));
        }
        return lines;
    }
    let many = counted(reads.series, "series");
    if part.value.as_ref().is_ok_and(|told| told.elements > 0) {
        return vec![format!("{} finds {many}, none with the labels asked about", part.text)];
    }
    let newest = match reads.newest {
        Some(newest) if newest > after => format!("each ended with a stale marker, the last at {newest}"),
        Some(newest) => format!("the newest is of {newest}, {} before", duration(to.since(newest))),
        None => "none is left".into(),
    };
    vec![format!("{} finds {many}, none with a sample after {after} up to {to}: {newest}", part.text)]
}

fn counted(count: usize, what: &str) -> String {
    match (count, what) {
        (1, _) | (_, "series") => format!("{count} {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn given(told: &Told) -> String {
    if let Some(value) = told.scalar {
        return value.to_string();
    }
    let first = told.first.iter().take(NAMED).map(|it| format!("{} {}", it.labels, number(Some(&it.value))));
    let more = told.agreeing.saturating_sub(NAMED);
    let more = if more > 0 && !told.first.is_empty() { format!(" and {more} more") } else { String::new() };
    let named = first.collect::<Vec<_>>().join(", ");
    let separate = if named.is_empty() { "" } else { ": " };
    format!("{}{separate}{named}{more}", counted(told.elements, "element"))
}

fn number(value: Option<&Number>) -> String {
    match value {
        None => "stale".into(),
        Some(Number::Float(value)) => value.to_string(),
        Some(Number::Histogram(it)) => format!("histogram of {}, sum {}", it.count, it.sum),
    }
}

/// A part's text, without the middle of a long one: what that is made of follows.
fn short(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    match chars.len() {
        ..=TEXT_SHOWN => text.to_string(),
        count => {
            let (start, end) = (&chars[..TEXT_SHOWN * 2 / 3], &chars[count - TEXT_SHOWN / 3..]);
            format!("{} ... {}", String::from_iter(start), String::from_iter(end))
        }
    }
}

/// A part, and what it gives.
fn part(story: &Story, part: &PartView, paint: Paint, lines: &mut Vec<String>) {
    let indent = "  ".repeat(part.depth + 1);
    let text = visible(&if part.reads.is_some() { part.text.clone() } else { short(&part.text) });
    let what = match (&part.value, &part.reads) {
        (Err(error), _) => paint.red(&visible(error)),
        (Ok(told), Some(reads)) if told.elements < reads.series => {
            format!("{} of {}", told.elements, counted(reads.series, "series"))
        }
        (Ok(_), Some(reads)) => counted(reads.series, "series"),
        (Ok(Told { scalar: Some(value), .. }), _) => value.to_string(),
        (Ok(told), None) => counted(told.elements, "element"),
    };
    lines.push(format!("{indent}{text}  {}", paint.dim(&what)));
    if let Some(reads) = &part.reads {
        reads.first.iter().for_each(|it| lines.push(format!("{indent}  {}", series(story, it))));
        return;
    }
    for element in part.value.iter().flat_map(|told| &told.first) {
        lines.push(format!("{indent}  {}  {}", visible(&element.labels.to_string()), number(Some(&element.value))));
    }
}

fn series(story: &Story, it: &SeriesTold) -> String {
    let labels = visible(&it.labels.to_string());
    let samples = match (it.samples.len(), &it.newest) {
        (0, Some((time, value))) => format!("nothing since {time}: {}", number(value.as_ref())),
        (0, None) => "no sample is left".into(),
        (count, _) => {
            let last = &it.samples[count.saturating_sub(SAMPLES_SHOWN)..];
            let told = last.iter().map(|(time, value)| {
                let from =
                    record(story, &it.labels, *time).map_or("an older record".into(), |at| format!("record {at}"));
                format!("{} at {time} ({from})", number(value.as_ref()))
            });
            format!("{}: {}", counted(count, "sample"), told.collect::<Vec<_>>().join(", "))
        }
    };
    format!("{labels}  {samples}")
}

fn record(story: &Story, labels: &Labels, time: Millis) -> Option<String> {
    story.brought.get(&(labels.clone(), time)).map(|at| at.to_string())
}

/// For machines.
pub fn json(story: &Story) -> Value {
    let (digest, at) = &story.version;
    json!({
        "name": story.name,
        "at": story.at.to_string(),
        "last_record": story.last.map(|at| at.to_string()),
        "rules_version": { "record": at.map(|at| at.to_string()), "sha256": digest.hex() },
        "rules": story.rules.iter().map(|it| rule_json(story, it)).collect::<Vec<_>>(),
        "transitions": story.transitions.iter().map(|(id, it)| json!({
            "effect": id.to_string(),
            "at": it.at.to_string(),
            "from": it.from.word(),
            "to": it.to.word(),
            "labels": labels_json(&it.labels),
            "value": it.value.to_string(),
        })).collect::<Vec<_>>(),
    })
}

fn labels_json(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_string(), Value::from(value))).collect::<serde_json::Map<_, _>>().into()
}

fn rule_json(story: &Story, it: &Explained) -> Value {
    let alerting = it.rule.alerting.as_ref();
    let alerts = alerting.iter().flat_map(|it| &it.alerts).map(|alert| {
        json!({
            "labels": labels_json(&alert.labels),
            "state": alert.state.word(),
            "active_at": alert.active_at.to_string(),
            "began": alert.occurrence.began.to_string(),
            "keep_firing_since": alert.keep_firing_since.map(|at| at.to_string()),
            "value": alert.value.to_string(),
        })
    });
    json!({
        "file": it.file,
        "group": it.group,
        "dry_run": it.dry_run,
        "query": &*it.rule.query,
        "state": alerting.map(|it| it.state.word()),
        "evaluation": it.rule.explain(),
        "interval_ms": it.interval_ms,
        "last_at": it.last_at.map(|at| at.to_string()),
        "next_at": it.next_at.to_string(),
        "for_ms": alerting.map(|it| it.for_ms),
        "keep_firing_for_ms": alerting.map(|it| it.keep_firing_for_ms),
        "unknown_until": it.rule.unknown_until.map(|at| at.to_string()),
        "held_back": it.held_back,
        "last_error": it.rule.record.last_error,
        "alerts": alerts.collect::<Vec<_>>(),
        "timers": it.timers.iter().map(|(at, labels)| json!({ "at": at.to_string(), "labels": labels_json(labels) })).collect::<Vec<_>>(),
        "seen_at": it.seen_at.to_string(),
        "why_not": why_not(story, it),
        "parts": it.parts.iter().map(|part| part_json(story, part)).collect::<Vec<_>>(),
    })
}

fn part_json(story: &Story, part: &PartView) -> Value {
    let told = part.value.as_ref().ok();
    let elements = told
        .iter()
        .flat_map(|told| &told.first)
        .map(|element| json!({ "labels": labels_json(&element.labels), "value": number(Some(&element.value)) }));
    let reads = part.reads.as_ref().map(|reads| {
        let series = reads.first.iter().map(|it| {
            let sample = |(time, value): &(Millis, Option<Number>)| {
                json!({ "at": time.to_string(), "value": number(value.as_ref()), "record": record(story, &it.labels, *time) })
            };
            json!({ "labels": labels_json(&it.labels), "samples": it.samples.iter().map(sample).collect::<Vec<_>>() })
        });
        let but_for = reads.but_for.iter().map(|(matcher, count)| json!({ "matcher": matcher, "series": count }));
        json!({
            "series": reads.series,
            "after": reads.stretch.0.to_string(),
            "to": reads.stretch.1.to_string(),
            "newest": reads.newest.map(|at| at.to_string()),
            "first": series.collect::<Vec<_>>(),
            "but_for": but_for.collect::<Vec<_>>(),
        })
    });
    json!({
        "depth": part.depth,
        "text": part.text,
        "error": part.value.as_ref().err(),
        "scalar": told.and_then(|told| told.scalar),
        "elements": told.map(|told| told.elements),
        "first": elements.collect::<Vec<_>>(),
        "reads": reads,
    })
}
