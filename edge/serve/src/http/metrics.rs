//! `/metrics` in Prometheus' text format (exposition format 0.0.4). Every label has few values, all of them our own words.
use super::Api;
use super::number::plain;
use crate::recent::Fill;
use crate::store::exemplars::ExemplarCounts;
use crate::store::metadata::MetadataCounts;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use faultline_model::facts::AlertState;
use std::fmt::Write;
use std::sync::Arc;

/// Stages shown.
const STAGES_MAX: usize = 32;

/// Counters and gauges of this process and of the journal that it serves.
pub async fn show(State(api): State<Arc<Api>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page(&api)).into_response()
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample; labels are `name="value"` pairs of our own words.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (i, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{value}\"", if i == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {}", if labels.is_empty() { "" } else { "}" }, plain(value));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value as f64);
    }
}

fn recent(page: &mut Page, fill: &Fill) {
    page.one("faultline_recent_series", "gauge", "Series in memory of the recent store.", fill.series as u64);
    page.one("faultline_recent_live_series", "gauge", "Of those, series that rules may read.", fill.live as u64);
    page.one("faultline_recent_label_pairs", "gauge", "Different label names and values in memory.", fill.pairs as u64);
    page.one("faultline_recent_chunks", "gauge", "Chunks in memory.", fill.chunks as u64);
    page.one("faultline_recent_bytes", "gauge", "Bytes of chunks in memory.", fill.bytes as u64);
    page.one("faultline_recent_blocks", "gauge", "Blocks on disk.", fill.blocks as u64);
    page.one("faultline_recent_block_bytes", "gauge", "Bytes of blocks on disk.", fill.block_bytes);
    let help = "Files of the recent store set aside because they are damaged.";
    page.one("faultline_recent_damaged_files_total", "counter", help, fill.damaged);
    page.one("faultline_recent_samples_total", "counter", "Samples taken in.", fill.samples);
    page.one("faultline_recent_late_samples_total", "counter", "Of those, behind newer ones.", fill.late);
    page.family("faultline_recent_refused_samples_total", "counter", "Samples left out.");
    // Orphans are of series that the store was never told of: a fault of ours.
    for (reason, count) in [("cardinality", fill.refused), ("orphan", fill.orphans), ("too-old", fill.too_old)] {
        page.sample("faultline_recent_refused_samples_total", &[("reason", reason)], count as f64);
    }
    let help = "Samples given up for want of memory before they were on disk.";
    page.one("faultline_recent_dropped_samples_total", "counter", help, fill.dropped);
}

/// What readers have beside samples.
fn beside(page: &mut Page, exemplars: ExemplarCounts, metadata: MetadataCounts) {
    page.one("faultline_exemplars", "gauge", "Exemplars kept.", exemplars.held as u64);
    page.one("faultline_exemplar_series", "gauge", "Series that have any.", exemplars.series as u64);
    page.one("faultline_exemplars_total", "counter", "Exemplars taken.", exemplars.taken);
    page.one("faultline_exemplars_replaced_total", "counter", "Of those, given up for newer ones.", exemplars.replaced);
    let name = "faultline_exemplars_passed_total";
    page.family(
        name,
        "counter",
        "Exemplars left out: older than their series' newest, or of series that are not there.",
    );
    for (reason, count) in [("out-of-order", exemplars.out_of_order), ("no-series", exemplars.strays)] {
        page.sample(name, &[("reason", reason)], count as f64);
    }
    let help = "Metrics whose help, type and unit are kept.";
    page.one("faultline_metadata_metrics", "gauge", help, metadata.metrics as u64);
    page.one("faultline_metadata_bytes", "gauge", "Bytes of their texts.", metadata.bytes as u64);
    let name = "faultline_metadata_passed_total";
    page.family(
        name,
        "counter",
        "Help, type and unit left out: for want of room, given up for newer ones of their metric.",
    );
    for (reason, count) in [("full", metadata.full), ("replaced", metadata.replaced)] {
        page.sample(name, &[("reason", reason)], count as f64);
    }
    page.one("faultline_metadata_cut_total", "counter", "Helps that were cut.", metadata.cut);
    let help = "Bodies of which nobody looked at what they say of their metrics, because too many waited.";
    page.one("faultline_metadata_bodies_passed_total", "counter", help, metadata.bodies_passed);
}

fn page(api: &Api) -> String {
    let (view, fill) = (api.store.view(), api.store.recent().fill());
    let (rejects, open) = (api.store.rejects().counts().clone(), api.store.book().open_count());
    let quarantined = api.store.book().quarantined().count();
    let (revisions, revisits) = {
        let book = api.store.book();
        (book.revision_counts(), book.revisits())
    };
    let away = api.store.away().sums().clone();
    let (counts, (inlet_bytes, inlet_records)) = (&view.counts, api.inlet.load());
    let mut page = Page(String::with_capacity(8 << 10));

    page.family("faultline_build_info", "gauge", "The release, as a label.");
    page.sample("faultline_build_info", &[("version", &view.version)], 1.0);
    page.one("faultline_ready", "gauge", "1 when telemetry is taken.", u64::from(view.ready));
    page.family("faultline_start_time_seconds", "gauge", "Wall time at which the process started.");
    page.sample("faultline_start_time_seconds", &[], view.started.0 as f64 / 1000.0);
    page.family("faultline_rule_time_seconds", "gauge", "Rule time of the last record covered.");
    if let Some(at) = view.rule_time() {
        page.sample("faultline_rule_time_seconds", &[], at.0 as f64 / 1000.0);
    }

    page.one("faultline_records_total", "counter", "Records of the journal.", counts.records);
    page.family("faultline_events_total", "counter", "Events taken.");
    for (kind, value) in [("point", counts.points), ("log", counts.logs), ("span", counts.spans)] {
        page.sample("faultline_events_total", &[("kind", kind)], value as f64);
    }
    page.family("faultline_rejects_total", "counter", "Items refused since the start.");
    for (reason, value) in &rejects {
        page.sample("faultline_rejects_total", &[("reason", reason)], *value as f64);
    }
    let help = "Requests answered without a record since the start: too large, of a wrong type, or at a wrong time.";
    page.family("faultline_turned_away_total", "counter", help);
    for ((listener, reason), value) in &away {
        let labels = [("listener", *listener), ("reason", reason.word())];
        page.sample("faultline_turned_away_total", &labels, *value as f64);
    }
    page.one("faultline_series", "gauge", "Live series.", counts.series);
    let help = "Samples kept for rules, in all series together.";
    page.one("faultline_samples_held", "gauge", help, counts.samples_held);
    let help = "Samples given up before their time to keep those held within bounds.";
    page.one("faultline_samples_thinned_total", "counter", help, counts.samples_thinned);
    let help = "Samples left out because another replica of their cluster is heard.";
    page.one("faultline_replica_samples_dropped_total", "counter", help, counts.replica_samples_dropped);
    let help = "How often another replica of a cluster was heard, because the one before fell silent.";
    page.one("faultline_replica_failovers_total", "counter", help, counts.replica_failovers);
    page.one("faultline_services", "gauge", "Services in the graph.", counts.services);
    page.one("faultline_edges", "gauge", "Calls in the graph.", counts.edges);
    page.one("faultline_sources", "gauge", "Sources known.", view.sources.len() as u64);
    let idle = view.sources.iter().filter(|source| source.idle).count();
    page.one("faultline_sources_idle", "gauge", "Sources that have stopped sending.", idle as u64);
    page.family(
        "faultline_source_lag_seconds_max",
        "gauge",
        "Rule time less watermark of the slowest source not idle.",
    );
    let lag = view.sources.iter().filter(|source| !source.idle).filter_map(|source| source.lag_ms).max();
    page.sample("faultline_source_lag_seconds_max", &[], lag.unwrap_or(0) as f64 / 1000.0);

    page.family("faultline_alerts", "gauge", "Alerts by state.");
    for state in [AlertState::Pending, AlertState::Firing, AlertState::Unknown] {
        let count = view.alerts.iter().filter(|alert| alert.state == state).count();
        page.sample("faultline_alerts", &[("state", state.word())], count as f64);
    }
    let help = "Rules that are not evaluated until what they read is covered.";
    page.one("faultline_rules_unknown", "gauge", help, view.unknown_rules().count() as u64);
    let help = "Samples that came so late that instants were evaluated without them.";
    page.one("faultline_late_samples_total", "counter", help, counts.samples_late);
    let help = "Questions about what past instants give with samples that came late.";
    page.one("faultline_revision_questions_total", "counter", help, revisits);
    let help = "Occurrences of alerts that late samples touched, by what became of them.";
    page.family("faultline_revisions_total", "counter", help);
    for (outcome, count) in revisions {
        page.sample("faultline_revisions_total", &[("outcome", outcome)], count as f64);
    }
    page.one("faultline_incidents_open", "gauge", "Incidents neither resolved nor merged.", open as u64);

    page.one("faultline_journal_bytes", "gauge", "Bytes of the journal on disk.", counts.journal_bytes);
    let partition = view.covers.partition.to_string();
    page.family("faultline_journal_first_offset", "gauge", "Oldest record that is still there.");
    page.sample("faultline_journal_first_offset", &[("partition", &partition)], counts.journal_first.offset as f64);
    page.family("faultline_journal_covered_offset", "gauge", "Last record that answers take account of.");
    page.sample("faultline_journal_covered_offset", &[("partition", &partition)], view.covers.offset as f64);
    page.one("faultline_ledger_leaves", "counter", "Leaves of the ledger.", counts.leaves);
    page.one("faultline_ledger_signed_leaves", "counter", "Leaves under the last signed tree head.", counts.tree_size);
    let help = "Records passed over because the engine broke on them, of those that the status shows.";
    page.one("faultline_quarantined_records", "gauge", help, quarantined as u64);
    page.one("faultline_anchors_total", "counter", "Anchors set.", counts.anchors);

    page.one("faultline_inlet_bytes", "gauge", "Bytes under way, not yet answered.", inlet_bytes as u64);
    let reading = api.inlet.reading_bytes() as u64;
    page.one("faultline_inlet_reading_bytes", "gauge", "Bytes held for bodies being read.", reading);
    page.one("faultline_inlet_records", "gauge", "Records under way, not yet answered.", inlet_records as u64);
    recent(&mut page, &fill);
    // One lock after the other, none while another is held.
    let exemplars = api.store.exemplars().counts();
    let metadata = api.store.metadata().counts();
    beside(&mut page, exemplars, metadata);
    let help = "Requests of services beyond the bound of example traces.";
    page.one("faultline_example_traces_passed_total", "counter", help, api.store.traces().passed());

    let name = "faultline_stage_seconds";
    page.family(name, "histogram", "Latency of each stage of the way.");
    for stage in view.stages.iter().take(STAGES_MAX) {
        let (mut sum, bucket) = (0_u64, format!("{name}_bucket"));
        for (i, count) in stage.counts.iter().enumerate().take(stage.bounds_s.len() + 1) {
            sum = sum.saturating_add(*count);
            let le = stage.bounds_s.get(i).map_or("+Inf".to_owned(), |bound| plain(*bound));
            page.sample(&bucket, &[("stage", stage.name), ("le", &le)], sum as f64);
        }
        page.sample(&format!("{name}_sum"), &[("stage", stage.name)], stage.sum_s);
        page.sample(&format!("{name}_count"), &[("stage", stage.name)], sum as f64);
    }
    page.0
}
