//! What the recent store answers when rules that came late lack their ranges (`docs/formats/recalled.md`).
//!
//! An answer is a row of records, each small enough that taking it in holds up nothing; together they hold whole selectors or
//! none of them.
use crate::codec::{Canonical, CodecError, Reader, Writer};
use crate::ids::Digest;
use crate::labels::Labels;
use crate::sample::{HistogramSample, Sample};
use crate::time::Millis;
use crate::{canonical_struct, packed};
use alloc::vec::Vec;

/// Version of this layout.
pub const FORMAT: u16 = 1;

/// One record of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled {
    /// Digest of the question in canonical bytes.
    pub question: Digest,
    /// Place of the record in its answer, from 0.
    pub number: u32,
    /// Whether it is the answer's last.
    pub last: bool,
    /// Of selectors, in the order of their numbers.
    pub parts: Vec<RecalledPart>,
}

/// Series of one selector.
#[derive(Clone, Debug, PartialEq)]
pub struct RecalledPart {
    /// Number of the selector in the question.
    pub selector: u32,
    /// From here on nothing is missing of any of its series, as far as the question goes.
    pub since: Millis,
    /// Whether its other series stand before: nothing more of it comes.
    pub complete: bool,
    /// Series, each with all of its samples.
    pub series: Vec<RecalledSeries>,
}
canonical_struct!(RecalledPart { selector, since, complete, series });

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct RecalledSeries {
    /// Its labels.
    pub labels: Labels,
    /// Numbers, rising in time.
    pub samples: Vec<Sample>,
    /// Histograms, rising in time.
    pub histograms: Vec<HistogramSample>,
}

impl Canonical for RecalledSeries {
    fn write(&self, w: &mut Writer) {
        w.array(3);
        self.labels.write(w);
        w.bytes(&packed::pack(&self.samples));
        self.histograms.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(3)?;
        let labels = Labels::read(r)?;
        let refused = r.invalid("samples of a series");
        let samples = packed::unpack(r.bytes()?).ok_or(refused.clone())?;
        let histograms = Vec::<HistogramSample>::read(r)?;
        let rises = histograms.windows(2).all(|pair| pair[0].time < pair[1].time);
        let holds = !(samples.is_empty() && histograms.is_empty());
        if rises && holds { Ok(RecalledSeries { labels, samples, histograms }) } else { Err(refused) }
    }
}

impl Canonical for Recalled {
    fn write(&self, w: &mut Writer) {
        w.array(5);
        FORMAT.write(w);
        self.question.write(w);
        self.number.write(w);
        self.last.write(w);
        self.parts.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array_of(5)?;
        let newer = r.invalid("answer of format 1");
        if u16::read(r)? != FORMAT {
            return Err(newer);
        }
        let (question, number, last) = (Canonical::read(r)?, Canonical::read(r)?, Canonical::read(r)?);
        let refused = r.invalid("selectors in order");
        let parts = Vec::<RecalledPart>::read(r)?;
        if parts.windows(2).all(|pair| pair[0].selector < pair[1].selector) {
            Ok(Recalled { question, number, last, parts })
        } else {
            Err(refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn answer() -> Recalled {
        let labels = Labels::new([("__name__", "c"), ("i", "0")]);
        let samples = vec![Sample::new(Millis(1), 0.5), Sample::stale(Millis(2))];
        let histograms = vec![HistogramSample { time: Millis(3), histogram: None }];
        let series = vec![RecalledSeries { labels, samples, histograms }];
        let part = |selector| RecalledPart { selector, since: Millis(-1), complete: true, series: series.clone() };
        Recalled { question: Digest::of(b"q"), number: 7, last: true, parts: vec![part(0), part(4)] }
    }

    #[test]
    fn an_answer_has_one_form() {
        let bytes = answer().to_bytes();
        assert_eq!(Recalled::from_bytes(&bytes), Ok(answer()));
        let mut newer = bytes.clone();
        newer[1] = 2;
        assert!(Recalled::from_bytes(&newer).is_err(), "another format");
        let changes: [fn(&mut Recalled); 3] = [
            |it| it.parts.reverse(),
            |it| it.parts[0].series[0].histograms.push(HistogramSample { time: Millis(3), histogram: None }),
            |it| (it.parts[1].series[0].samples, it.parts[1].series[0].histograms) = (vec![], vec![]),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = answer();
            change(&mut changed);
            assert!(Recalled::from_bytes(&changed.to_bytes()).is_err(), "change {number} is taken");
        }
    }
}
