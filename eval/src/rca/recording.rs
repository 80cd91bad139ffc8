//! A recorded incident as what its senders would have sent.
use faultline_formats::{Decoded, decode, encode};
use faultline_model::{
    Clock, Encoding, Format, HashSeed, Kind, Labels, Millis, Payload, RuleFile, Sample, Setting, SourceId, TenantId,
};

/// One case.
#[derive(Debug)]
pub struct Recording {
    /// Its id, as the scoring program knows it.
    pub case: String,
    /// What kind of case it is, such as the violated metric: figures are told by it.
    pub group: String,
    /// The name of the service at fault, as the data set has it: read by the score only.
    pub truth: Option<String>,
    /// Rules that its users would have, beside those that ship.
    pub rules: Vec<RuleFile>,
    /// Names of the alerts of these that page.
    pub alerts: Vec<String>,
    /// Settings that they would have.
    pub settings: Vec<Setting>,
    /// When the server goes live: what was sent before is imported.
    pub live: Millis,
    /// What was sent, by the instant at which it arrives, rising.
    pub sent: Vec<(Millis, Body)>,
    /// When it is over.
    pub end: Millis,
}

/// Name of the alert of [`paged`].
pub const PAGED: &str = "Paged";

/// A rule that pages from an instant on, for a service where one is named: somebody noticed, and the set does not say by what.
pub fn paged(at: Millis, service: Option<&str>) -> RuleFile {
    let labels = service.map_or(String::new(), |service| {
        format!("    labels: {{service: {}}}\n", serde_json::Value::String(service.to_string()))
    });
    let text = format!(
        "groups:\n- name: paged\n  interval: 1s\n  rules:\n  - alert: {PAGED}\n    expr: vector(time()) >= {}\n{labels}",
        at.0.div_euclid(1000)
    );
    RuleFile { name: "paged.yml".into(), text }
}

/// One body.
#[derive(Clone, Debug)]
pub enum Body {
    /// Samples, by remote write.
    Metrics(Vec<(Labels, Sample)>),
    /// Spans, by OTLP.
    Spans(Vec<encode::ResourceSpans>),
    /// Log records, by OTLP.
    Logs(Vec<encode::ResourceLogs>),
}

impl Body {
    /// The record that it becomes, decoded as ever.
    pub fn record(&self, clock: Clock, seed: HashSeed) -> Decoded {
        let (format, body) = match self {
            Body::Metrics(series) => {
                let series = series.iter().map(|(labels, sample)| (labels, std::slice::from_ref(sample)));
                (Format::RemoteWrite1, encode::write_request(series))
            }
            Body::Logs(resources) => (Format::OtlpLogs, encode::logs(resources)),
            Body::Spans(resources) => (Format::OtlpTraces, encode::traces(resources)),
        };
        let kind = Kind::Telemetry { source: SourceId([1; 16]), format, encoding: Encoding::Identity, clock };
        decode(Payload { tenant: TenantId(0), kind, body: body.into() }, seed)
    }
}
