//! A stream's state as canonical bytes.
//!
//! An array of: whether what is above the leaves is out of date; per operator its elements where they do not follow from those of
//! its inputs (leaves, by number of series; steps and numbers, which depend on when they were computed); the result as
//! last reported.
use super::leaf::Cells;
use super::{OpKind, Stream};
use crate::Expr;
use alloc::collections::BTreeMap;
use faultline_model::{Canonical, CodecError, Labels, Millis, Reader, Writer};

impl Stream {
    /// Writes the state as canonical bytes.
    pub fn write(&self, w: &mut Writer) {
        w.array(2 + self.ops.len());
        w.bool(self.stale);
        for op in &self.ops {
            match &op.kind {
                OpKind::Leaf(leaf) => {
                    w.array(3 * leaf.cells().len());
                    for (id, cell) in leaf.cells() {
                        w.uint(u64::from(*id));
                        cell.series.write(w);
                        w.float(cell.value);
                    }
                }
                // Out of date, these are computed anew before they are read.
                OpKind::Map(map) if !self.stale => write_elements(map.held(), w),
                OpKind::Scalar { value: Some(value), .. } => w.float(*value),
                _ => w.null(),
            }
        }
        write_elements(&self.reported, w);
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
                    let mut cells = Cells::new();
                    let count = r.array()?;
                    for _ in 0..count / 3 {
                        let id = u32::try_from(r.uint()?).map_err(|_| r.invalid("number of a series"))?;
                        let series = Labels::read(r)?;
                        let value = r.float()?;
                        let cell = leaf.cell(id, &series, value).map_err(|_| r.invalid("labels of a series"))?;
                        if cells.last_key_value().is_some_and(|(last, _)| *last >= id) {
                            return Err(r.invalid("order of series"));
                        }
                        cells.insert(id, cell);
                    }
                    if count % 3 != 0 {
                        return Err(r.invalid("elements of a leaf"));
                    }
                    leaf.replace(cells);
                }
                OpKind::Map(map) if !stream.stale => map.restore(read_elements(r)?),
                kind => match (r.null()?, kind) {
                    (true, _) => {}
                    (false, OpKind::Scalar { value, .. }) => *value = Some(r.float()?),
                    (false, _) => return Err(r.invalid("operator without a state")),
                },
            }
        }
        stream.reported = read_elements(r)?;
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

fn write_elements(elements: &BTreeMap<Labels, f64>, w: &mut Writer) {
    w.array(2 * elements.len());
    for (labels, value) in elements {
        labels.write(w);
        w.float(*value);
    }
}

fn read_elements(r: &mut Reader<'_>) -> Result<BTreeMap<Labels, f64>, CodecError> {
    let mut elements = BTreeMap::new();
    let count = r.array()?;
    for _ in 0..count / 2 {
        let (labels, value) = (Labels::read(r)?, r.float()?);
        if elements.last_key_value().is_some_and(|(last, _)| *last >= labels) {
            return Err(r.invalid("order of elements"));
        }
        elements.insert(labels, value);
    }
    if count % 2 == 1 { Err(r.invalid("elements")) } else { Ok(elements) }
}
