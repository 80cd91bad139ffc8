//! A decision as a line for people.
use faultline_model::EffectId;
use faultline_model::facts::{AlertState, Decision, IncidentPhase, IncidentUpdate, Transition, Verdict};
use std::fmt::Write;

/// Names listed in a line of an incident.
const NAMES_SHOWN: usize = 8;

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const MAGENTA: &str = "35";
const CYAN: &str = "36";

/// The line; none where the decision is not for people who wait for alerts.
pub(super) fn line(id: EffectId, decision: &Decision, coloured: bool) -> Option<String> {
    let (at, word, colour, rest) = match decision {
        Decision::Alert(it) => (it.at, it.to.word(), colour_of(it.to), alert(it)),
        Decision::Incident(it) => {
            let colour = if it.phase == IncidentPhase::Resolved { GREEN } else { RED };
            (it.at, "incident", colour, incident(it))
        }
        Decision::Verdict(it) => (it.at, "verdict", CYAN, verdict(it)),
        _ => return None,
    };
    let word = format!("{word:<8}");
    let word = if coloured { format!("\x1b[{colour}m{word}\x1b[0m") } else { word };
    Some(format!("{at}  {word}  {}  id {id}", visible(&rest)))
}

fn colour_of(state: AlertState) -> &'static str {
    match state {
        AlertState::Ok => GREEN,
        AlertState::Pending => YELLOW,
        AlertState::Firing => RED,
        AlertState::Unknown => MAGENTA,
    }
}

fn alert(it: &Transition) -> String {
    let labels = it.labels.filter(|name| name != "alertname" && name != "__name__");
    let tried = if it.dry_run { "  dry run" } else { "" };
    format!("{}{labels}  value {}  since {}{tried}", it.name, super::json::number(it.value), it.active_at)
}

fn incident(it: &IncidentUpdate) -> String {
    let mut out = format!("{} {}", it.id, it.phase.word());
    if let Some(into) = it.merged_into {
        let _ = write!(out, " into {into}");
    }
    let _ = write!(out, "  alerts {}: {}", it.alerts.len(), listed(&it.alert_names));
    if !it.entities.is_empty() {
        let _ = write!(out, "  services {}: {}", it.entities.len(), listed(&it.entities));
    }
    out
}

fn verdict(it: &Verdict) -> String {
    let mut out = format!("{} revision {}", it.incident, it.revision);
    match it.causes.first() {
        Some(cause) if !it.unknown => {
            let _ = write!(out, "  {} ({}) {:.1} %", cause.entity, cause.kind, cause.posterior * 100.0);
        }
        _ => out.push_str("  cause unknown"),
    }
    if !it.calibrated {
        out.push_str(", uncalibrated");
    }
    let _ = write!(out, "  {}", it.summary);
    out
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Telemetry names things; a name must not steer the reader's terminal, break the line or turn its direction.
pub fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(visible("a\u{1b}[31mb\r\n\u{202e}c"), "a\\u{1b}[31mb\\u{d}\\u{a}\\u{202e}c");
    }
}
