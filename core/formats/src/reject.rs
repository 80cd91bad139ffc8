//! What was not taken, why, and how much of it.
use crate::limits;
use crate::wire::Malformed;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What was refused for one reason. Counts are in the sender's own items: data points, log records, spans, samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: Reason,
    /// How many items; 1 where the reason is the whole body's.
    pub count: u64,
    /// Words on the first of them, at most [`limits::DETAIL_SIZE`] bytes.
    pub detail: String,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $scope:ident;)*) => {
        /// Why something was refused. The words are stable: metrics, the dead-letter sink and tests carry them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Reason] = &[$(Reason::$name),*];

            /// The stable word.
            pub fn word(self) -> &'static str {
                match self { $(Reason::$name => $word),* }
            }

            /// What it concerns.
            pub fn scope(self) -> Scope {
                match self { $(Reason::$name => Scope::$scope),* }
            }
        }
    };
}

/// How far a reject reaches, and so how the sender is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing of the body was taken: the answer is an error, and the sender must not retry.
    Body,
    /// Single items: the answer is a partial success.
    Item,
    /// Something beside the items; all of them may have been taken. Not counted in a partial success.
    Extra,
    /// What only readers would have seen: told and counted as [`Scope::Extra`], but no part of the engine's state.
    Shown,
}

reasons! {
    /// The body, as received or inflated, is larger than the limit.
    TooLarge = "too-large", Body;
    /// The body inflates to more than its size allows.
    Bomb = "bomb", Body;
    /// The body is not what its content encoding says.
    BadEncoding = "bad-encoding", Body;
    /// The inflated body is not the protobuf message that its format says.
    BadProtobuf = "bad-protobuf", Body;
    /// The inflated body is not the JSON message that its format says.
    BadJson = "bad-json", Body;
    /// A name or a label's value is not UTF-8.
    BadUtf8 = "bad-utf8", Item;
    /// A time is 0, before 1971 or after 2199.
    TimeOutOfRange = "time-out-of-range", Item;
    /// The metric has no name, or nothing of it is left in Prometheus' alphabet.
    EmptyName = "empty-name", Item;
    /// The metric's name, unit included, is longer than the limit.
    NameTooLong = "name-too-long", Item;
    /// A label has no name, or nothing of it is left in Prometheus' alphabet.
    BadLabelName = "bad-label-name", Item;
    /// A label's name or value, or a span's name, is longer than the limit.
    LabelTooLong = "label-too-long", Item;
    /// A series has more labels than the limit.
    TooManyLabels = "too-many-labels", Item;
    /// The labels of a series are together larger than the limit.
    LabelsTooLarge = "labels-too-large", Item;
    /// A label is given twice (remote write).
    DuplicateLabel = "duplicate-label", Item;
    /// An attribute's value nests deeper than the limit.
    TooDeep = "too-deep", Item;
    /// A point without a value.
    NoValue = "no-value", Item;
    /// A sum or histogram whose temporality is neither cumulative nor delta.
    BadTemporality = "bad-temporality", Item;
    /// A histogram whose bounds do not rise.
    BadBounds = "bad-bounds", Item;
    /// A native or exponential histogram that contradicts itself: spans without counts, counts that do not add up, are
    /// negative or no number, an index, bound or threshold out of range.
    BadHistogram = "bad-histogram", Item;
    /// A native or exponential histogram whose schema is not known, or too coarse.
    BadSchema = "bad-schema", Item;
    /// A histogram, or the body's histograms together, hold more buckets than the limit.
    TooManyBuckets = "too-many-buckets", Item;
    /// A label of remote write 2.0 refers to no symbol.
    BadSymbol = "bad-symbol", Item;
    /// A metric of a kind that is not known here.
    UnknownKind = "unknown-kind", Item;
    /// A span whose trace or span id is missing or has the wrong size.
    BadId = "bad-id", Item;
    /// The body holds more points than the limit.
    TooManyPoints = "too-many-points", Item;
    /// The labels of the body's points are together larger than the limit.
    TooManyLabelBytes = "too-many-label-bytes", Item;
    /// The body holds more log records than the limit.
    TooManyLogs = "too-many-logs", Item;
    /// The body holds more spans than the limit.
    TooManySpans = "too-many-spans", Item;
    /// The body holds more resources than the limit.
    TooManyResources = "too-many-resources", Item;
    /// There is no room for another series.
    Cardinality = "cardinality", Item;
    /// The histograms kept for rules take all the room there is.
    HistogramBytes = "histogram-bytes", Item;
    /// The sample is older than everything kept of its series.
    TooOld = "too-old", Item;
    /// Another value was taken for the same time of the same series.
    Conflict = "conflict", Item;
    /// The time lies too far ahead.
    Future = "future", Item;
    /// Imported data after the first live record.
    ImportAfterLive = "import-after-live", Item;
    /// A record of our own does not read, or answers nothing that was asked.
    BadRecord = "bad-record", Body;
    /// What an operator says of an incident cannot be taken: it is not known, has ended long ago, or is closed already.
    BadFeedback = "bad-feedback", Body;
    /// The engine breaks on the record: it is kept in the journal and passed over.
    Quarantined = "quarantined", Body;
    /// A resource's attributes cannot become the labels of `target_info`; its points were taken.
    TargetInfo = "target-info", Extra;
    /// An exemplar that is not well formed, without a value, with labels or a time that cannot be taken.
    BadExemplar = "bad-exemplar", Shown;
    /// An exemplar whose labels have more characters than the limit.
    ExemplarTooLong = "exemplar-too-long", Shown;
    /// The body holds more exemplars than the limit, or the labels of their series are together larger than it.
    TooManyExemplars = "too-many-exemplars", Shown;
    /// Help, type and unit of a metric that cannot be taken: not well formed, not UTF-8, without a name or with one that is too long.
    BadMetadata = "bad-metadata", Shown;
    /// The body says help, type and unit of more metrics than the limit.
    TooMuchMetadata = "too-much-metadata", Shown;
}

/// Collects rejects by reason, in the order in which the reasons turned up.
#[derive(Debug, Default)]
pub(crate) struct Rejects {
    list: Vec<Reject>,
}

impl Rejects {
    /// Counts `count` items; `detail` is only called for the first of a reason.
    pub fn add(&mut self, reason: Reason, count: u64, detail: impl FnOnce() -> String) {
        match self.list.iter_mut().find(|reject| reject.reason == reason) {
            Some(reject) => reject.count = reject.count.saturating_add(count),
            None if count == 0 => {}
            None => self.list.push(Reject { reason, count, detail: shorten(detail()) }),
        }
    }

    pub fn into_list(self) -> Vec<Reject> {
        self.list
    }
}

/// The one reject of a body of which nothing is taken.
pub(crate) fn whole(reason: Reason, detail: String) -> Vec<Reject> {
    [Reject { reason, count: 1, detail: shorten(detail) }].into()
}

/// The one reject of a body that is not protobuf.
pub(crate) fn malformed(fault: Malformed) -> Vec<Reject> {
    whole(Reason::BadProtobuf, format!("{}, {} bytes before the end of that message", fault.what, fault.left))
}

/// The one reject of a body that is not JSON, or not of its message.
pub(crate) fn not_json(fault: Malformed) -> Vec<Reject> {
    whole(Reason::BadJson, format!("{}, {} bytes before the end", fault.what, fault.left))
}

/// Foreign bytes as text that is safe to print: short, UTF-8, without control characters.
pub(crate) fn printable(bytes: &[u8]) -> String {
    const SIZE: usize = 96;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SIZE)]);
    let mut out: String = text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    if bytes.len() > SIZE {
        out.push_str("...");
    }
    out
}

fn shorten(mut text: String) -> String {
    if text.len() > limits::DETAIL_SIZE {
        let end = (0..=limits::DETAIL_SIZE - 3).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// One line on all rejects of `scope`: `word: count (detail); ...`.
pub fn summary(rejects: &[Reject], scope: Scope) -> String {
    let mut out = String::new();
    for reject in rejects.iter().filter(|reject| reject.reason.scope() == scope) {
        if !out.is_empty() {
            out.push_str("; ");
        }
        out.push_str(reject.reason.word());
        out.push_str(": ");
        out.push_str(&reject.count.to_string());
        out.push_str(" (");
        out.push_str(&reject.detail);
        out.push(')');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_add_up_by_reason_and_keep_the_first_detail() {
        let mut rejects = Rejects::default();
        rejects.add(Reason::BadBounds, 2, || "first".into());
        rejects.add(Reason::BadUtf8, 0, || "none".into());
        rejects.add(Reason::BadBounds, 3, || unreachable!());
        rejects.add(Reason::TargetInfo, 1, || "é".repeat(1000));
        let list = rejects.into_list();
        assert_eq!((list.len(), list[0].count, &*list[0].detail), (2, 5, "first"));
        assert!(list[1].detail.len() <= limits::DETAIL_SIZE && list[1].detail.ends_with("é..."));
        assert_eq!(summary(&list, Scope::Item), "bad-bounds: 5 (first)");
    }

    #[test]
    fn foreign_bytes_are_made_harmless() {
        assert_eq!(printable(b"a\x1b[31m\xff\n"), "a\u{fffd}[31m\u{fffd}\u{fffd}");
        assert_eq!(printable(&[b'x'; 200]).len(), 99);
    }

    #[test]
    fn words_are_unique() {
        let mut words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.word()).collect();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
