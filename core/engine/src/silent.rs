//! Series that are no longer to be seen though nobody ended them.
use alloc::collections::BTreeMap;
use faultline_model::{Labels, Millis, Sample, labels};
use faultline_observe::ring::LOOKBACK_MS;
use faultline_observe::series::{NO_SOURCE, SeriesStore};
use faultline_observe::sources::Sources;
use faultline_promql::{MatchOp, Matcher, SeriesView};
use faultline_rules::Sight;

/// Shows the labels of a selection's series that are out of sight because their source is silent; and of those with a stale
/// marker that Prometheus wrote because it could not reach their target, which `up` with the same `job` and `instance` says.
pub(crate) fn silent(
    series: &SeriesStore,
    sources: &Sources,
    selection: u32,
    sight: Sight,
    now: Millis,
    visit: &mut dyn FnMut(&Labels),
) {
    let mut targets: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for &id in series.ids(selection) {
        let (source, heard) = series.heard(id);
        if source == NO_SOURCE {
            continue;
        }
        let view = series.view(id);
        let is_silent = match view.newest() {
            None => false,
            Some((newest, true)) => {
                let target = (view.labels.get("job"), view.labels.get("instance"));
                newest <= sight.at && *targets.entry(target).or_insert_with(|| is_down(series, &view, now))
            }
            Some((newest, false)) => {
                sight.misses(newest) && sources.is_silent(source, heard, sight.quiet_ms, now)
                    || sources.back_since(source, now).is_some()
                        && (sight.is_cut_short(view.samples.iter().map(Sample::time))
                            || sight.is_cut_short(view.histograms.iter().map(|sample| sample.time)))
            }
        };
        if is_silent {
            visit(view.labels);
        }
    }
}

/// Whether a series has ended, and `up` of its target says that it could not be reached.
pub(crate) fn is_down(series: &SeriesStore, view: &SeriesView<'_>, now: Millis) -> bool {
    let (job, instance) = (view.labels.get("job"), view.labels.get("instance"));
    if view.newest().is_none_or(|(_, ends)| !ends) || job.is_empty() || instance.is_empty() {
        return false;
    }
    let matchers = [(labels::NAME, "up"), ("job", job), ("instance", instance)];
    let matchers = matchers.map(|(name, value)| Matcher::new(name, MatchOp::Equal, value).expect("no pattern"));
    let says_so =
        |newest: &Sample| !newest.is_stale() && newest.value() == 0.0 && now.since(newest.time()) < LOOKBACK_MS;
    series.find(&matchers).into_iter().any(|id| series.view(id).samples.last().is_some_and(says_so))
}
