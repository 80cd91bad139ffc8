//! `info()`: labels of info series, added to the elements that they describe.
use super::Evaluator;
use super::join::braced;
use super::leaf::window;
use crate::expr::Info;
use crate::{Element, EvalError, Matcher};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::labels::NAME;
use faultline_model::{Labels, LabelsBuilder, Millis};

/// The labels that an element and the info series that describes it have in common.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Values of the identifying labels.
type Identity = [String; 2];

fn identity(labels: &Labels) -> Identity {
    IDENTIFYING.map(|name| labels.get(name).into())
}

/// The newest sample of an info series.
struct Held {
    labels: Labels,
    time: Millis,
}

impl Evaluator<'_> {
    pub(super) fn info(&mut self, info: &Info, at: Millis) -> Result<Vec<Element>, EvalError> {
        let elements = self.vector(&info.of, at)?;
        let names: Vec<Matcher> =
            self.selectors[info.selector].matchers.iter().filter(|m| m.name == NAME).cloned().collect();
        let is_info = |element: &Element| names.iter().all(|m| m.matches(element.labels.get(NAME)));
        // Which labels are wanted, and what they must be; empty for all of them.
        let wanted: Vec<&Matcher> = info.given.iter().flatten().filter(|m| m.name != NAME).collect();
        let held = self.info_series(info, &elements, &is_info, at)?;
        let mut found = Vec::with_capacity(elements.len());
        for element in elements {
            if is_info(&element) {
                found.push(element);
                continue;
            }
            let matching = held.get(&identity(&element.labels));
            let mut added = LabelsBuilder::default();
            let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
            for series in matching.into_iter().flat_map(|by_name| by_name.values()) {
                for (name, value) in series.labels.iter().filter(|(name, _)| *name != NAME) {
                    if !wanted.is_empty() && !wanted.iter().any(|m| m.name == name) {
                        continue;
                    }
                    if seen.get(name).is_some_and(|before| *before != value) {
                        return Err(EvalError::Matching { message: format!("conflicting label: {name}") });
                    }
                    if element.labels.get(name).is_empty() {
                        seen.insert(name, value);
                        added.set(name, value);
                    }
                }
            }
            // Elements that nothing describes pass only what also passes without the labels.
            if matching.is_none() && !wanted.iter().all(|m| m.matches("")) {
                continue;
            }
            let mut builder = element.labels.to_builder();
            for (name, value) in added.build().iter() {
                builder.set(name, value);
            }
            found.push(Element { labels: builder.build(), value: element.value });
        }
        super::names::check_unique(found.iter().map(|e| &e.labels))?;
        Ok(found)
    }

    /// Info series that may describe one of the elements: by identity, then by metric.
    fn info_series(
        &mut self,
        info: &Info,
        elements: &[Element],
        is_info: &dyn Fn(&Element) -> bool,
        at: Millis,
    ) -> Result<BTreeMap<Identity, BTreeMap<String, Held>>, EvalError> {
        // As Prometheus asks for them: by the values of either label among elements that have the same of the two.
        let mut asked: BTreeMap<[bool; 2], [BTreeSet<String>; 2]> = BTreeMap::new();
        for element in elements.iter().filter(|element| !is_info(element)) {
            let values = identity(&element.labels);
            let present = [!values[0].is_empty(), !values[1].is_empty()];
            let sets = asked.entry(present).or_default();
            values.into_iter().zip(sets).for_each(|(value, set)| {
                set.insert(value);
            });
        }
        asked.remove(&[false, false]);
        let selector = &self.selectors[info.selector];
        let window = window(selector, at, self.options.lookback_ms);
        let (mut touched, mut no_float, mut error) = (0_u64, None, None);
        let mut held: BTreeMap<Identity, BTreeMap<String, Held>> = BTreeMap::new();
        if asked.is_empty() {
            return Ok(held);
        }
        self.source.select(info.selector, selector, &mut |series| {
            let (samples, histograms) = (series.samples, series.histograms);
            let newest = samples[..samples.partition_point(|s| s.time() <= window.end)].last();
            let histogram = histograms[..histograms.partition_point(|s| s.time <= window.end)].last();
            let histogram = histogram.filter(|h| newest.is_none_or(|s| s.time() < h.time));
            let (time, live) = match (histogram, newest) {
                (Some(histogram), _) => (histogram.time, histogram.histogram.is_some()),
                (None, Some(newest)) => (newest.time(), !newest.is_stale()),
                (None, None) => return,
            };
            if time <= window.start || !live {
                return;
            }
            let values = identity(series.labels);
            let sets = asked.get(&[!values[0].is_empty(), !values[1].is_empty()]);
            if !sets.is_some_and(|sets| values.iter().zip(sets).all(|(value, set)| set.contains(value))) {
                return;
            }
            touched += 1;
            if histogram.is_some() {
                let labels = braced(series.labels);
                let message = format!("this should be an info metric, with float samples: {labels}");
                no_float.get_or_insert(EvalError::Matching { message });
                return;
            }
            let by_name = held.entry(values).or_default();
            let name = series.labels.get(NAME);
            let now = Held { labels: series.labels.clone(), time };
            match by_name.get(name) {
                Some(before) if before.time > now.time => {}
                Some(before) if before.time == now.time => {
                    let message = format!(
                        "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                        braced(&before.labels),
                        before.time.0,
                        braced(&now.labels),
                        now.time.0
                    );
                    error.get_or_insert(EvalError::Matching { message });
                }
                _ => {
                    by_name.insert(name.into(), now);
                }
            }
        });
        self.spend(touched)?;
        no_float.or(error).map_or(Ok(held), Err)
    }
}
