//! JSON of single decisions, version 1 of our own shapes.
//!
//! Times are RFC 3339 in UTC, ids are text, values of alerts are text as in Prometheus; any other number that is not
//! finite is `null`.
use super::number;
use super::revisions::{RevisionShape, UnrevisedShape};
use crate::store::book::Entry;
use faultline_model::facts::{
    Anomaly, Cause, Check, Coverage, Decision, IncidentUpdate, Leader, Reliability, Still, Tally, Transition, Verdict,
    WhatIf,
};
use faultline_model::{ChangeEvent, EffectId, Feedback, Labels, Millis};
use serde::{Serialize, Serializer};
use std::fmt::Display;

/// A value as its text.
pub fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A value as its text, or null.
pub fn maybe<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

/// Labels as an object.
pub fn labels<S: Serializer>(labels: &Labels, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter())
}

/// Pairs as an object.
pub fn pairs<S: Serializer>(pairs: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// Where a decision stands.
#[derive(Serialize)]
pub struct Place {
    #[serde(serialize_with = "text")]
    id: EffectId,
    leaf: u64,
    /// Rule time of the record that caused it.
    #[serde(serialize_with = "maybe")]
    decided_at: Option<Millis>,
}

impl<T> From<&Entry<T>> for Place {
    fn from(entry: &Entry<T>) -> Place {
        Place { id: entry.id, leaf: entry.leaf, decided_at: entry.at }
    }
}

/// A transition.
#[derive(Serialize)]
pub struct TransitionShape<'a> {
    alert: String,
    #[serde(serialize_with = "text")]
    occurrence: faultline_model::Occurrence,
    from: &'a str,
    to: &'a str,
    #[serde(serialize_with = "text")]
    at: Millis,
    #[serde(serialize_with = "text")]
    active_at: Millis,
    group: &'a str,
    name: &'a str,
    #[serde(serialize_with = "labels")]
    labels: &'a Labels,
    #[serde(serialize_with = "pairs")]
    annotations: &'a [(String, String)],
    value: String,
    imported: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

impl<'a> From<&'a Transition> for TransitionShape<'a> {
    fn from(it: &'a Transition) -> Self {
        TransitionShape {
            alert: it.alert.hex(),
            occurrence: it.occurrence,
            from: it.from.word(),
            to: it.to.word(),
            at: it.at,
            active_at: it.active_at,
            group: &it.group,
            name: &it.name,
            labels: &it.labels,
            annotations: &it.annotations,
            value: number::plain(it.value),
            imported: it.imported,
            dry_run: it.dry_run,
        }
    }
}

/// An anomaly.
#[derive(Serialize)]
pub struct AnomalyShape<'a> {
    entity: &'a str,
    signal: &'a str,
    #[serde(serialize_with = "text")]
    at: Millis,
    #[serde(serialize_with = "text")]
    onset: Millis,
    expected: f64,
    seen: f64,
    z: f64,
}

impl<'a> From<&'a Anomaly> for AnomalyShape<'a> {
    fn from(it: &'a Anomaly) -> Self {
        let (expected, seen, z) = (it.expected, it.seen, it.z);
        AnomalyShape { entity: &it.entity, signal: it.signal.word(), at: it.at, onset: it.onset, expected, seen, z }
    }
}

/// A step in an incident's life.
#[derive(Serialize)]
pub struct IncidentUpdateShape<'a> {
    #[serde(serialize_with = "text")]
    incident: EffectId,
    phase: &'a str,
    #[serde(serialize_with = "text")]
    at: Millis,
    #[serde(serialize_with = "text")]
    opened_at: Millis,
    entities: &'a [String],
    alert_names: &'a [String],
    alerts: usize,
    #[serde(serialize_with = "maybe")]
    merged_into: Option<EffectId>,
    imported: bool,
}

impl<'a> From<&'a IncidentUpdate> for IncidentUpdateShape<'a> {
    fn from(it: &'a IncidentUpdate) -> Self {
        IncidentUpdateShape {
            incident: it.id,
            phase: it.phase.word(),
            at: it.at,
            opened_at: it.opened_at,
            entities: &it.entities,
            alert_names: &it.alert_names,
            alerts: it.alerts.len(),
            merged_into: it.merged_into,
            imported: it.imported,
        }
    }
}

/// A verdict.
#[derive(Serialize)]
pub struct VerdictShape<'a> {
    #[serde(serialize_with = "text")]
    incident: EffectId,
    revision: u64,
    #[serde(serialize_with = "text")]
    frozen_at: Millis,
    unknown: bool,
    calibrated: bool,
    reliability: Option<ReliabilityShape>,
    summary: &'a str,
    why_not_second: &'a str,
    causes: Vec<CauseShape<'a>>,
    what_ifs: Vec<WhatIfShape<'a>>,
    checks: Vec<CheckShape<'a>>,
    unseen: &'a [String],
    method: &'a str,
}

/// What came of first causes of about this posterior.
#[derive(Serialize)]
struct ReliabilityShape {
    elsewhere: TallyShape,
    here: TallyShape,
    cases_elsewhere: u32,
    cases_here: u32,
    low: f64,
    high: f64,
}

#[derive(Serialize)]
struct TallyShape {
    cases: u32,
    right: u32,
}

impl From<&Reliability> for ReliabilityShape {
    fn from(it: &Reliability) -> Self {
        let tally = |it: Tally| TallyShape { cases: it.cases, right: it.right };
        let Reliability { elsewhere, here, cases_elsewhere, cases_here, low, high } = *it;
        ReliabilityShape { elsewhere: tally(elsewhere), here: tally(here), cases_elsewhere, cases_here, low, high }
    }
}

/// What would be without a cause.
#[derive(Serialize)]
struct WhatIfShape<'a> {
    entity: &'a str,
    violated: u64,
    well: u64,
    services: Vec<StillShape<'a>>,
}

#[derive(Serialize)]
struct StillShape<'a> {
    entity: &'a str,
    degraded: f64,
}

/// What is worth knowing next.
#[derive(Serialize)]
struct CheckShape<'a> {
    entity: &'a str,
    question: &'a str,
    likely: f64,
    cut: f64,
    yes: LeaderShape<'a>,
    no: LeaderShape<'a>,
}

#[derive(Serialize)]
struct LeaderShape<'a> {
    entity: &'a str,
    posterior: f64,
}

impl<'a> From<&'a WhatIf> for WhatIfShape<'a> {
    fn from(it: &'a WhatIf) -> Self {
        let still = |it: &'a Still| StillShape { entity: &it.entity, degraded: it.degraded };
        WhatIfShape {
            entity: &it.entity,
            violated: it.violated,
            well: it.well,
            services: it.services.iter().map(still).collect(),
        }
    }
}

impl<'a> From<&'a Check> for CheckShape<'a> {
    fn from(it: &'a Check) -> Self {
        let leader = |it: &'a Leader| LeaderShape { entity: &it.entity, posterior: it.posterior };
        CheckShape {
            entity: &it.entity,
            question: &it.question,
            likely: it.likely,
            cut: it.cut,
            yes: leader(&it.yes),
            no: leader(&it.no),
        }
    }
}

impl<'a> From<&'a Verdict> for VerdictShape<'a> {
    fn from(it: &'a Verdict) -> Self {
        VerdictShape {
            incident: it.incident,
            revision: it.revision,
            frozen_at: it.at,
            unknown: it.unknown,
            calibrated: it.calibrated,
            reliability: it.reliability.as_deref().map(ReliabilityShape::from),
            summary: &it.summary,
            why_not_second: &it.why_not_second,
            causes: it.causes.iter().map(CauseShape::from).collect(),
            what_ifs: it.what_ifs.iter().map(WhatIfShape::from).collect(),
            checks: it.checks.iter().map(CheckShape::from).collect(),
            unseen: &it.unseen,
            method: &it.method,
        }
    }
}

/// A candidate.
#[derive(Serialize)]
pub struct CauseShape<'a> {
    entity: &'a str,
    kind: &'a str,
    posterior: f64,
    responsibility: f64,
    share: f64,
    #[serde(serialize_with = "maybe")]
    onset: Option<Millis>,
    path: Vec<StepShape<'a>>,
    evidence: Vec<ContributionShape<'a>>,
}

#[derive(Serialize)]
struct StepShape<'a> {
    client: &'a str,
    server: &'a str,
    explained: f64,
    lag_ms: Option<i64>,
}

#[derive(Serialize)]
struct ContributionShape<'a> {
    what: &'a str,
    nats: f64,
}

impl<'a> From<&'a Cause> for CauseShape<'a> {
    fn from(it: &'a Cause) -> Self {
        let step = |step: &'a faultline_model::facts::PathStep| StepShape {
            client: &step.client,
            server: &step.server,
            explained: step.explained,
            lag_ms: step.lag,
        };
        CauseShape {
            entity: &it.entity,
            kind: &it.kind,
            posterior: it.posterior,
            responsibility: it.responsibility,
            share: it.share,
            onset: it.onset,
            path: it.path.iter().map(step).collect(),
            evidence: it.evidence.iter().map(|one| ContributionShape { what: &one.what, nats: one.nats }).collect(),
        }
    }
}

/// A change in the estate.
#[derive(Serialize)]
pub struct ChangeShape<'a> {
    entity: &'a str,
    kind: &'a str,
    title: &'a str,
    version: &'a str,
    #[serde(serialize_with = "text")]
    at: Millis,
    by: &'a str,
}

impl<'a> From<&'a ChangeEvent> for ChangeShape<'a> {
    fn from(it: &'a ChangeEvent) -> Self {
        let ChangeEvent { entity, kind, title, version, at, by } = it;
        ChangeShape { entity, kind, title, version, at: *at, by }
    }
}

/// What an operator said of an incident.
#[derive(Serialize)]
pub struct FeedbackShape<'a> {
    #[serde(serialize_with = "text")]
    incident: EffectId,
    cause: &'a str,
    note: &'a str,
    #[serde(serialize_with = "text")]
    at: Millis,
    by: &'a str,
}

impl<'a> From<&'a Feedback> for FeedbackShape<'a> {
    fn from(it: &'a Feedback) -> Self {
        let Feedback { incident, cause, note, at, by } = it;
        FeedbackShape { incident: *incident, cause, note, at: *at, by }
    }
}

/// What cannot be seen.
#[derive(Serialize)]
pub struct CoverageShape<'a> {
    unseen: &'a [String],
    silent: &'a [String],
    unpaired: f64,
    sampling_unknown: bool,
}

impl<'a> From<&'a Coverage> for CoverageShape<'a> {
    fn from(it: &'a Coverage) -> Self {
        let Coverage { unseen, silent, unpaired, sampled, .. } = it;
        CoverageShape { unseen, silent, unpaired: *unpaired, sampling_unknown: *sampled }
    }
}

/// Any decision.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DecisionShape<'a> {
    Alert(TransitionShape<'a>),
    Anomaly(AnomalyShape<'a>),
    Incident(IncidentUpdateShape<'a>),
    Verdict(VerdictShape<'a>),
    Rules { digest: String, groups: u64, alerts: u64, records: u64, unknown: u64 },
    RulesRefused { digest: String, file: &'a str, line: u64, reason: &'a str },
    Setting { name: &'a str, value: &'a str },
    Change { change: ChangeShape<'a> },
    Asked { asked: &'a str, input: String },
    Quarantined { position: String, reason: &'a str },
    Anchor { position: String, state: String },
    Revision(RevisionShape<'a>),
    Unrevised(UnrevisedShape<'a>),
    Feedback { feedback: FeedbackShape<'a> },
    Learned { lessons: u64, types: u64, weights: String, at: String },
}

impl<'a> From<&'a Decision> for DecisionShape<'a> {
    fn from(decision: &'a Decision) -> Self {
        match decision {
            Decision::Alert(it) => DecisionShape::Alert(it.into()),
            Decision::Anomaly(it) => DecisionShape::Anomaly(it.into()),
            Decision::Incident(it) => DecisionShape::Incident(it.into()),
            Decision::Verdict(it) => DecisionShape::Verdict(it.into()),
            Decision::Rules(it) => {
                let (groups, alerts, records, unknown) = (it.groups, it.alerts, it.records, it.unknown_count);
                DecisionShape::Rules { digest: it.digest.hex(), groups, alerts, records, unknown }
            }
            Decision::RulesRefused(it) => {
                let (digest, line) = (it.digest.hex(), it.line);
                DecisionShape::RulesRefused { digest, file: &it.file, line, reason: &it.reason }
            }
            Decision::Setting(it) => DecisionShape::Setting { name: &it.name, value: &it.value },
            Decision::Change(it) => DecisionShape::Change { change: it.into() },
            Decision::Asked(it) => DecisionShape::Asked { asked: &it.kind, input: it.input.hex() },
            Decision::Quarantined(it) => {
                DecisionShape::Quarantined { position: it.position.to_string(), reason: &it.reason }
            }
            Decision::Anchor(it) => DecisionShape::Anchor { position: it.position.to_string(), state: it.state.hex() },
            Decision::Revision(it) => DecisionShape::Revision((&**it).into()),
            Decision::Unrevised(it) => DecisionShape::Unrevised(it.into()),
            Decision::Feedback(it) => DecisionShape::Feedback { feedback: it.into() },
            Decision::Learned(it) => {
                let (weights, at) = (it.weights.hex(), it.at.to_string());
                DecisionShape::Learned { lessons: it.lessons, types: it.types, weights, at }
            }
        }
    }
}

impl DecisionShape<'_> {
    /// The word that `kind` carries.
    pub fn word(&self) -> &'static str {
        match self {
            DecisionShape::Alert(_) => "alert",
            DecisionShape::Anomaly(_) => "anomaly",
            DecisionShape::Incident(_) => "incident",
            DecisionShape::Verdict(_) => "verdict",
            DecisionShape::Rules { .. } => "rules",
            DecisionShape::RulesRefused { .. } => "rules_refused",
            DecisionShape::Setting { .. } => "setting",
            DecisionShape::Change { .. } => "change",
            DecisionShape::Asked { .. } => "asked",
            DecisionShape::Quarantined { .. } => "quarantined",
            DecisionShape::Anchor { .. } => "anchor",
            DecisionShape::Revision(_) => "revision",
            DecisionShape::Unrevised(_) => "unrevised",
            DecisionShape::Feedback { .. } => "feedback",
            DecisionShape::Learned { .. } => "learned",
        }
    }
}

/// A decision with its place.
#[derive(Serialize)]
pub struct Placed<T> {
    #[serde(flatten)]
    pub place: Place,
    #[serde(flatten)]
    pub what: T,
}

impl<T> Placed<T> {
    /// An entry of the book in its shape.
    pub fn of<'a, U>(entry: &'a Entry<U>) -> Placed<T>
    where
        T: From<&'a U>,
    {
        Placed { place: entry.into(), what: T::from(&entry.what) }
    }
}
