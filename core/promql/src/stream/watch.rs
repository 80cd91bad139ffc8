//! Streams over the same series, as far as most samples move none of them: one look for all.
//!
//! Streams lie all over memory, and most samples change no result. This holds together what decides that: of elements, which series
//! give something, and which steps throw the rest away; of sums, what each series gives and how far sums can have come. A batch
//! of samples of which bounds say that it changes nothing is passed over without a look at the streams; so is an instant of the
//! grid, of sums. Derived: whoever holds this tells the streams ([`Watch::settle`]) before they are read or changed in any other way.
//!
//! Memory: 4 bytes for each series that an element hangs on, at most 4,096 of them; 32 for each that goes into a sum.
use super::batch::Batch;
use super::readings::{Readings, Whole};
use super::{Delta, OpKind, Stream};
use crate::eval::{Extremes, Leaf, Read, Step};
use crate::expr::Grouping;
use crate::function::AggOp;
use crate::{Expr, Options, Selector, Source};
use alloc::vec::Vec;
use faultline_model::{Millis, Number, float};

/// Most series that elements hang on: with more of them a batch without any is rare.
const SERIES_MAX: usize = 4096;
/// Most series of a batch's span that are looked for in it.
const SOUGHT_MAX: usize = 16;

/// Streams that read the same of their series, and what they passed over.
#[derive(Clone, Debug)]
pub struct Watch {
    read: Read,
    selector: Selector,
    /// Of each stream, but for those that throw away all that another does.
    steps: Vec<Vec<Step>>,
    of: Of,
    /// Series whose samples were passed over, each as often as it had any.
    passed: u64,
    /// Whether an instant was.
    passed_instant: bool,
}

#[derive(Clone, Debug)]
enum Of {
    Elements {
        /// Those that give something or may by time alone, in order.
        series: Vec<u32>,
        /// Samples that reading what was passed over touched.
        touched: u64,
    },
    Sums(Sums),
}

/// Sums, or means, over groups of series that are all there.
#[derive(Clone, Debug)]
struct Sums {
    op: AggOp,
    grouping: Grouping,
    /// By number of series.
    members: Vec<Member>,
    /// By number of group.
    groups: Vec<Group>,
    /// Of the batch that is being looked at: place of a member, and its value. Empty between batches.
    fresh: Vec<(u32, f64)>,
    /// Of the instant that is being looked at: of each group the sum of its terms, and of their sizes.
    all: Vec<(f64, f64)>,
}

/// A series that goes into a sum.
#[derive(Clone, Copy, Debug)]
struct Member {
    series: u32,
    group: u32,
    /// Where its labels lie: numbers of series are used again.
    place: usize,
    /// What the streams hold.
    held: f64,
    /// What they would, had they not passed anything over.
    now: f64,
}

/// How far a group's sum can have come.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Group {
    /// The sum or mean when it was worked out, and how many are in it.
    value: f64,
    count: f64,
    /// What terms have moved since, all in one direction.
    moved: f64,
}

/// What of a stream a watch is made of.
struct Seen<'s> {
    read: Read,
    selector: &'s Selector,
    steps: &'s [Step],
    of: Of,
}

impl Watch {
    /// A watch of a stream; nothing where each sample has to be looked at.
    pub fn of(expr: &Expr, stream: &Stream) -> Option<Watch> {
        let Seen { read, selector, steps, of } = seen(expr, stream)?;
        let (selector, steps) = (selector.clone(), alloc::vec![steps.to_vec()]);
        Some(Watch { read, selector, steps, of, passed: 0, passed_instant: false })
    }

    /// Takes in what another watches where that is alike and neither passed anything over yet; whether it did.
    pub fn join(&mut self, other: &Watch) -> bool {
        if self.is_ahead() || other.is_ahead() || self.read != other.read || self.selector != other.selector {
            return false;
        }
        match (&mut self.of, &other.of) {
            (Of::Elements { series, .. }, Of::Elements { series: others, .. }) => {
                if series.len() + others.len() > SERIES_MAX {
                    return false;
                }
                series.extend(others);
                series.sort();
                series.dedup();
            }
            (Of::Sums(sums), Of::Sums(others)) if sums.are(others) => {}
            _ => return false,
        }
        for steps in &other.steps {
            if !self.steps.iter().any(|held| covers(steps, held)) {
                self.steps.retain(|held| !covers(held, steps));
                self.steps.push(steps.clone());
            }
        }
        true
    }

    /// Whether new samples of these series change nothing that the streams give: then they are passed over.
    pub fn passes(&mut self, at: Millis, batch: &mut Batch<'_>, options: &Options) -> bool {
        let leaf = Leaf::new(self.read, &[], &self.selector, at, options.lookback_ms);
        let throws_away = |extremes: Extremes| self.steps.iter().all(|steps| extremes.stay_out(steps));
        let passes = match &mut self.of {
            Of::Elements { series, touched } => {
                if may_give(series, batch) {
                    return false;
                }
                let place = batch.place(&leaf);
                let common = batch.common(place, &leaf).filter(|common| common.touched_most <= options.samples_max);
                let common = common.filter(|common| throws_away(common.extremes));
                *touched = touched.saturating_add(common.map_or(0, |common| common.touched));
                common.is_some()
            }
            Of::Sums(sums) => {
                let passes = sums.take_in(&leaf, batch, options).is_some_and(throws_away);
                sums.settle(passes);
                passes
            }
        };
        self.passed += if passes { batch.len() as u64 } else { 0 };
        passes
    }

    /// Whether, at an instant of the grid, all streams give nothing, as before: then they are as if each had read all of its series.
    /// Sums alone are looked at; for the others a stream reads few series as it is.
    ///
    /// - `source`: of one of the streams, all of which find the same in theirs.
    /// - `readings`: what others read at this instant.
    pub fn passes_instant(
        &mut self,
        at: Millis,
        source: &dyn Source,
        options: &Options,
        readings: &mut Readings,
    ) -> bool {
        let Of::Sums(sums) = &mut self.of else { return false };
        if sums.members.len() > options.elements_max {
            return false;
        }
        let leaf = Leaf::new(self.read, &[], &self.selector, at, options.lookback_ms);
        let whole = readings.whole(&leaf, 0, &self.selector, at, source, options.samples_max);
        let found = whole.as_ref().and_then(|whole| Some((whole, sums.add_up(whole)?)));
        match found {
            Some((whole, all)) if self.steps.iter().all(|steps| all.stay_out(steps)) => {
                sums.replace(whole);
                self.passed_instant = true;
                true
            }
            _ => false,
        }
    }

    /// Series whose samples were passed over since [`Watch::settled`], each as often as it had any.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether there is anything that streams were not told of.
    pub fn is_ahead(&self) -> bool {
        self.passed > 0 || self.passed_instant
    }

    /// Goes on watching a stream that was told what was passed over and then looked at or changed; whether it can. Sums cannot: the
    /// stream has other values now.
    pub fn take_in(&mut self, stream: &Stream) -> bool {
        let (Of::Elements { series, .. }, [leaf]) = (&mut self.of, &stream.leaves[..]) else { return false };
        let Some((.., given)) = stream.leaf(*leaf).watched().filter(|_| !stream.stale) else { return false };
        let held = series.len();
        for id in given {
            if series[..held].binary_search(&id).is_err() {
                series.push(id);
            }
            if series.len() > SERIES_MAX {
                series.truncate(held);
                return false;
            }
        }
        if series.len() > held {
            series.sort();
            series.dedup();
        }
        true
    }

    /// Whether streams may be told while it goes on watching them.
    pub fn outlasts_looks(&self) -> bool {
        matches!(self.of, Of::Elements { .. })
    }

    /// Tells a stream that is in it what was passed over.
    pub fn settle(&self, stream: &mut Stream) {
        self.settle_counts(stream);
        self.settle_values(stream);
    }

    /// Tells a stream how much reading what was passed over would have touched.
    pub(super) fn settle_counts(&self, stream: &mut Stream) {
        if let Of::Elements { touched, .. } = &self.of {
            stream.leaf_mut(stream.leaves[0]).passed_over(*touched);
        }
    }

    /// Tells a stream the values that it does not have.
    pub(super) fn settle_values(&self, stream: &mut Stream) {
        if let Of::Sums(sums) = &self.of {
            sums.tell(stream);
        }
    }

    /// All streams were told.
    pub fn settled(&mut self) {
        (self.passed, self.passed_instant) = (0, false);
        match &mut self.of {
            Of::Elements { touched, .. } => *touched = 0,
            Of::Sums(sums) => sums.members.iter_mut().for_each(|member| member.held = member.now),
        }
    }
}

/// What of a stream is to be watched.
fn seen<'s>(expr: &'s Expr, stream: &'s Stream) -> Option<Seen<'s>> {
    let ([selector], [leaf]) = (expr.selectors(), &stream.leaves[..]) else { return None };
    if stream.stale || stream.anew {
        return None;
    }
    let leaf = stream.leaf(*leaf);
    if let Some((read, steps, series)) = leaf.watched() {
        let mut series: Vec<u32> = series.take(SERIES_MAX + 1).collect();
        if series.len() > SERIES_MAX {
            return None;
        }
        series.sort();
        series.dedup();
        return Some(Seen { read, selector, steps, of: Of::Elements { series, touched: 0 } });
    }
    let [_, aggregate, map] = &stream.ops[..] else { return None };
    let (OpKind::Aggregate(aggregate), OpKind::Map(map)) = (&aggregate.kind, &map.kind) else { return None };
    // What is given changes with each sample.
    if !map.held().is_empty() {
        return None;
    }
    let steps = map.filters()?;
    let (read, grouping) = leaf.summed()?;
    let (op, values) = aggregate.sums()?;
    let mut groups: Vec<Group> = values.map(|value| Group { value, count: 0.0, moved: 0.0 }).collect();
    let mut members = Vec::with_capacity(leaf.len());
    for (series, group, labels, value) in leaf.cells.members() {
        let Number::Float(held) = *value else { return None };
        groups.get_mut(group as usize)?.count += 1.0;
        members.push(Member { series, group, place: labels.place(), held, now: held });
    }
    let is_finite = members.iter().all(|member| member.held.is_finite());
    let of = Of::Sums(Sums { op, grouping: grouping.clone(), members, groups, fresh: Vec::new(), all: Vec::new() });
    is_finite.then_some(Seen { read, selector, steps, of })
}

/// Whether a series of the batch gives something, or may.
fn may_give(series: &[u32], batch: &Batch<'_>) -> bool {
    let Some(span) = batch.span() else { return false };
    let first = series.partition_point(|id| id < span.start());
    let within = series[first..].iter().take_while(|id| *id <= span.end());
    within.enumerate().any(|(sought, id)| sought >= SOUGHT_MAX || batch.has(*id))
}

/// Whether the first steps throw away all that the second do: known of single comparisons in the same direction alone.
fn covers(first: &[Step], second: &[Step]) -> bool {
    use crate::expr::BinOp::{Greater, GreaterEqual, Less, LessEqual};
    let (
        [Step::Filter { op, scalar, scalar_left: false, .. }],
        [Step::Filter { op: other_op, scalar: other, scalar_left: false, .. }],
    ) = (first, second)
    else {
        return false;
    };
    op == other_op
        && match op {
            Greater | GreaterEqual => scalar >= other,
            Less | LessEqual => scalar <= other,
            _ => false,
        }
}

impl Sums {
    /// Whether others are the same sums of the same values.
    fn are(&self, others: &Sums) -> bool {
        let same = |(a, b): (&Member, &Member)| {
            (a.series, a.group, a.place) == (b.series, b.group, b.place) && a.held.to_bits() == b.held.to_bits()
        };
        self.op == others.op
            && self.grouping == others.grouping
            && self.groups == others.groups
            && self.members.len() == others.members.len()
            && self.members.iter().zip(&others.members).all(same)
    }

    /// Reads a batch: between what all sums that it touches lie until its last sample is in. Nothing where not all of its series are
    /// in sums, or one gives no number.
    fn take_in(&mut self, leaf: &Leaf<'_>, batch: &mut Batch<'_>, options: &Options) -> Option<Extremes> {
        let place = batch.place(leaf);
        let (mut next, mut all) = (0, Extremes::default());
        for index in 0..batch.len() {
            let series = batch.number(index);
            if self.members.get(next).is_none_or(|member| member.series != series) {
                next = self.members.binary_search_by_key(&series, |member| member.series).ok()?;
            }
            let (value, touched) = batch.read(place, leaf, index)?;
            let value = value.filter(|x| x.is_finite() && touched <= options.samples_max)?;
            let member = &self.members[next];
            if member.place != batch.view(index).labels.place() {
                return None;
            }
            let group = &mut self.groups[member.group as usize];
            let moved = float::abs(value - member.now);
            group.moved += if self.op == AggOp::Avg { moved / group.count } else { moved };
            all.spread(group.value, group.moved);
            self.fresh.push((next as u32, value));
            next += 1;
        }
        Some(all)
    }

    /// Adds up what all series give: between what all sums lie. Nothing where these are not the series that are in sums, each with
    /// a number.
    fn add_up(&mut self, whole: &Whole) -> Option<Extremes> {
        if whole.values.len() != self.members.len() {
            return None;
        }
        self.all.clear();
        self.all.resize(self.groups.len(), (0.0, 0.0));
        for (member, reading) in self.members.iter().zip(&whole.values) {
            if (member.series, member.place) != (reading.series, reading.place) || !reading.value.is_finite() {
                return None;
            }
            let (sum, size) = &mut self.all[member.group as usize];
            *sum += reading.value;
            *size += float::abs(reading.value);
        }
        let (mut all, is_mean) = (Extremes::default(), self.op == AggOp::Avg);
        for ((sum, size), group) in self.all.iter_mut().zip(&self.groups).filter(|(_, group)| group.count > 0.0) {
            // What rounding does to a sum of so many terms, at most.
            *size *= group.count * f64::EPSILON;
            if is_mean {
                (*sum, *size) = (*sum / group.count, *size / group.count);
            }
            if !sum.is_finite() {
                return None;
            }
            all.spread(*sum, *size);
        }
        Some(all)
    }

    /// Takes over what was added up last.
    fn replace(&mut self, whole: &Whole) {
        for (member, reading) in self.members.iter_mut().zip(&whole.values) {
            member.now = reading.value;
        }
        for (group, (sum, size)) in self.groups.iter_mut().zip(&self.all) {
            (group.value, group.moved) = (*sum, *size);
        }
    }

    /// Takes the values of a batch over, or forgets them.
    fn settle(&mut self, passes: bool) {
        for (place, value) in self.fresh.drain(..) {
            if passes {
                self.members[place as usize].now = value;
            }
        }
    }

    /// Gives a stream the values that it was not told of. Bounds say that no sum gives anything by that.
    fn tell(&self, stream: &mut Stream) {
        let moved = self.members.iter().filter(|member| member.now.to_bits() != member.held.to_bits());
        let [leaf, aggregate, _] = &mut stream.ops[..] else { unreachable!("a leaf, sums, and steps on them") };
        let (OpKind::Leaf(leaf), OpKind::Aggregate(aggregate)) = (&mut leaf.kind, &mut aggregate.kind) else {
            unreachable!("a leaf, sums, and steps on them")
        };
        let deltas: Vec<Delta> =
            moved.filter_map(|member| leaf.cells.set(member.series, Number::Float(member.now))).collect();
        aggregate.feed(&deltas, &mut Vec::new());
    }
}
