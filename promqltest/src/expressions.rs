//! Expressions that reach the whole language, over series of [`crate::world`].
use crate::random::Random;
use faultline_model::Millis;

const QUANTILES: &[&str] = &["0.5", "0.9", "0", "1", "0.01", "-1", "2", "NaN"];
const RANGES: &[&str] = &["30s", "1m", "2m", "5m", "90s"];

impl Random {
    /// An expression whose value is a vector or a number; times within it lie in the half hour from `base` on.
    ///
    /// Of [`Random::settled`] it is one whose answer Prometheus does not leave open.
    pub fn expression(&mut self, base: Millis) -> String {
        let depth = self.below(4);
        let of = self.vector(depth, true);
        match self.below(24) {
            0 => {
                let call = self.range_call();
                let step = self.pick(&["", "17s", "1m", "10s"]);
                call.replace("{}", &format!("({of})[{}:{step}]", self.pick(RANGES)))
            }
            1 => {
                let call = self.range_call_of_histograms();
                let at = base.0 as f64 / 1000.0 + self.below(1_800) as f64;
                let at = self.pick(&["start()", "end()", &at.to_string()]).to_string();
                let selector = self.pick(&["a", "b", "c{i=\"1\"}", "h", "g", "m"]);
                call.replace(
                    "{}",
                    &format!("{selector}[{}] @ {at} offset {}", self.pick(RANGES), self.pick(&["0s", "1m", "-1m"])),
                )
            }
            2 => format!("scalar({of}) + ({})", self.vector(1, true)),
            3 => {
                let parameter = self.pick(QUANTILES);
                format!("quantile by ({}) ({parameter}, {of})", self.pick(&["", "i", "i, j"]))
            }
            4 => {
                // Which of equal elements are taken is left open, but not what they are together.
                let (op, all) = self.pick(&[("topk", "sum"), ("bottomk", "sum"), ("limitk", "count")]);
                let by = self.pick(&["", "i"]);
                format!("{all} by ({by}) ({op} by ({by}) ({}, {of}))", self.pick(&["1", "2", "0", "5", "NaN"]))
            }
            5 => {
                let op = self.pick(&["stddev", "stdvar", "avg", "sum", "min", "max", "count", "group"]);
                let op = settled(op, &of);
                format!("{op} without ({}) ({of})", self.pick(&["", "i", "w", "i, k"]))
            }
            6 => {
                // The last digits of what is computed are left open, and here they are a label.
                let exact = ["min_over_time", "max_over_time", "last_over_time", "count_over_time", "resets"];
                let (name, call, range) =
                    (self.pick(&["a", "b", "c", "h", "n", "m"]), self.pick(&exact), self.pick(RANGES));
                format!("count_values by ({}) (\"v\", {call}({name}[{range}]))", self.pick(&["", "i"]))
            }
            7 => format!("{}({of})", self.pick(&["sort", "sort_desc"])),
            8 => match self.below(3) {
                0 => format!("label_replace({of}, \"z\", \"<$1>\", \"i\", \"(.*)\")"),
                1 => format!("label_replace({of}, \"j\", \"$2\", \"i\", \"(0)|(.)\")"),
                _ => format!("label_join({of}, \"z\", \"-\", \"i\", \"j\", \"none\")"),
            },
            9 | 10 => {
                let (op, how) =
                    (self.pick(&["and", "or", "unless"]), self.pick(&["", "on (i)", "ignoring (k)", "on ()"]));
                format!("({of}) {op} {how} ({})", self.vector(depth.min(2), true))
            }
            11 => {
                const MAPS: &[&str] = &[
                    "minute",
                    "day_of_week",
                    "day_of_month",
                    "day_of_year",
                    "days_in_month",
                    "month",
                    "year",
                    "log2",
                    "log10",
                    "sin",
                    "cos",
                    "tan",
                    "asin",
                    "acos",
                    "atan",
                    "sinh",
                    "cosh",
                    "tanh",
                    "asinh",
                    "acosh",
                    "atanh",
                    "deg",
                    "rad",
                    "absent",
                ];
                format!("{}({of})", self.pick(MAPS))
            }
            12 => format!("clamp_{}({of}, {})", self.pick(&["min", "max"]), self.pick(&["1", "-3.5", "NaN"])),
            13 => format!("round({of}, {})", self.pick(&["0.1", "5", "0", "-2"])),
            14 | 15 => self.of_classic(),
            16..=20 => self.of_native(depth),
            _ => of,
        }
    }

    /// A function over a range, which stands at `{}`.
    fn range_call(&mut self) -> String {
        const PLAIN: &[&str] = &[
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "changes",
            "resets",
            "deriv",
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "sum_over_time",
            "count_over_time",
            "last_over_time",
            "first_over_time",
            "present_over_time",
            "absent_over_time",
            "stddev_over_time",
            "stdvar_over_time",
            "mad_over_time",
            "ts_of_first_over_time",
            "ts_of_last_over_time",
            "ts_of_min_over_time",
            "ts_of_max_over_time",
        ];
        match self.below(8) {
            0 => format!("quantile_over_time({}, {{}})", self.pick(QUANTILES)),
            1 => format!("predict_linear({{}}, {})", self.pick(&["60", "-30", "0"])),
            2 => format!("double_exponential_smoothing({{}}, {}, 0.3)", self.pick(&["0.5", "0.1"])),
            _ => format!("{}({{}})", self.pick(PLAIN)),
        }
    }

    /// The same of what may be histograms: two that differ by an empty bucket alone differ as Prometheus' storage keeps them.
    fn range_call_of_histograms(&mut self) -> String {
        self.range_call().replace("changes(", "resets(")
    }

    fn of_classic(&mut self) -> String {
        let inner = match self.below(4) {
            0 => "lat_bucket".into(),
            1 => format!("rate(lat_bucket[{}])", self.pick(RANGES)),
            2 => format!("sum by (le) (rate(lat_bucket[{}]))", self.pick(RANGES)),
            _ => format!("sum by (le, i) (increase(lat_bucket{{le!=\"1\"}}[{}]))", self.pick(RANGES)),
        };
        match self.below(4) {
            0 => format!(
                "histogram_fraction({}, {}, {inner})",
                self.pick(&["0", "-Inf", "0.3"]),
                self.pick(&["1", "0.7", "Inf"])
            ),
            1 => format!("histogram_quantiles({inner}, \"q\", {}, 0.75)", self.pick(QUANTILES)),
            _ => format!("histogram_quantile({}, {inner})", self.pick(QUANTILES)),
        }
    }

    /// Something made of native histograms: one, or a figure of one.
    fn of_native(&mut self, depth: usize) -> String {
        let of = self.native(depth);
        match self.below(10) {
            0 => format!("histogram_quantile({}, {})", self.pick(QUANTILES), compact(&of)),
            1 => format!(
                "histogram_fraction({}, {}, {})",
                self.pick(&["0", "-Inf", "0.3"]),
                self.pick(&["1", "2.7", "Inf"]),
                compact(&of)
            ),
            2..=4 => {
                let call =
                    ["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"];
                format!("{}({of})", self.pick(&call))
            }
            5 => format!("histogram_quantiles({}, \"q\", {}, 0.75)", compact(&of), self.pick(QUANTILES)),
            _ => of,
        }
    }

    fn native(&mut self, depth: usize) -> String {
        if depth == 0 || self.chance(25) {
            let name = self.pick(&["h", "h", "g", "n", "m", "c"]);
            let matchers = self.pick(&["", "", "{i=\"0\"}", "{j!=\"1\"}"]);
            let offset = self.pick(&["", "", "", " offset 30s"]);
            if self.chance(40) {
                return format!("{name}{matchers}{offset}");
            }
            return self
                .range_call_of_histograms()
                .replace("{}", &format!("{name}{matchers}[{}]{offset}", self.pick(RANGES)));
        }
        let of = self.native(depth - 1);
        match self.below(10) {
            0 => format!("-({of})"),
            1 => {
                let (op, by) = (self.pick(&["*", "/", "+", "-", "^"]), self.pick(&["2", "0.5", "-1", "0"]));
                if self.chance(80) { format!("({of} {op} {by})") } else { format!("({by} {op} {of})") }
            }
            2 | 3 => {
                let op = self.pick(&["sum", "avg", "sum", "avg", "count", "group", "min", "max", "stddev"]);
                let op = settled(op, &of);
                format!("{op} by ({}) ({of})", self.pick(&["", "i", "j"]))
            }
            4 => {
                let op = self.pick(&["==", "!=", ">", "== bool", "!= bool"]);
                format!("({of} {op} ignoring (k) {})", self.native(depth - 1))
            }
            5 | 6 => {
                let op = self.pick(&["+", "-", "+", "-", "*", "/"]);
                let matching = self.pick(&["ignoring (k)", "on (i, j)", "on (i) group_left ()"]);
                format!("({of} {op} {matching} {})", self.native(depth - 1))
            }
            7 => format!(
                "({} {} {})",
                compact(&of),
                self.pick(&["</", ">/"]),
                self.pick(&["1", "2.5", "0", "-1", "Inf"])
            ),
            8 => {
                let range = self.pick(RANGES);
                self.range_call_of_histograms().replace("{}", &format!("({of})[{range}:20s]"))
            }
            _ => {
                let calls = [
                    "abs({})",
                    "sort({})",
                    "timestamp({})",
                    "absent({})",
                    "exp({})",
                    "sum(topk(1, {}))",
                    "count(limitk(2, {}))",
                ];
                self.pick(&calls).replace("{}", &of)
            }
        }
    }
}

/// The same without empty buckets. Which of these a storage keeps is left open, and with it whether a side is populated, and
/// which bucket is the last.
fn compact(of: &str) -> String {
    format!("({of} * 1)")
}

/// An aggregation. Of times, which are large numbers close together, the deviation is left open but for a few digits.
fn settled(op: &'static str, of: &str) -> &'static str {
    let of_times = ["ts_of", "time"].iter().any(|part| of.contains(part));
    if of_times && op.starts_with("std") { "max" } else { op }
}
