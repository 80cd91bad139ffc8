//! `/api/faultline/v1/status` and Prometheus' `/api/v1/status/buildinfo`.
use super::Api;
use super::answer::{Problem, PromAnswer, Told, covers, json};
use super::params::Params;
use super::shapes::{CoverageShape, Place, maybe, text};
use crate::recent::Fill;
use crate::store::book::Entry;
use crate::store::exemplars::ExemplarCounts;
use crate::store::metadata::MetadataCounts;
use crate::view::{Counts, Rule, RuleGroup, SourceStatus};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use faultline_model::facts::{Anchor, Quarantined, RulesInForce, RulesRefused};
use faultline_model::{Millis, Position};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Unknown rules shown one by one.
const UNKNOWN_SHOWN: usize = 20;

/// How it goes: sources, counts, rules, what a verdict would lack.
pub async fn show(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    answer(&api, &uri).await.unwrap_or_else(IntoResponse::into_response)
}

/// What answers, in Prometheus' shape.
pub async fn build_info(State(api): State<Arc<Api>>) -> Response {
    let view = api.store.view();
    let info = BuildInfo {
        application: "Faultline",
        version: &view.version,
        revision: "",
        branch: "",
        build_user: "",
        build_date: "",
        go_version: "",
    };
    PromAnswer::new(info, Told::default()).at(view.covers)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildInfo<'a> {
    application: &'a str,
    version: &'a str,
    revision: &'a str,
    branch: &'a str,
    build_user: &'a str,
    build_date: &'a str,
    go_version: &'a str,
}

async fn answer(api: &Api, uri: &Uri) -> Result<Response, Problem> {
    let params = Params::of(uri).only(&[])?;
    let view = api.covered(&params).await?;
    let fill = api.store.recent().fill();
    let exemplars = ExemplarsShape::from(api.store.exemplars().counts());
    let metadata = MetadataShape::from(api.store.metadata().counts());
    let (rejects, turned_away) = (api.store.rejects().counts().clone(), api.store.away().counts());
    let body = {
        let book = api.store.book();
        Status {
            version: view.version.clone(),
            ready: view.ready,
            not_ready: view.not_ready.clone(),
            started: view.started,
            at: view.rule_time(),
            covers: view.covers,
            counts: (&view.counts).into(),
            ledger: LedgerShape {
                leaves: view.counts.leaves,
                tree_size: view.counts.tree_size,
                tree_root: view.counts.tree_root.hex(),
                anchors: view.counts.anchors,
                newest_anchor: book.anchor().map(AnchorShape::from),
            },
            rules: RulesShape {
                groups: view.groups.len(),
                unknown_count: view.unknown_rules().count(),
                unknown: view.unknown_rules().take(UNKNOWN_SHOWN).map(UnknownShape::from).collect(),
                in_force: book.rules().map(InForceShape::from),
                refused: book.refused().map(RefusedShape::from),
            },
            open_incidents: book.open_count(),
            alerts: view.alerts.len(),
            recent: RecentShape::from(fill),
            exemplars,
            metadata,
            rejects,
            turned_away,
            quarantined: book.quarantined().map(QuarantinedShape::from).collect(),
            lacks: (&view.lacks).into(),
            replicas: view.elected.iter().map(|(cluster, replica)| (&**cluster, &**replica)).collect(),
            sources: view.sources.iter().map(SourceShape::from).collect(),
        }
    };
    Ok(covers(json(StatusCode::OK, &body), view.covers))
}

#[derive(Serialize)]
struct Status<'a> {
    version: String,
    ready: bool,
    not_ready: String,
    #[serde(serialize_with = "text")]
    started: Millis,
    /// Rule time; `null` until it begins.
    #[serde(serialize_with = "maybe")]
    at: Option<Millis>,
    #[serde(serialize_with = "text")]
    covers: Position,
    counts: CountsShape,
    ledger: LedgerShape,
    rules: RulesShape,
    open_incidents: usize,
    /// Alerts that are not `ok`.
    alerts: usize,
    recent: RecentShape,
    exemplars: ExemplarsShape,
    metadata: MetadataShape,
    rejects: BTreeMap<&'static str, u64>,
    /// Requests that never became a record, by reason.
    turned_away: BTreeMap<&'static str, u64>,
    quarantined: Vec<QuarantinedShape>,
    lacks: CoverageShape<'a>,
    /// By cluster: the replica that is heard.
    replicas: BTreeMap<&'a str, &'a str>,
    sources: Vec<SourceShape<'a>>,
}

#[derive(Serialize)]
struct CountsShape {
    records: u64,
    points: u64,
    logs: u64,
    spans: u64,
    series: u64,
    samples_held: u64,
    samples_thinned: u64,
    replica_samples_dropped: u64,
    replica_failovers: u64,
    services: u64,
    edges: u64,
    journal_bytes: u64,
    #[serde(serialize_with = "text")]
    journal_first: Position,
}

impl From<&Counts> for CountsShape {
    fn from(it: &Counts) -> CountsShape {
        let Counts { records, points, logs, spans, series, samples_held, samples_thinned, .. } = *it;
        let Counts {
            replica_samples_dropped, replica_failovers, services, edges, journal_bytes, journal_first, ..
        } = *it;
        CountsShape {
            records,
            points,
            logs,
            spans,
            series,
            samples_held,
            samples_thinned,
            replica_samples_dropped,
            replica_failovers,
            services,
            edges,
            journal_bytes,
            journal_first,
        }
    }
}

#[derive(Serialize)]
struct LedgerShape {
    leaves: u64,
    /// Leaves under the last signed tree head.
    tree_size: u64,
    tree_root: String,
    anchors: u64,
    newest_anchor: Option<AnchorShape>,
}

#[derive(Serialize)]
struct AnchorShape {
    #[serde(flatten)]
    place: Place,
    #[serde(serialize_with = "text")]
    position: Position,
    state: String,
}

impl From<&Entry<Anchor>> for AnchorShape {
    fn from(entry: &Entry<Anchor>) -> AnchorShape {
        AnchorShape { place: entry.into(), position: entry.what.position, state: entry.what.state.hex() }
    }
}

#[derive(Serialize)]
struct RulesShape {
    groups: usize,
    /// How many wait for what they read; the first of them.
    unknown_count: usize,
    unknown: Vec<UnknownShape>,
    in_force: Option<InForceShape>,
    /// What was refused since those in force were taken.
    refused: Option<RefusedShape>,
}

#[derive(Serialize)]
struct UnknownShape {
    file: String,
    group: String,
    rule: String,
    #[serde(serialize_with = "text")]
    until: Millis,
}

impl From<(&RuleGroup, &Rule, Millis)> for UnknownShape {
    fn from((group, rule, until): (&RuleGroup, &Rule, Millis)) -> UnknownShape {
        UnknownShape { file: group.file.clone(), group: group.name.clone(), rule: rule.name.to_string(), until }
    }
}

#[derive(Serialize)]
struct InForceShape {
    #[serde(flatten)]
    place: Place,
    digest: String,
    groups: u64,
    alerts: u64,
    records: u64,
    /// How many were unknown when they came into force.
    unknown: u64,
}

impl From<&Entry<RulesInForce>> for InForceShape {
    fn from(entry: &Entry<RulesInForce>) -> InForceShape {
        let RulesInForce { digest, groups, alerts, records, unknown_count: unknown, .. } = entry.what;
        InForceShape { place: entry.into(), digest: digest.hex(), groups, alerts, records, unknown }
    }
}

#[derive(Serialize)]
struct RefusedShape {
    #[serde(flatten)]
    place: Place,
    digest: String,
    file: String,
    line: u64,
    reason: String,
}

impl From<&Entry<RulesRefused>> for RefusedShape {
    fn from(entry: &Entry<RulesRefused>) -> RefusedShape {
        let RulesRefused { digest, file, line, reason } = entry.what.clone();
        RefusedShape { place: entry.into(), digest: digest.hex(), file, line, reason }
    }
}

#[derive(Serialize)]
struct RecentShape {
    /// Series in memory.
    series: usize,
    /// Bytes of their chunks.
    bytes: usize,
    blocks: usize,
    block_bytes: u64,
    /// Files set aside.
    damaged: u64,
}

impl From<Fill> for RecentShape {
    fn from(Fill { series, bytes, blocks, block_bytes, damaged, .. }: Fill) -> RecentShape {
        RecentShape { series, bytes, blocks, block_bytes, damaged }
    }
}

#[derive(Serialize)]
struct ExemplarsShape {
    held: usize,
    /// Series that have any.
    series: usize,
    taken: u64,
    /// Of those, given up for newer ones.
    replaced: u64,
    /// Left out: older than the newest of their series.
    out_of_order: u64,
    /// Left out: of series that are not there, or of replicas that are not heard.
    no_series: u64,
}

impl From<ExemplarCounts> for ExemplarsShape {
    fn from(it: ExemplarCounts) -> ExemplarsShape {
        let ExemplarCounts { held, series, taken, replaced, out_of_order, strays: no_series } = it;
        ExemplarsShape { held, series, taken, replaced, out_of_order, no_series }
    }
}

#[derive(Serialize)]
struct MetadataShape {
    /// Metrics whose help, type and unit are kept, and how many different ones.
    metrics: usize,
    entries: usize,
    bytes: usize,
    /// Left out for want of room.
    full: u64,
    /// Given up for newer ones of the same metric.
    replaced: u64,
    /// Helps that were cut.
    cut: u64,
    /// Bodies that nobody looked at, because too many waited.
    bodies_passed: u64,
}

impl From<MetadataCounts> for MetadataShape {
    fn from(it: MetadataCounts) -> MetadataShape {
        let MetadataCounts { metrics, entries, bytes, full, replaced, cut, bodies_passed } = it;
        MetadataShape { metrics, entries, bytes, full, replaced, cut, bodies_passed }
    }
}

#[derive(Serialize)]
struct QuarantinedShape {
    #[serde(flatten)]
    place: Place,
    #[serde(serialize_with = "text")]
    position: Position,
    reason: String,
}

impl From<&Entry<Quarantined>> for QuarantinedShape {
    fn from(entry: &Entry<Quarantined>) -> QuarantinedShape {
        let reason = entry.what.reason.clone();
        QuarantinedShape { place: entry.into(), position: entry.what.position, reason }
    }
}

#[derive(Serialize)]
struct SourceShape<'a> {
    id: String,
    listener: &'a str,
    peer: &'a str,
    points: u64,
    logs: u64,
    spans: u64,
    rejects: u64,
    retries: u64,
    #[serde(serialize_with = "maybe")]
    newest: Option<Millis>,
    lag_ms: Option<i64>,
    idle: bool,
    /// `sending`, `quiet` (for more than five minutes), or `never` where nothing of it was ever taken in.
    state: &'static str,
}

impl<'a> From<&'a SourceStatus> for SourceShape<'a> {
    fn from(it: &'a SourceStatus) -> SourceShape<'a> {
        SourceShape {
            id: it.id.hex(),
            listener: &it.listener,
            peer: &it.peer,
            points: it.points,
            logs: it.logs,
            spans: it.spans,
            rejects: it.rejects,
            retries: it.retries,
            newest: it.newest,
            lag_ms: it.lag_ms,
            idle: it.idle,
            state: match (it.heard, it.idle) {
                (false, _) => "never",
                (true, true) => "quiet",
                (true, false) => "sending",
            },
        }
    }
}
