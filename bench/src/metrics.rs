//! The server's own histograms of its stages, read from `/metrics`.
use std::collections::BTreeMap;

/// The family, as `docs/formats/api.md` names it.
const FAMILY: &str = "faultline_stage_seconds_bucket{";

/// Counts of a stage's buckets by their upper bounds in seconds, not cumulated; the last bound is infinite.
pub type Buckets = Vec<(f64, u64)>;

/// Buckets of each stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stages(pub BTreeMap<String, Buckets>);

impl Stages {
    /// Reads a page of metrics; what it does not have is left out.
    pub fn read(page: &str) -> Stages {
        let mut stages: BTreeMap<String, Buckets> = BTreeMap::new();
        for line in page.lines() {
            let Some((stage, bound, cumulated)) = bucket(line) else { continue };
            let buckets = stages.entry(stage.to_owned()).or_default();
            let below: u64 = buckets.iter().map(|(_, count)| count).sum();
            buckets.push((bound, cumulated.saturating_sub(below)));
        }
        Stages(stages)
    }

    /// Adds what came from `before` to `after`.
    pub fn add_between(&mut self, before: &Stages, after: &Stages) {
        for (stage, buckets) in &after.0 {
            let mine = self.0.entry(stage.clone()).or_insert_with(|| buckets.iter().map(|(le, _)| (*le, 0)).collect());
            for (i, (sum, (_, count))) in mine.iter_mut().zip(buckets).enumerate() {
                let old = before.0.get(stage).and_then(|old| old.get(i)).map_or(0, |(_, count)| *count);
                sum.1 += count.saturating_sub(old);
            }
        }
    }
}

/// The bound that none of a stage's durations exceed, in seconds, and how many there are; none where there are none.
pub fn longest(buckets: &Buckets) -> Option<(f64, u64)> {
    let (bound, _) = buckets.iter().rev().find(|(_, count)| *count > 0)?;
    Some((*bound, buckets.iter().map(|(_, count)| count).sum()))
}

/// Stage, bound and cumulated count of a line, if it is of the family.
fn bucket(line: &str) -> Option<(&str, f64, u64)> {
    let (labels, value) = line.strip_prefix(FAMILY)?.split_once("} ")?;
    let of = |name: &str| {
        let rest = labels.split(',').find_map(|pair| pair.strip_prefix(name))?;
        rest.strip_prefix("=\"")?.strip_suffix('"')
    };
    let bound = match of("le")? {
        "+Inf" => f64::INFINITY,
        bound => bound.parse().ok()?,
    };
    Some((of("stage")?, bound, value.trim().parse::<f64>().ok()? as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(step: [u64; 3], turn: [u64; 3]) -> String {
        let mut out = "# TYPE faultline_stage_seconds histogram\nfaultline_series 7\n".to_owned();
        for (stage, counts) in [("step", step), ("turn", turn)] {
            for (le, count) in ["0.001", "0.02", "+Inf"].iter().zip(counts) {
                out += &format!("faultline_stage_seconds_bucket{{stage=\"{stage}\",le=\"{le}\"}} {count}\n");
            }
            out += &format!("faultline_stage_seconds_sum{{stage=\"{stage}\"}} 0.5\n");
        }
        out
    }

    #[test]
    fn what_came_between_two_pages_is_added_up() {
        let mut sum = Stages::default();
        let [a, b, c] = [page([5, 6, 6], [0, 0, 1]), page([8, 10, 10], [0, 0, 1]), page([8, 10, 10], [0, 0, 3])];
        let [a, b, c] = [a, b, c].map(|page| Stages::read(&page));
        assert_eq!(a.0["step"], [(0.001, 5), (0.02, 1), (f64::INFINITY, 0)]);
        sum.add_between(&a, &b);
        assert_eq!(sum.0["step"], [(0.001, 3), (0.02, 1), (f64::INFINITY, 0)]);
        assert_eq!((longest(&sum.0["step"]), longest(&sum.0["turn"])), (Some((0.02, 4)), None));
        sum.add_between(&b, &c);
        assert_eq!((longest(&sum.0["step"]), longest(&sum.0["turn"])), (Some((0.02, 4)), Some((f64::INFINITY, 2))));
    }

    #[test]
    fn a_page_without_stages_has_none() {
        assert_eq!(Stages::read("faultline_series 7\n\nnonsense{} x"), Stages::default());
        assert_eq!(Stages::read("faultline_stage_seconds_bucket{stage=\"x\",le=\"y\"} 1"), Stages::default());
    }
}
