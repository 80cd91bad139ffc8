//! Answers to OTLP senders.
//!
//! Source: OTLP 1.x, "Full Success", "Partial Success", "Failures" and "OTLP/gRPC Throttling"; google.rpc `status.proto`
//! and `error_details.proto`.
use super::wire::Message;
use crate::any::append_json_text;
use crate::reject::{Reject, Scope, summary};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The answer to a body of which something was taken: an `ExportMetricsServiceResponse`, and byte for byte also its
/// siblings for logs and traces, since their fields bear the same numbers. Empty where nothing was rejected.
///
/// Rejects that cost no item of the sender are told as a warning: words with a count of 0, as OTLP asks.
pub fn answer(rejects: &[Reject]) -> Vec<u8> {
    let mut out = Message::default();
    let (count, words) = told(rejects);
    if !words.is_empty() {
        out.message(1, |partial| {
            partial.varint(1, count);
            partial.bytes(2, words.as_bytes());
        });
    }
    out.into_bytes()
}

/// The same in JSON.
///
/// - `items`: what the sender's items are called there, such as `rejectedDataPoints`.
pub fn answer_json(rejects: &[Reject], items: &str) -> String {
    let (count, words) = told(rejects);
    if words.is_empty() {
        return String::from("{}");
    }
    let mut out = format!("{{\"partialSuccess\":{{\"{items}\":\"{count}\",\"errorMessage\":");
    append_json_text(&words, &mut out);
    out + "}}"
}

/// A `google.rpc.Status` in JSON.
pub fn status_json(message: &str) -> String {
    let mut out = String::from("{\"message\":");
    append_json_text(message, &mut out);
    out + "}"
}

/// How many items were not taken, and in words what and why; no words where there is nothing to tell.
fn told(rejects: &[Reject]) -> (u64, String) {
    let items = rejects.iter().filter(|reject| reject.reason.scope() == Scope::Item);
    let count = items.fold(0u64, |sum, reject| sum.saturating_add(reject.count)).min(i64::MAX as u64);
    let words = if count > 0 { summary(rejects, Scope::Item) } else { summary(rejects, Scope::Extra) };
    (count, if words.is_empty() { summary(rejects, Scope::Shown) } else { words })
}

/// A `google.rpc.Status`: the answer to a body that was refused as a whole, or not taken for now.
///
/// - `code`: gRPC status code, such as 3 (invalid argument) or 8 (resource exhausted).
/// - `retry_ms`: how long the sender should wait; without it OTLP senders do not retry on code 8.
pub fn status(code: u32, message: &str, retry_ms: Option<u64>) -> Vec<u8> {
    let mut out = Message::default();
    out.varint(1, u64::from(code));
    out.bytes(2, message.as_bytes());
    if let Some(ms) = retry_ms {
        out.message(3, |any| {
            any.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
            any.message(2, |info| {
                info.message(1, |duration| {
                    duration.varint(1, ms / 1000);
                    duration.varint(2, ms % 1000 * 1_000_000);
                });
            });
        });
    }
    out.into_bytes()
}
