//! Quantiles of classic histograms at many instants: which rows are the buckets of one is worked out once.
use super::Evaluator;
use super::columns::{Row, drop_names};
use super::histogram::{Bucket, Subject, bound_of, sorted_quantile};
use super::remarks;
use super::sweep::key;
use crate::EvalError;
use crate::expr::Node;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, float};

impl Evaluator<'_> {
    /// `histogram_quantile` of buckets; of native histograms instant by instant.
    ///
    /// - `args`: the quantile and the buckets.
    pub(super) fn bucket_quantiles(
        &mut self,
        node: &Node,
        args: &[Node],
        instants: &[Millis],
    ) -> Result<Vec<Row>, EvalError> {
        let rows = self.columns(&args[1], instants)?;
        if rows.iter().any(Row::has_histograms) {
            self.given.insert(key(&args[1]), rows);
            let mut keys = self.prepare(&args[0], instants)?;
            keys.push(key(&args[1]));
            return self.place_by_place(node, instants, keys);
        }
        let quantiles = self.scalars(&args[0], instants)?;
        let (of, named) = (args[1].unwrapped().span, self.delays_names);
        let subject = |when: Millis| Subject { at: of, when, named };
        let mut before = None;
        for q in &quantiles {
            if before.replace(q.to_bits()) != Some(q.to_bits()) {
                remarks::quantile(self.notes, *q, args[0].unwrapped().span);
            }
        }
        let mut groups: BTreeMap<Labels, Vec<(f64, usize)>> = BTreeMap::new();
        for (number, row) in rows.iter().enumerate() {
            match bound_of(&row.labels) {
                Some((labels, bound)) => groups.entry(labels).or_default().push((bound, number)),
                None => subject(instants[0]).no_bound(&row.labels, self.notes),
            }
        }
        self.spend((groups.len() * instants.len()) as u64)?;
        let (mut found, mut buckets) = (Vec::with_capacity(groups.len()), Vec::new());
        for (labels, mut members) in groups {
            self.go_on()?;
            members.sort_by(|a, b| float::order(a.0, b.0));
            let mut row = Row::new(labels, instants.len());
            for (place, (at, q)) in instants.iter().zip(&quantiles).enumerate() {
                buckets.clear();
                let counts = members.iter().filter_map(|(bound, row)| Some((*bound, rows[*row].float(place)?)));
                buckets.extend(counts.map(|(bound, count)| Bucket { bound, count }));
                if !buckets.is_empty() {
                    let (value, repair) = sorted_quantile(*q, &mut buckets);
                    if let Some(repair) = repair {
                        subject(*at).repaired(repair, &row.labels, self.notes);
                    }
                    row.put_float(place, value);
                }
            }
            found.push(row);
        }
        drop_names(found)
    }
}
