//! A stream's state as canonical bytes.
//!
//! An array of: whether what is above the leaves is out of date; per operator its elements where they do not follow from those of
//! its inputs (leaves, by number of series; steps and numbers, which depend on when they were computed); the result as
//! last reported.
use super::cells::Cell;
use super::{Op, OpKind, Stream};
use crate::Expr;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use faultline_model::table::{Kept, When};
use faultline_model::{Canonical, CodecError, Labels, Millis, Number, Reader, Writer};

/// What a stream was, beside its maps, which keep what they were themselves.
#[derive(Debug)]
pub struct StreamImage {
    stale: bool,
    /// Of each operator that is a number.
    numbers: Vec<Option<f64>>,
}

impl Stream {
    /// What the stream is now: [`Stream::write`] can write it as it is, whatever becomes of it until [`Stream::thaw`].
    /// Costs the same whatever it holds.
    pub fn freeze(&mut self) -> StreamImage {
        self.kept(&mut |it| it.freeze(), &mut |it| it.freeze());
        let number = |op: &Op| match op.kind {
            OpKind::Scalar { value, .. } => Some(value),
            _ => None,
        };
        StreamImage { stale: self.stale, numbers: self.ops.iter().filter_map(number).collect() }
    }

    /// Forgets what the stream was when it was frozen.
    pub fn thaw(&mut self) {
        self.kept(&mut |it| it.thaw(), &mut |it| it.thaw());
    }

    /// Visits the maps whose entries are written.
    fn kept(
        &mut self,
        cells: &mut dyn FnMut(&mut Kept<u32, Cell>),
        elements: &mut dyn FnMut(&mut Kept<Labels, Number>),
    ) {
        for op in &mut self.ops {
            match &mut op.kind {
                OpKind::Leaf(leaf) => cells(leaf.cells.kept_mut()),
                OpKind::Map(map) => elements(map.held_mut()),
                _ => {}
            }
        }
        elements(&mut self.reported);
    }

    /// Writes the state as canonical bytes: as it is, or as it was when `image` was taken.
    pub fn write(&self, image: Option<&StreamImage>, w: &mut Writer) {
        let when = if image.is_some() { When::Frozen } else { When::Now };
        let stale = image.map_or(self.stale, |image| image.stale);
        let mut numbers = image.into_iter().flat_map(|image| &image.numbers);
        w.array(2 + self.ops.len());
        w.bool(stale);
        for op in &self.ops {
            match &op.kind {
                OpKind::Leaf(leaf) => {
                    w.array(3 * leaf.cells.kept().len_at(when));
                    leaf.cells.kept().each(when, &mut |id, cell| {
                        w.uint(u64::from(*id));
                        cell.series.write(w);
                        cell.value.write(w);
                    });
                }
                // Out of date, these are computed anew before they are read.
                OpKind::Map(map) if !stale => write_elements(map.held(), when, w),
                OpKind::Scalar { value, .. } => match numbers.next().unwrap_or(value) {
                    Some(value) => w.float(*value),
                    None => w.null(),
                },
                _ => w.null(),
            }
        }
        write_elements(&self.reported, when, w);
    }

    /// Reads the state of a stream of `expr` back.
    ///
    /// Fails if these are not the bytes of such a stream, among other things because `expr` is not the same.
    pub fn read(expr: &Expr, r: &mut Reader<'_>) -> Result<Stream, CodecError> {
        let mut stream = Stream::compile(expr).map_err(|_| r.invalid("stream of this expression"))?;
        r.array_of(2 + stream.ops.len())?;
        stream.stale = r.bool()?;
        for op in 0..stream.ops.len() {
            match &mut stream.ops[op].kind {
                OpKind::Leaf(leaf) => {
                    let mut cells: Vec<(u32, Cell)> = Vec::new();
                    let count = r.array()?;
                    for _ in 0..count / 3 {
                        let id = u32::try_from(r.uint()?).map_err(|_| r.invalid("number of a series"))?;
                        let series = Labels::read(r)?;
                        let value = Number::read(r)?;
                        let cell = leaf.cells.fresh(&series, value).map_err(|_| r.invalid("labels of a series"))?;
                        if cells.last().is_some_and(|(last, _)| *last >= id) {
                            return Err(r.invalid("order of series"));
                        }
                        cells.push((id, cell));
                    }
                    if count % 3 != 0 {
                        return Err(r.invalid("elements of a leaf"));
                    }
                    leaf.cells.restore(cells);
                }
                OpKind::Map(map) if !stream.stale => map.held_mut().replace(read_elements(r)?),
                kind => match (r.null()?, kind) {
                    (true, _) => {}
                    (false, OpKind::Scalar { value, .. }) => *value = Some(r.float()?),
                    (false, _) => return Err(r.invalid("operator without a state")),
                },
            }
        }
        stream.reported.replace(read_elements(r)?);
        if !stream.stale {
            stream.recompute(r)?;
        }
        Ok(stream)
    }

    /// Computes what is not stored from what is.
    fn recompute(&mut self, r: &Reader<'_>) -> Result<(), CodecError> {
        for op in 0..self.ops.len() {
            match self.ops[op].kind {
                // These depend on the instant, and were stored.
                OpKind::Map(_) | OpKind::Scalar { .. } => {}
                _ => self.rebuild_op(op, Millis(0), &crate::Options::default()).map_err(|_| r.invalid("state"))?,
            }
        }
        Ok(())
    }
}

fn write_elements(elements: &Kept<Labels, Number>, when: When, w: &mut Writer) {
    w.array(2 * elements.len_at(when));
    elements.each(when, &mut |labels, value| {
        labels.write(w);
        value.write(w);
    });
}

fn read_elements(r: &mut Reader<'_>) -> Result<BTreeMap<Labels, Number>, CodecError> {
    let mut elements = BTreeMap::new();
    let count = r.array()?;
    for _ in 0..count / 2 {
        let (labels, value) = (Labels::read(r)?, Number::read(r)?);
        if elements.last_key_value().is_some_and(|(last, _)| *last >= labels) {
            return Err(r.invalid("order of elements"));
        }
        elements.insert(labels, value);
    }
    if count % 2 == 1 { Err(r.invalid("elements")) } else { Ok(elements) }
}
