//! The incremental form of an expression: one sample in, the changes of the result out.
//!
//! A small dataflow. Leaves read series with the code of the grid and hold what they read; above them stand steps on
//! single elements, joins, aggregations and absences, each a function of what its inputs hold now. `refresh` reads
//! everything again and rebuilds what stands above; `touch` reads one series again and passes on what that changes.
mod absent;
mod aggregate;
mod batch;
mod cells;
mod join;
mod leaf;
mod map;
mod plan;
mod readings;
mod state;
mod watch;

use crate::eval::Evaluator;
use crate::expr::Node;
use crate::{Annotations, Element, EvalError, Expr, NotIncremental, Options, SeriesView, Source};
use absent::Absent;
use aggregate::Aggregated;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
pub use batch::Batch;
use faultline_model::table::Kept;
use faultline_model::{Labels, Millis, Number, float};
use join::Joined;
use leaf::{Fresh, LeafOp};
use map::Map;
pub use readings::Readings;
pub use state::StreamImage;
pub use watch::Watch;

/// One change of a stream's result. A scalar result has empty labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which element of the result.
    pub labels: Labels,
    /// Its new value; `None` when it left the result.
    pub value: Option<Number>,
}

/// An expression kept up to date sample by sample.
///
/// Stream law: after `refresh` the result is bit-equal to `evaluate` at that instant. Between two of them it changes
/// only by `touch`; elements that were not touched keep the value of their last touch or of the last `refresh`.
///
/// Source: Budiu et al., "DBSP: Automatic Incremental View Maintenance", VLDB 2023, for the idea of operators on changes.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Inputs before what they go into; the last one gives the result.
    ops: Vec<Op>,
    /// The leaf of each selector.
    leaves: Vec<usize>,
    /// The result as last reported; unused where the result is a leaf, which then knows it itself.
    reported: Kept<Labels, Number>,
    /// Whether everything above the leaves is out of date: at first, and after an evaluation that failed.
    stale: bool,
    /// Whether what is above the leaves is worked out anew at each instant: something hangs on that, or elements may become one.
    anew: bool,
}

/// What stands beside a stream that reads all of its series.
#[derive(Debug)]
pub struct Aside<'a> {
    /// What it passed over, where it was not told of that: what is made anew it need not be told.
    pub watch: Option<&'a Watch>,
    /// What others read at the same instant.
    pub readings: &'a mut Readings,
}

#[derive(Clone, Debug)]
struct Op {
    /// What this goes into, and as which of its inputs.
    into: Option<(usize, Side)>,
    kind: OpKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

#[derive(Clone, Debug)]
enum OpKind {
    Leaf(LeafOp),
    Map(Map),
    Join(Joined),
    Aggregate(Aggregated),
    Absent(Absent),
    /// A number that depends on nothing but the instant.
    Scalar {
        of: Node,
        value: Option<f64>,
    },
}

/// What happened to one element of an operator's output.
#[derive(Clone, Debug)]
struct Delta {
    labels: Labels,
    old: Option<Number>,
    new: Option<Number>,
    /// Number of its group, where it is of a leaf below an aggregation.
    group: u32,
}

impl Delta {
    /// The change from one value to another; `None` if they are the same to the bit.
    fn between(labels: &Labels, old: Option<Number>, new: Option<Number>) -> Option<Delta> {
        let new = new.map(Number::canonical);
        let changed = old != new;
        changed.then(|| Delta { labels: labels.clone(), old, new, group: 0 })
    }
}

/// One change per element, what leaves first: what takes its place may not stand beside it.
fn ordered(deltas: Vec<Delta>) -> Vec<Delta> {
    if deltas.len() < 2 {
        return deltas;
    }
    let mut merged: BTreeMap<Labels, Delta> = BTreeMap::new();
    for delta in deltas {
        match merged.get_mut(&delta.labels) {
            Some(held) => held.new = delta.new,
            None => {
                merged.insert(delta.labels.clone(), delta);
            }
        }
    }
    // An element may have come back as it was.
    let mut deltas: Vec<Delta> = merged.into_values().filter(|delta| delta.old != delta.new).collect();
    deltas.sort_by_key(|delta| delta.new.is_some());
    deltas
}

/// A source of no series: for numbers that depend on nothing but the instant.
struct Nothing;

impl Source for Nothing {
    fn select(&self, _: usize, _: &crate::Selector, _: &mut dyn FnMut(SeriesView<'_>)) {}
}

/// The value of a node that depends on nothing but the instant.
fn timed(node: &Node, at: Millis, options: &Options) -> Result<f64, EvalError> {
    Evaluator::new(&[], &Nothing, options, &mut Annotations::muted()).scalar(node, at)
}

impl From<Delta> for Change {
    fn from(delta: Delta) -> Change {
        Change { labels: delta.labels, value: delta.new }
    }
}

/// Passes changes of one operator's output on: they become those of the result.
fn propagate(
    ops: &mut [Op],
    from: usize,
    deltas: &mut Vec<Delta>,
    spare: &mut Vec<Delta>,
    at: Millis,
    options: &Options,
) -> Result<(), EvalError> {
    let into = ops[from].into;
    pass_on(ops, 0, into, deltas, spare, at, options)
}

/// Passes changes on to an operator, and what they become there to the next.
///
/// - `ops`: those from the `base`-th on.
/// - `spare`: anything.
fn pass_on(
    ops: &mut [Op],
    base: usize,
    mut into: Option<(usize, Side)>,
    deltas: &mut Vec<Delta>,
    spare: &mut Vec<Delta>,
    at: Millis,
    options: &Options,
) -> Result<(), EvalError> {
    while let Some((next, side)) = into {
        if deltas.is_empty() {
            return Ok(());
        }
        let Op { kind, into: further } = &mut ops[next - base];
        // Groups change once for all of their elements.
        if !matches!(kind, OpKind::Aggregate(aggregate) if aggregate.is_numbered()) {
            *deltas = ordered(core::mem::take(deltas));
        }
        spare.clear();
        match kind {
            OpKind::Map(map) => map.feed(deltas, at, options, spare)?,
            OpKind::Join(join) => join.feed(side, deltas, spare)?,
            OpKind::Aggregate(aggregate) => aggregate.feed(deltas, spare),
            OpKind::Absent(absent) => absent.feed(deltas, spare),
            OpKind::Leaf(_) | OpKind::Scalar { .. } => unreachable!("nothing goes into these"),
        }
        core::mem::swap(deltas, spare);
        into = *further;
    }
    Ok(())
}

impl Stream {
    /// The stream of an expression, with an empty result.
    pub fn compile(expr: &Expr) -> Result<Stream, NotIncremental> {
        let (ops, leaves) = plan::plan(expr)?;
        // Above a leaf that stands alone there is nothing.
        let stale = ops.len() > 1 || leaves.is_empty();
        let any = |what: &dyn Fn(&OpKind) -> bool| ops.iter().any(|op| what(&op.kind));
        let timed = any(&|op| match op {
            OpKind::Map(map) => map.is_timed(),
            OpKind::Scalar { .. } => true,
            _ => false,
        });
        // What stands in for what is missing on one side has labels of its own.
        let fills = any(&|op| matches!(op, OpKind::Join(join) if join.fills()));
        let drops = any(&|op| matches!(op, OpKind::Map(map) if map.drops_name()));
        let anew = timed || fills && drops;
        Ok(Stream { ops, leaves, reported: Kept::default(), stale, anew })
    }

    /// Recomputes everything at a grid instant and appends what changed, in label order.
    ///
    /// Series that cannot have come to give anything by time alone are passed over: since the last `refresh` each new sample
    /// must have gone to `touch` or `pass_over`, or else [`Stream::read_again`] must have been called.
    ///
    /// On an error the reported result is what it was, and the next `refresh` or `touch` tries again. Fails with
    /// [`EvalError::Histograms`] where a selector finds any.
    pub fn refresh(
        &mut self,
        expr: &Expr,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        out: &mut Vec<Change>,
    ) -> Result<(), EvalError> {
        self.refresh_aside(expr, at, source, options, Aside { watch: None, readings: &mut Readings::default() }, out)
    }

    /// The same of one stream of several.
    pub fn refresh_aside(
        &mut self,
        expr: &Expr,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        aside: Aside<'_>,
        out: &mut Vec<Change>,
    ) -> Result<(), EvalError> {
        let Aside { watch, readings } = aside;
        watch.iter().for_each(|watch| watch.settle_counts(self));
        let fresh = self.read_whole(expr, at, source, options, readings);
        let Ok(fresh) = fresh else {
            // Then it is the stream that it would be, had it passed nothing over.
            watch.iter().for_each(|watch| watch.settle_values(self));
            return fresh.map(drop);
        };
        self.take_in(fresh, at, options, out)
    }

    /// Reads what all leaves read, of the series that may give something.
    fn read_whole(
        &mut self,
        expr: &Expr,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        readings: &mut Readings,
    ) -> Result<Vec<Fresh>, EvalError> {
        let mut fresh = self.read_leaves(expr, at, source, options, readings);
        let too_many = matches!(fresh, Err(EvalError::TooManySamples { .. }));
        if too_many && self.leaves.iter().any(|op| self.leaf(*op).spared().is_some()) {
            // How many samples series that were passed over have is known from above only.
            self.read_again();
            fresh = self.read_leaves(expr, at, source, options, readings);
        }
        let fresh = fresh?;
        let elements: usize = fresh.iter().map(Fresh::len).sum();
        if elements > options.elements_max {
            return Err(EvalError::TooManyElements { limit: options.elements_max });
        }
        Ok(fresh)
    }

    /// Takes in what all leaves read, and appends what that changes.
    fn take_in(
        &mut self,
        fresh: Vec<Fresh>,
        at: Millis,
        options: &Options,
        out: &mut Vec<Change>,
    ) -> Result<(), EvalError> {
        let begun = out.len();
        let mut all = Vec::with_capacity(fresh.len());
        for (index, found) in fresh.into_iter().enumerate() {
            let op = self.leaves[index];
            let leaf = self.leaf_mut(op);
            all.push((op, leaf.take_in(found)));
            self.stale |= leaf.cells.forget_groups();
        }
        if self.ops.len() == 1 && !self.leaves.is_empty() {
            out.extend(all.into_iter().flat_map(|(_, deltas)| ordered(deltas)).map(Change::from));
            out[begun..].sort_by(|a, b| a.labels.cmp(&b.labels));
            return Ok(());
        }
        if self.stale || self.anew {
            return self.rebuild(at, options, out);
        }
        let (mut now, mut spare) = (BTreeMap::new(), Vec::new());
        for (op, mut deltas) in all {
            if propagate(&mut self.ops, op, &mut deltas, &mut spare, at, options).is_err() {
                // On the way something may fail where the whole does not, so the whole decides.
                return self.rebuild(at, options, out);
            }
            now.extend(deltas.into_iter().map(|delta| (delta.labels, delta.new)));
        }
        self.report(now, out);
        Ok(())
    }

    /// Reads what every leaf reads.
    fn read_leaves(
        &self,
        expr: &Expr,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        readings: &mut Readings,
    ) -> Result<Vec<Fresh>, EvalError> {
        let (mut all, mut touched) = (Vec::with_capacity(self.leaves.len()), 0_u64);
        for leaf in self.leaves.iter().map(|op| self.leaf(*op)) {
            let found =
                leaf.read_all(expr, at, source, options, options.samples_max.saturating_sub(touched), readings)?;
            touched = touched.saturating_add(found.touched);
            all.push(found);
        }
        if touched > options.samples_max {
            return Err(EvalError::TooManySamples { limit: options.samples_max });
        }
        Ok(all)
    }

    /// Takes in new samples of series of a batch, from the `first` on, up to one that changes the result: how many. What that one
    /// changes is appended. Where it cannot be told at once what a sample changes, it is left to `touch`.
    ///
    /// - `at`: not before the last `refresh` or `touch`.
    /// - `selector`: it selects all of them.
    ///
    /// On an error the reported result is what it was, and the next `refresh` or `touch` tries again.
    #[expect(clippy::too_many_arguments, reason = "what `touch` is given, and which of the batch")]
    pub fn touch_some(
        &mut self,
        expr: &Expr,
        at: Millis,
        selector: usize,
        batch: &mut Batch<'_>,
        first: usize,
        options: &Options,
        out: &mut Vec<Change>,
    ) -> (usize, Result<(), EvalError>) {
        if self.stale {
            return (0, Ok(()));
        }
        let op = self.leaves[selector];
        let (below, above) = self.ops.split_at_mut(op + 1);
        let Op { kind: OpKind::Leaf(leaf), into } = &mut below[op] else { unreachable!("selectors belong to leaves") };
        let (mut deltas, mut spare, mut failed) = (Vec::new(), Vec::new(), false);
        let taken = leaf.read_on(expr, at, batch, first, options, &mut |delta| {
            deltas.clear();
            deltas.push(delta);
            failed = pass_on(above, op + 1, *into, &mut deltas, &mut spare, at, options).is_err();
            !failed && deltas.is_empty()
        });
        if failed {
            return (taken, self.rebuild(at, options, out));
        }
        if self.ops.len() == 1 {
            out.extend(deltas.into_iter().map(Change::from));
        } else {
            self.report(deltas.into_iter().map(|delta| (delta.labels, delta.new)).collect(), out);
        }
        (taken, Ok(()))
    }

    /// Takes in a new sample of one series of selector `selector` and appends what changed, in label order.
    ///
    /// - `at`: not before the last `refresh` or `touch`.
    /// - `series`: the series with the new sample in it; it must match the selector.
    ///
    /// On an error the reported result is what it was, and the next `refresh` or `touch` tries again.
    pub fn touch(
        &mut self,
        expr: &Expr,
        at: Millis,
        selector: usize,
        series: SeriesView<'_>,
        options: &Options,
        out: &mut Vec<Change>,
    ) -> Result<(), EvalError> {
        let op = self.leaves[selector];
        let held: usize = self.leaves.iter().map(|op| self.leaf(*op).len()).sum();
        let leaf = self.leaf_mut(op);
        let mut deltas = leaf.touch(expr, at, series, options, held)?;
        if self.stale {
            return self.rebuild(at, options, out);
        }
        if self.ops.len() == 1 {
            out.extend(deltas.into_iter().map(Change::from));
            return Ok(());
        }
        match propagate(&mut self.ops, op, &mut deltas, &mut Vec::new(), at, options) {
            Ok(()) => {
                self.report(deltas.into_iter().map(|delta| (delta.labels, delta.new)).collect(), out);
                Ok(())
            }
            // A step on the way may fail where the whole does not, so the whole decides.
            Err(_) => self.rebuild(at, options, out),
        }
    }

    /// Series may have got samples that the stream was not told of: the next `refresh` reads all of them.
    pub fn read_again(&mut self) {
        for op in &mut self.ops {
            if let OpKind::Leaf(leaf) = &mut op.kind {
                leaf.read_again();
            }
        }
    }

    /// Forgets all that was read and reported: the next `refresh` reports every element of the result.
    pub fn forget(&mut self) {
        self.read_again();
        for op in &mut self.ops {
            match &mut op.kind {
                OpKind::Leaf(leaf) => leaf.cells.kept_mut().replace(BTreeMap::new()),
                OpKind::Map(map) => map.held_mut().replace(BTreeMap::new()),
                OpKind::Scalar { value, .. } => *value = None,
                // Made anew from their inputs.
                OpKind::Join(_) | OpKind::Aggregate(_) | OpKind::Absent(_) => {}
            }
        }
        self.reported.replace(BTreeMap::new());
        self.stale = self.ops.len() > 1 || self.leaves.is_empty();
    }

    fn leaf(&self, op: usize) -> &LeafOp {
        match &self.ops[op].kind {
            OpKind::Leaf(leaf) => leaf,
            _ => unreachable!("selectors belong to leaves"),
        }
    }

    fn leaf_mut(&mut self, op: usize) -> &mut LeafOp {
        match &mut self.ops[op].kind {
            OpKind::Leaf(leaf) => leaf,
            _ => unreachable!("selectors belong to leaves"),
        }
    }

    /// Computes everything above the leaves from what these hold, and reports what is different now.
    fn rebuild(&mut self, at: Millis, options: &Options, out: &mut Vec<Change>) -> Result<(), EvalError> {
        self.stale = true;
        for op in 0..self.ops.len() {
            self.rebuild_op(op, at, options)?;
        }
        self.stale = false;
        let mut now: BTreeMap<Labels, Option<Number>> =
            self.reported.keys().map(|labels| (labels.clone(), None)).collect();
        let root = self.ops.len() - 1;
        now.extend(self.output(root).into_iter().map(|e| (e.labels, Some(e.value.canonical()))));
        self.report(now, out);
        Ok(())
    }

    fn rebuild_op(&mut self, op: usize, at: Millis, options: &Options) -> Result<(), EvalError> {
        let (below, rest) = self.ops.split_at_mut(op);
        if let OpKind::Aggregate(aggregate) = &mut rest[0].kind
            && aggregate.is_numbered()
        {
            let input = below.iter().find(|input| input.into.is_some_and(|(into, _)| into == op));
            if let Some(Op { kind: OpKind::Leaf(leaf), .. }) = input {
                aggregate.rebuild_numbered(leaf.cells.by_group());
            }
            return Ok(());
        }
        let inputs = self.inputs(op);
        match &mut self.ops[op].kind {
            OpKind::Leaf(_) => {}
            OpKind::Map(map) => map.rebuild(inputs.into_iter().map(|(_, e)| e).collect(), at, options)?,
            OpKind::Join(join) => join.rebuild(inputs)?,
            OpKind::Aggregate(aggregate) => aggregate.rebuild(inputs.into_iter().map(|(_, e)| e)),
            OpKind::Absent(absent) => absent.rebuild(inputs.len()),
            OpKind::Scalar { of, value } => *value = Some(float::canonical(timed(of, at, options)?)),
        }
        Ok(())
    }

    /// What the inputs of an operator hold.
    fn inputs(&self, op: usize) -> Vec<(Side, Element)> {
        let inputs = self.ops[..op].iter().enumerate().filter_map(|(i, input)| match input.into {
            Some((into, side)) if into == op => Some((i, side)),
            _ => None,
        });
        inputs.flat_map(|(i, side)| self.output(i).into_iter().map(move |element| (side, element))).collect()
    }

    /// What an operator holds.
    fn output(&self, op: usize) -> Vec<Element> {
        match &self.ops[op].kind {
            OpKind::Leaf(leaf) => leaf.output(),
            OpKind::Map(map) => map.output(),
            OpKind::Join(join) => join.output(),
            OpKind::Aggregate(aggregate) => aggregate.output(),
            OpKind::Absent(absent) => absent.output(),
            OpKind::Scalar { value, .. } => {
                value.iter().map(|x| Element { labels: Labels::default(), value: Number::Float(*x) }).collect()
            }
        }
    }

    /// Appends what is different from what was reported.
    fn report(&mut self, now: BTreeMap<Labels, Option<Number>>, out: &mut Vec<Change>) {
        for (labels, value) in now {
            if self.reported.get(&labels) == value.as_ref() {
                continue;
            }
            match &value {
                Some(value) => self.reported.insert(labels.clone(), value.clone()),
                None => self.reported.remove(&labels),
            };
            out.push(Change { labels, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// A group that changes and then empties within one round has left, whatever else happens in that round.
    #[test]
    fn each_element_changes_once_and_what_leaves_goes_first() {
        let labels = |name: &str| Labels::new([("l", name)]);
        let delta = |name: &str, old: Option<f64>, new: Option<f64>| {
            let [old, new] = [old, new].map(|x| x.map(Number::Float));
            Delta { labels: labels(name), old, new, group: 0 }
        };
        let found = ordered(vec![
            delta("a", Some(2.0), Some(1.0)),
            delta("b", None, Some(5.0)),
            delta("a", Some(1.0), None),
            delta("c", Some(3.0), None),
            delta("c", None, Some(4.0)),
        ]);
        let seen: Vec<_> = found.iter().map(|d| (d.labels.clone(), d.old.clone(), d.new.clone())).collect();
        let expected = [("a", Some(2.0), None), ("b", None, Some(5.0)), ("c", Some(3.0), Some(4.0))]
            .map(|(name, old, new)| (labels(name), old.map(Number::Float), new.map(Number::Float)));
        assert_eq!(seen, expected);
    }
}
