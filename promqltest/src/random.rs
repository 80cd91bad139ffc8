//! Seeded choices, and expressions and samples made of them.
use faultline_model::{Millis, Sample};

/// A linear congruential generator: the same choices from the same seed, everywhere.
#[derive(Debug)]
pub struct Random {
    state: u64,
    settled: bool,
}

impl Random {
    /// Choices of a seed.
    pub fn new(seed: u64) -> Random {
        Random { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678, settled: false }
    }

    /// Choices of a seed among the questions that have one answer: none that depends on which of equal elements come first.
    pub fn settled(seed: u64) -> Random {
        Random { settled: true, ..Random::new(seed) }
    }

    /// A number of `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % bound
    }

    /// True so many times of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// A sample: mostly small numbers, now and then one that makes trouble, or a stale marker.
    pub fn sample(&mut self, time: Millis) -> Sample {
        const ODD: &[f64] = &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e308, -1e308, 5e-324, 0.1, 1e16];
        match self.below(20) {
            0 => Sample::stale(time),
            1 => Sample::new(time, *self.pick(ODD)),
            2..=6 => Sample::new(time, self.below(1000) as f64 / 7.0 - 30.0),
            _ => Sample::new(time, self.below(12) as f64),
        }
    }

    fn number(&mut self) -> &'static str {
        self.pick::<&str>(&["0", "1", "5", "-3", "0.5", "2.25", "Inf", "NaN"])
    }

    /// A number; one that depends on the instant only if `timed`.
    fn scalar(&mut self, timed: bool) -> String {
        match self.below(10) {
            0 if timed => "time()".into(),
            1 if timed => format!("(time() / {})", self.number()),
            2 => "pi()".into(),
            3 => format!("max_of({}, {})", self.number(), self.number()),
            _ => self.number().into(),
        }
    }

    fn selector(&mut self) -> String {
        let name = self.pick(&["a", "b", "c"]);
        let matchers =
            self.pick(&["", "", "", r#"{i="0"}"#, r#"{i!="1"}"#, r#"{j=~"0|1"}"#, r#"{i!~"2.*"}"#, r#"{j=""}"#]);
        if self.chance(4) { r#"{__name__=~"a|b"}"#.into() } else { format!("{name}{matchers}") }
    }

    fn offset(&mut self) -> &'static str {
        self.pick::<&str>(&["", "", "", "", " offset 30s", " offset -20s"])
    }

    fn labels(&mut self) -> &'static str {
        self.pick::<&str>(&["", "i", "j", "i, j", "k", "__name__"])
    }

    /// An instant vector made of what a stream can keep up to date, now and then of what it cannot.
    pub fn vector(&mut self, depth: usize, timed: bool) -> String {
        const RANGE: &[&str] = &[
            "rate",
            "increase",
            "delta",
            "irate",
            "idelta",
            "avg_over_time",
            "min_over_time",
            "max_over_time",
            "sum_over_time",
            "count_over_time",
            "last_over_time",
            "stddev_over_time",
            "changes",
            "resets",
            "deriv",
            "present_over_time",
            "stdvar_over_time",
        ];
        const MAPS: &[&str] = &["abs", "ceil", "floor", "sgn", "sqrt", "exp", "round", "timestamp", "hour", "ln"];
        const OPS: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
        const COMPARE: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
        if depth == 0 || self.chance(20) {
            let selector = self.selector();
            let offset = self.offset();
            return if self.chance(50) {
                let extent = if self.chance(10) { " smoothed" } else { "" };
                format!("{selector}{extent}{offset}")
            } else if self.chance(20) {
                let length = self.pick(&["45s", "30s + 15s", "max_of(10s, 1m)", "2m - 2 * 30s"]);
                let extent = self.pick(&["anchored", "smoothed"]);
                format!("{}({selector}[{length}] {extent}{offset})", self.pick(&["rate", "increase", "delta"]))
            } else {
                let length = self.pick(&["10s", "45s", "2m", "5m"]);
                format!("{}({selector}[{length}]{offset})", self.pick(RANGE))
            };
        }
        let of = self.vector(depth - 1, timed);
        match self.below(12) {
            0 => format!("-({of})"),
            1 => format!("{}({of})", self.pick(MAPS)),
            2 => format!("clamp({of}, {}, {})", self.scalar(timed), self.scalar(timed)),
            3 | 4 => {
                let bool = if self.chance(20) { "bool " } else { "" };
                let (op, scalar) = (self.pick(COMPARE), self.scalar(timed));
                if self.chance(75) {
                    format!("({of} {op} {bool}{scalar})")
                } else {
                    format!("({scalar} {op} {bool}{of})")
                }
            }
            5 => {
                let (op, scalar) = (self.pick(OPS), self.scalar(timed));
                if self.chance(75) { format!("({of} {op} {scalar})") } else { format!("({scalar} {op} {of})") }
            }
            6 | 7 => {
                let op = self.pick(&["sum", "avg", "min", "max", "count", "group"]);
                let how = self.pick(&["by", "without"]);
                format!("{op} {how} ({}) ({of})", self.labels())
            }
            8 if self.chance(40) => format!("absent({of})"),
            8 => format!("absent_over_time({}[{}])", self.selector(), self.pick(&["10s", "1m"])),
            9 if self.chance(30) => {
                let call = self.pick(&["topk(2, ", "limitk(2, ", "limit_ratio(0.5, ", "limit_ratio(-0.5, ", "info("]);
                // Of all there are, none is left out.
                let call = if self.settled { call.replace("k(2", "k(99") } else { String::from(*call) };
                format!("{call}{of})")
            }
            9 if self.chance(20) => format!("sort_by_label({of}, \"i\")"),
            _ => {
                let other = self.vector(depth - 1, timed);
                let op = if self.chance(60) { *self.pick(OPS) } else { *self.pick(COMPARE) };
                let bool = if COMPARE.contains(&op) && self.chance(20) { "bool " } else { "" };
                let how = *self.pick(&["on", "ignoring"]);
                let labels = if how == "on" { *self.pick(&["", "i", "j", "i, j", "__name__"]) } else { self.labels() };
                let group = self.pick(&["", "", "group_left()", "group_right()", "group_left(k)"]);
                let fill = self.pick(&["", "", "", "", "fill(0)", "fill_left(1)", "fill_right(-Inf) fill_left(2)"]);
                format!("({of} {op} {bool}{how}({labels}) {group} {fill} {other})")
            }
        }
    }
}
