//! The attributes or labels of one point: found in place, checked, and turned into a Prometheus label set.
use crate::any::{self, Fault, Pair, utf8};
use crate::keys::Keys;
use crate::limits;
use crate::naming;
use crate::reject::Reason;
use crate::wire::{Fields, Malformed};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::LabelsBuilder;
use faultline_model::labels::NAME;

/// The repeated field `number` of `message`, usually one stretch of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    message: &'a [u8],
    number: u32,
    start: usize,
    end: usize,
    scattered: bool,
}

/// `Err`: the body is not protobuf. `Ok(Err)`: this item cannot be taken. Else the size that its labels cannot pass.
pub(crate) type Checked = Result<Result<usize, Reason>, Malformed>;

impl<'a> Attributes<'a> {
    #[inline(always)]
    pub fn new(message: &'a [u8], number: u32) -> Attributes<'a> {
        Attributes { message, number, start: 0, end: 0, scattered: false }
    }

    /// Notes one occurrence: `before` and `after` are what is left of the message before and after reading it.
    #[inline(always)]
    pub fn note(&mut self, before: usize, after: usize) {
        let (start, end) = (self.message.len() - before, self.message.len() - after);
        if self.end == 0 {
            self.start = start;
        } else if self.end != start {
            self.scattered = true;
        }
        self.end = end;
    }

    #[inline(always)]
    fn stretch(&self) -> &'a [u8] {
        if self.scattered { self.message } else { &self.message[self.start..self.end] }
    }

    /// The occurrences, in order.
    #[inline(always)]
    pub fn items(&self) -> Occurrences<'a> {
        Occurrences { fields: Fields::new(self.stretch()), number: self.number }
    }

    /// Keyed hash of the attributes as spelled. Tags and sizes are hashed too, so the bytes delimit themselves.
    #[inline(always)]
    pub fn hash(&self, keys: &Keys) -> u128 {
        if !self.scattered {
            return keys.raw(self.stretch());
        }
        let (mut fields, mut bytes) = (Fields::new(self.message), Vec::new());
        let mut before = fields.left();
        while let Ok(Some((number, _))) = fields.next() {
            if number == self.number {
                bytes.extend_from_slice(&before[..before.len() - fields.left().len()]);
            }
            before = fields.left();
        }
        keys.raw(&bytes)
    }

    /// Whether these `KeyValue`s can become labels.
    #[inline(always)]
    pub fn check(&self) -> Checked {
        let stretch = self.stretch();
        // All names and values lie in this stretch: where it is ASCII, none needs a look of its own.
        let ascii = stretch.is_ascii();
        let (mut items, mut count, mut size) = (self.items(), 0, 0);
        while let Some(item) = items.next()? {
            let pair = Pair::read(item)?;
            count += 1;
            // A name grows by `key_` at most.
            size += pair.key.len() + 4 + pair.value.text_size_max();
            if pair.key.len() > limits::NAME_SIZE || pair.value.size() > limits::VALUE_SIZE {
                return self.rest(items, Reason::LabelTooLong);
            }
            if !naming::label_works(pair.key) {
                let reason = if utf8(pair.key).is_ok() { Reason::BadLabelName } else { Reason::BadUtf8 };
                return self.rest(items, reason);
            }
            let fault = match pair.value {
                any::Any::Text(_) if ascii => Ok(()),
                value if ascii => value.check(0),
                value => utf8(pair.key).and_then(|()| value.check(0)),
            };
            match fault {
                Ok(()) => {}
                Err(Fault::Malformed(fault)) => return Err(fault),
                Err(Fault::TooDeep) => return self.rest(items, Reason::TooDeep),
                Err(Fault::BadUtf8) => return self.rest(items, Reason::BadUtf8),
            }
        }
        if count > limits::ATTRIBUTES {
            return Ok(Err(Reason::TooManyLabels));
        }
        Ok(if size > limits::ATTRIBUTES_SIZE { Err(Reason::LabelsTooLarge) } else { Ok(size) })
    }

    /// A refused item must still be well formed to its end: else it depends on the order of attributes whether one
    /// item or the whole body is refused.
    #[cold]
    fn rest(&self, mut items: Occurrences<'a>, reason: Reason) -> Checked {
        while let Some(item) = items.next()? {
            if let Err(Fault::Malformed(fault)) = Pair::read(item)?.value.check(0) {
                return Err(fault);
            }
        }
        Ok(Err(reason))
    }

    /// Sets the labels that Prometheus makes of these checked `KeyValue`s, less those whose name is in `except`.
    ///
    /// In order of names; where two names become one label, their values are joined with `;`.
    /// Source: `createAttributes` in prometheus/storage/remote/otlptranslator/prometheusremotewrite/helper.go, v3.15.
    pub fn set_labels(&self, except: &[&str], out: &mut LabelsBuilder) {
        let (mut items, mut pairs) = (self.items(), Vec::new());
        while let Ok(Some(item)) = items.next() {
            if let Ok(pair) = Pair::read(item) {
                let key = any::str(pair.key);
                // An attribute called `__name__` never becomes the metric's name.
                if key != NAME && !except.contains(&key) {
                    pairs.push((key, pair.value));
                }
            }
        }
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        for (key, value) in pairs {
            let name = naming::label(key).unwrap_or_default();
            let mut text = String::from(out.get(&name));
            if !text.is_empty() {
                text.push(';');
            }
            value.append(&mut text);
            out.set(&name, &text);
        }
    }
}

/// Occurrences of a repeated message field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occurrences<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> Occurrences<'a> {
    /// Those of field `number` of `message`.
    pub fn new(message: &'a [u8], number: u32) -> Occurrences<'a> {
        Occurrences { fields: Fields::new(message), number }
    }

    /// The next one; `None` at the end.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        while let Some((number, value)) = self.fields.next()? {
            if number == self.number {
                return value.bytes().map(Some);
            }
        }
        Ok(None)
    }
}
