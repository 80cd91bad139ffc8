//! A file of unit tests for rules, in promtool's format.
//!
//! Format: <https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/>
use faultline_model::Millis;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitFile {
    /// Rule files, relative to this one, with `*`, `?` and `[...]`.
    #[serde(default, deserialize_with = "or_none")]
    pub rule_files: Vec<String>,
    /// Between two evaluations of the rules.
    #[serde(default = "minute")]
    pub evaluation_interval: Span,
    /// Names of groups, in the order in which they are evaluated.
    #[serde(default, deserialize_with = "or_none")]
    pub group_eval_order: Vec<String>,
    /// The tests.
    #[serde(default, deserialize_with = "or_none")]
    pub tests: Vec<UnitTest>,
    /// Whether numbers one step apart count as equal.
    #[serde(default)]
    pub fuzzy_compare: bool,
}

/// A test: series, and what is to come of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitTest {
    /// What it is called.
    #[serde(default, deserialize_with = "or_none")]
    pub name: String,
    /// Between two samples; that of the evaluations where it is absent.
    pub interval: Option<Span>,
    /// The series.
    #[serde(default, deserialize_with = "or_none")]
    pub input_series: Vec<InputSeries>,
    /// Alerts that must fire.
    #[serde(default, deserialize_with = "or_none")]
    pub alert_rule_test: Vec<AlertTest>,
    /// Expressions and their values.
    #[serde(default, deserialize_with = "or_none")]
    pub promql_expr_test: Vec<ExprTest>,
    /// What templates know as `$externalLabels`.
    #[serde(default, deserialize_with = "or_none")]
    pub external_labels: BTreeMap<String, String>,
    /// What templates know as `$externalURL`.
    #[serde(default, deserialize_with = "or_none")]
    pub external_url: String,
    /// When it begins: RFC 3339 or seconds since 1970.
    #[serde(default)]
    pub start_timestamp: Start,
}

/// A series.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSeries {
    /// Its labels.
    #[serde(default, deserialize_with = "or_none")]
    pub series: String,
    /// What it holds, step by step.
    #[serde(default, deserialize_with = "text")]
    pub values: String,
}

/// Alerts of one name at one time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertTest {
    /// When, from the start.
    #[serde(default)]
    pub eval_time: Span,
    /// Their name.
    #[serde(default, deserialize_with = "or_none")]
    pub alertname: String,
    /// Those that must fire, and no others.
    #[serde(default, deserialize_with = "or_none")]
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that must fire.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedAlert {
    /// Its labels but for the name.
    #[serde(default, deserialize_with = "texts")]
    pub exp_labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default, deserialize_with = "texts")]
    pub exp_annotations: BTreeMap<String, String>,
}

/// The value of an expression.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExprTest {
    /// The expression.
    #[serde(default, deserialize_with = "text")]
    pub expr: String,
    /// When, from the start.
    #[serde(default)]
    pub eval_time: Span,
    /// Its elements, in any order.
    #[serde(default, deserialize_with = "or_none")]
    pub exp_samples: Vec<ExpectedSample>,
}

/// An element.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedSample {
    /// Its labels.
    #[serde(default, deserialize_with = "or_none")]
    pub labels: String,
    /// Its value, a float.
    #[serde(default)]
    pub value: f64,
    /// Its value, a histogram, which counts instead.
    #[serde(default, deserialize_with = "or_none")]
    pub histogram: String,
}

/// A stretch of time, in ms: `90s`, `1h30m`, `0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub i64);

fn minute() -> Span {
    Span(60_000)
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&faultline_rules::print_duration_ms(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = text(deserializer)?;
        let ns = faultline_rules::parse_duration_ns(&text);
        ns.map(|ns| Span(ns / 1_000_000)).map_err(|what| serde::de::Error::custom(format!("{text:?}: {what}")))
    }
}

/// When a test begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start(pub Millis);

impl Default for Start {
    fn default() -> Start {
        Start(Millis(0))
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Start, D::Error> {
        let text = text(deserializer)?;
        let seconds = |text: &str| text.parse::<f64>().ok().map(|seconds| Millis((seconds * 1000.0).round() as i64));
        let refused = || {
            serde::de::Error::custom(format!("{text:?} is no time: write 2026-01-31T08:00:00Z or seconds since 1970"))
        };
        Millis::parse(&text).or_else(|| seconds(&text)).map(Start).ok_or_else(refused)
    }
}

/// What is there, and nothing where there is null, as in promtool.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A scalar as it stands: `1.10` is a text, too.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    or_none(deserializer)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let texts: BTreeMap<String, Option<String>> = or_none(deserializer)?;
    Ok(texts.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect())
}
