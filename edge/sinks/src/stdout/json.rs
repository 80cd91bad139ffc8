//! A decision as a line of JSON. Members are only ever added; times are RFC 3339, numbers that may be no JSON numbers text.
use faultline_model::facts::{Cause, Decision, IncidentUpdate, Transition, Verdict};
use faultline_model::{EffectId, Labels};
use serde_json::{Map, Value, json};

/// The line; none where the decision is not for people who wait for alerts.
pub(super) fn line(id: EffectId, decision: &Decision) -> Option<String> {
    let mut members = match decision {
        Decision::Alert(it) => alert(it),
        Decision::Incident(it) => incident(it),
        Decision::Verdict(it) => verdict(it),
        _ => return None,
    };
    members["id"] = id.to_string().into();
    Some(members.to_string())
}

fn alert(it: &Transition) -> Value {
    json!({
        "kind": "alert",
        "time": it.at.to_string(),
        "alert": it.alert.hex(),
        "occurrence": it.occurrence.to_string(),
        "from": it.from.word(),
        "to": it.to.word(),
        "activeAt": it.active_at.to_string(),
        "group": it.group,
        "name": it.name,
        "labels": labels(&it.labels),
        "annotations": it.annotations.iter().map(|(n, v)| (n.clone(), v.clone().into())).collect::<Map<_, _>>(),
        "value": number(it.value),
        "dryRun": it.dry_run,
    })
}

fn incident(it: &IncidentUpdate) -> Value {
    json!({
        "kind": "incident",
        "time": it.at.to_string(),
        "incident": it.id.to_string(),
        "phase": it.phase.word(),
        "openedAt": it.opened_at.to_string(),
        "alerts": it.alerts.iter().map(|alert| alert.hex()).collect::<Vec<_>>(),
        "alertNames": it.alert_names,
        "services": it.entities,
        "mergedInto": it.merged_into.map(|into| into.to_string()),
    })
}

fn verdict(it: &Verdict) -> Value {
    json!({
        "kind": "verdict",
        "time": it.at.to_string(),
        "incident": it.incident.to_string(),
        "revision": it.revision,
        "unknown": it.unknown,
        "calibrated": it.calibrated,
        "summary": it.summary,
        "causes": it.causes.iter().map(cause).collect::<Vec<_>>(),
    })
}

fn cause(it: &Cause) -> Value {
    json!({
        "service": it.entity,
        "kind": it.kind,
        "posterior": it.posterior,
        "responsibility": it.responsibility,
        "onset": it.onset.map(|at| at.to_string()),
    })
}

fn labels(labels: &Labels) -> Map<String, Value> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// A float as Prometheus writes it in JSON and text.
pub(super) fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}
