//! An assertion that breaks on purpose, for tests of what holds it: only in builds with the feature `planted`.
use faultline_formats::Record;

/// A body that holds this breaks `step` after everything else of its record was done.
const MARK: &[u8] = b"planted assertion";

pub(crate) fn fire(record: &Record) {
    let body = &record.decoded.payload.body;
    assert!(!body.windows(MARK.len()).any(|window| window == MARK), "planted in record {}", record.at);
}
