//! Alerts for Alertmanager: the body of `POST /api/v2/alerts`.
//!
//! Source: prometheus/alertmanager `api/v2/openapi.yaml`, `postableAlerts`. Equal alerts give equal bytes: members stand in
//! a fixed order, labels and annotations in the order in which they are kept.
use crate::any::append_json_text;
use alloc::string::{String, ToString};
use faultline_model::{Labels, Millis};

/// An alert as it leaves.
#[derive(Clone, Copy, Debug)]
pub struct Alert<'a> {
    /// All of them, `alertname` and external labels included.
    pub labels: &'a Labels,
    /// Expanded, in name order.
    pub annotations: &'a [(String, String)],
    /// When it began to fire.
    pub starts_at: Millis,
    /// When it ended, or until when it stands if nothing more is heard of it.
    pub ends_at: Millis,
    /// Where the reader can see why.
    pub generator_url: &'a str,
}

/// The JSON array of `alerts`.
pub fn alerts(alerts: &[Alert<'_>]) -> String {
    let mut out = String::from("[");
    for (i, alert) in alerts.iter().enumerate() {
        out.push_str(if i > 0 { ",{\"labels\":" } else { "{\"labels\":" });
        append_map(alert.labels.iter(), &mut out);
        out.push_str(",\"annotations\":");
        append_map(alert.annotations.iter().map(|(name, value)| (&**name, &**value)), &mut out);
        for (member, at) in [(",\"startsAt\":\"", alert.starts_at), (",\"endsAt\":\"", alert.ends_at)] {
            out.push_str(member);
            out.push_str(&rfc_3339(at));
            out.push('"');
        }
        out.push_str(",\"generatorURL\":");
        append_json_text(alert.generator_url, &mut out);
        out.push('}');
    }
    out.push(']');
    out
}

fn append_map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, out: &mut String) {
    out.push('{');
    for (i, (name, value)) in pairs.enumerate() {
        if i > 0 {
            out.push(',');
        }
        append_json_text(name, out);
        out.push(':');
        append_json_text(value, out);
    }
    out.push('}');
}

/// RFC 3339 knows the years 0000 to 9999 only; a time beyond is held at 1970 or 9999.
fn rfc_3339(at: Millis) -> String {
    const LAST: i64 = 253_402_300_799_999;
    Millis(at.0.clamp(0, LAST)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_fixed_and_escaped() {
        let labels = Labels::new([("severity", "page"), ("alertname", "Slow \"checkout\"\\\u{1}é\n")]);
        let annotations = [("summary".to_string(), "p99 > 1s <b>\t\u{7f}".to_string())];
        let alert = Alert {
            labels: &labels,
            annotations: &annotations,
            starts_at: Millis(1_795_000_000_123),
            ends_at: Millis(i64::MAX),
            generator_url: "http://faultline:7400/graph?g0.expr=a%3Eb&g0.tab=1",
        };
        let one = concat!(
            r#"{"labels":{"alertname":"Slow \"checkout\"\\\u0001é\n","severity":"page"},"#,
            "\"annotations\":{\"summary\":\"p99 > 1s <b>\\t\u{7f}\"},",
            r#""startsAt":"2026-11-18T11:06:40.123Z","endsAt":"9999-12-31T23:59:59.999Z","#,
            r#""generatorURL":"http://faultline:7400/graph?g0.expr=a%3Eb&g0.tab=1"}"#
        );
        assert_eq!(alerts(&[alert]), ["[", one, "]"].concat());
        assert_eq!(alerts(&[alert, alert]), ["[", one, ",", one, "]"].concat());
        assert_eq!(alerts(&[]), "[]");
    }
}
