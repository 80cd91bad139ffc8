//! Evaluation at many instants: each series is read once, with a window that moves over it, and what depends on labels
//! alone is worked out once for all instants.
use super::chain::{Base, Step, Template};
use super::columns::{Row, drop_names, drop_names_of_stretches};
use super::join::{Join, signature};
use super::leaf::{Leaf, Read, cost};
use super::{Evaluator, aggregate, lower, remarks};
use crate::expr::{Aggregate, At, BinOp, Binary, Group, Kind, Node, Selector, Span, Subquery, Type};
use crate::function::{AggOp, Func};
use crate::range::{RangeFunc, Stretch, Subject, Window, keeps_name, seconds};
use crate::{EvalError, SeriesView};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, Number};

/// How many series are read between two questions whether to go on.
const ASK_EVERY: u64 = 64;

/// Places that are aggregated together, so that memory is read in whole lines.
const BLOCK: usize = 8;

/// What a node is known by while its values are at hand.
pub(super) fn key(node: &Node) -> usize {
    core::ptr::from_ref(node) as usize
}

/// The steps of a chain at every instant.
enum Steps {
    Fixed(Vec<Step>),
    Each(Vec<Vec<Step>>),
}

impl Steps {
    fn at(&self, place: usize) -> &[Step] {
        match self {
            Steps::Fixed(steps) => steps,
            Steps::Each(steps) => &steps[place],
        }
    }
}

impl Evaluator<'_> {
    /// The values of a vector at these instants, rising; no row is without any.
    pub(super) fn columns(&mut self, node: &Node, instants: &[Millis]) -> Result<Vec<Row>, EvalError> {
        let chain = lower(node);
        let steps = self.steps(&chain.steps, instants)?;
        let named = chain.steps.iter().position(Template::drops_name).map_or(chain.steps.len(), |first| first + 1);
        let drops = chain.steps.iter().any(Template::drops_name);
        let (mut rows, one_metric) = match chain.base {
            Base::Node(of) => (self.whole_columns(of, instants)?, false),
            Base::Instant(index, span) => {
                self.reading = span;
                self.swept(index, &[Read::Value], instants)?
            }
            Base::Stamp(index) => self.swept(index, &[Read::Time], instants)?,
            Base::Start(index) => self.swept(index, &[Read::Start], instants)?,
            Base::Range { func, args } => {
                let (functions, of) = self.range_funcs(func, args, instants)?;
                self.reading = super::leaf::place(args);
                match &of.bare().kind {
                    Kind::Range(index) => {
                        let reads: Vec<Read> = functions.iter().copied().map(Read::Stretch).collect();
                        self.swept(*index, &reads, instants)?
                    }
                    Kind::Subquery(subquery) => (self.swept_subquery(&functions, subquery, instants)?, false),
                    _ => unreachable!("checked to be a range vector"),
                }
            }
        };
        for row in &mut rows {
            row.apply(|place| &steps.at(place)[..named], self.notes);
        }
        if drops && one_metric {
            rows = rows.into_iter().map(super::columns::nameless).collect();
        } else if drops {
            rows = drop_names(rows)?;
        }
        for row in &mut rows {
            row.apply(|place| &steps.at(place)[named..], self.notes);
        }
        rows.retain(|row| !row.is_empty());
        Ok(rows)
    }

    /// The values of a scalar at these instants.
    pub(super) fn scalars(&mut self, node: &Node, instants: &[Millis]) -> Result<Vec<f64>, EvalError> {
        let keys = self.prepare(node, instants)?;
        let found = instants.iter().enumerate().map(|(place, at)| {
            self.place = place;
            self.scalar(node, *at)
        });
        let found = found.collect();
        self.forget(keys);
        found
    }

    fn steps(&mut self, templates: &[Template], instants: &[Millis]) -> Result<Steps, EvalError> {
        if templates.iter().all(Template::is_fixed) {
            let resolved = templates.iter().map(|t| t.resolve(0.0, |_| Ok::<f64, EvalError>(0.0)));
            return Ok(Steps::Fixed(resolved.collect::<Result<_, _>>()?));
        }
        let mut keys = Vec::new();
        for node in templates.iter().flat_map(Template::nodes) {
            keys.extend(self.prepare(node, instants)?);
        }
        let mut found = Vec::with_capacity(instants.len());
        for (place, at) in instants.iter().enumerate() {
            self.place = place;
            let resolved = templates.iter().map(|t| t.resolve(seconds(*at), |node| self.scalar(node, *at)));
            found.push(resolved.collect::<Result<Vec<Step>, _>>()?);
        }
        self.forget(keys);
        Ok(Steps::Each(found))
    }

    /// Evaluates the vectors within a scalar, so that they are at hand when it is.
    fn prepare(&mut self, scalar: &Node, instants: &[Millis]) -> Result<Vec<usize>, EvalError> {
        match &scalar.kind {
            Kind::Paren(of) | Kind::Unary { of, .. } => self.prepare(of, instants),
            Kind::Binary(b) => {
                let mut keys = self.prepare(&b.left, instants)?;
                keys.extend(self.prepare(&b.right, instants)?);
                Ok(keys)
            }
            Kind::Call { func: Func::ScalarOf, args } => Ok(vec![self.remember(&args[0], instants)?]),
            Kind::Call { args, .. } => {
                let mut keys = Vec::new();
                for arg in args {
                    keys.extend(self.prepare(arg, instants)?);
                }
                Ok(keys)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Evaluates a vector and keeps its values at hand.
    fn remember(&mut self, vector: &Node, instants: &[Millis]) -> Result<usize, EvalError> {
        let rows = self.columns(vector, instants)?;
        self.given.insert(key(vector), rows);
        Ok(key(vector))
    }

    fn forget(&mut self, keys: Vec<usize>) {
        for key in keys {
            self.given.remove(&key);
        }
    }

    /// Fails if nobody waits for the answer any more.
    fn go_on(&self) -> Result<(), EvalError> {
        if (self.cancelled)() { Err(EvalError::Cancelled) } else { Ok(()) }
    }

    /// Reads a selector's series; says whether they are all of one metric.
    ///
    /// - `reads`: what to read at each instant, or one for all of them.
    fn swept(&mut self, index: usize, reads: &[Read], instants: &[Millis]) -> Result<(Vec<Row>, bool), EvalError> {
        let selector: &Selector = &self.selectors[index];
        let leaves: Vec<Leaf<'_>> = instants
            .iter()
            .enumerate()
            .map(|(place, at)| {
                let read = reads.get(place).copied().unwrap_or(reads[0]);
                let leaf = Leaf::new(read, &[], selector, *at, self.options.lookback_ms);
                leaf.annotated(self.reading, self.reads_alone(index))
            })
            .collect();
        // What is read at a fixed instant is the same at all of them, unless it looks at when it is asked.
        let asks_when = |read: &Read| matches!(read, Read::Stretch(range) if range.func == Func::PredictLinear);
        let once = matches!(selector.at, Some(At::Time(_))) && reads.len() == 1 && !reads.iter().any(asks_when);
        let sweep = if once { &leaves[..1] } else { &leaves[..] };
        let spans: Vec<(Millis, Millis)> = sweep.iter().map(Leaf::span).collect();
        let limit = self.options.samples_max;
        let cancelled = self.cancelled;
        let (mut touched, mut seen, mut stop) = (self.touched, 0_u64, false);
        let (scratch, notes, reading) = (&mut self.scratch, &mut *self.notes, self.reading);
        let mut found = Vec::new();
        self.source.select(index, selector, &mut |series| {
            seen += 1;
            stop |= seen.is_multiple_of(ASK_EVERY) && cancelled();
            if touched > limit || stop {
                return;
            }
            let mut row = Row::new(series.labels.clone(), instants.len());
            let mut moving = Moving::default();
            let mut any = false;
            for (place, (leaf, span)) in sweep.iter().zip(&spans).enumerate() {
                let view = moving.to(series, *span);
                if let (Some(value), _) = leaf.value(view, scratch, notes) {
                    row.put(place, value);
                    any = true;
                }
            }
            touched = touched.saturating_add(moving.read(series) as u64);
            if any {
                let mut tell = |read: Read, value: Option<f64>| {
                    remarks::read(notes, read, value.map(Number::Float).as_ref(), series.labels.name(), reading);
                };
                match reads {
                    [read] => tell(*read, row.some_float()),
                    _ => reads.iter().enumerate().for_each(|(place, read)| tell(*read, row.float(place))),
                }
                if once {
                    row.repeat_first();
                }
                touched = touched.saturating_add(instants.len() as u64);
                found.push(row);
            }
        });
        self.touched = touched;
        self.spend(0)?;
        if stop {
            return Err(EvalError::Cancelled);
        }
        let one_metric = selector.metric().is_some();
        let drops = reads[0].drops_name();
        let found = match (drops, one_metric) {
            (true, true) => found.into_iter().map(super::columns::nameless).collect(),
            (true, false) if matches!(reads[0], Read::Stretch(_)) => drop_names_of_stretches(found)?,
            (true, false) => drop_names(found)?,
            (false, _) => found,
        };
        Ok((found, one_metric))
    }

    /// A function of a stretch at each instant, or once if it is the same at all; and the node that it reads.
    fn range_funcs<'n>(
        &mut self,
        func: Func,
        args: &'n [Node],
        instants: &[Millis],
    ) -> Result<(Vec<RangeFunc>, &'n Node), EvalError> {
        let parameters = args.iter().filter(|arg| arg.result_type() == Type::Scalar);
        if parameters.clone().all(|arg| super::fixed(arg).is_some()) {
            let (range, of) = self.range_func(func, args, instants[0])?;
            return Ok((vec![range], of));
        }
        let mut keys = Vec::new();
        for parameter in parameters {
            keys.extend(self.prepare(parameter, instants)?);
        }
        let (mut found, mut of) = (Vec::with_capacity(instants.len()), &args[0]);
        for (place, at) in instants.iter().enumerate() {
            self.place = place;
            let range;
            (range, of) = self.range_func(func, args, *at)?;
            found.push(range);
        }
        self.forget(keys);
        Ok((found, of))
    }

    /// A function of the stretches of a subquery, which is evaluated once at all instants that any stretch holds.
    fn swept_subquery(
        &mut self,
        functions: &[RangeFunc],
        subquery: &Subquery,
        instants: &[Millis],
    ) -> Result<Vec<Row>, EvalError> {
        let reading = self.reading;
        let windows: Vec<Window> = instants.iter().map(|at| subquery.window(*at)).collect();
        let mut found = Vec::new();
        for (labels, points) in self.points(subquery, &windows)? {
            self.go_on()?;
            let histograms: Vec<_> = points.histograms.iter().map(|(time, h)| (*time, h)).collect();
            let mut row = Row::new(labels.clone(), instants.len());
            let subject = Subject { metric: labels.name(), at: reading };
            for (place, window) in windows.iter().enumerate() {
                let range = functions.get(place).copied().unwrap_or(functions[0]);
                let floats = crate::range::within(&points.floats, window.start, window.end);
                let from = histograms.partition_point(|(time, _)| *time <= window.start);
                let until = histograms.partition_point(|(time, _)| *time <= window.end);
                let value = match &histograms[from..until] {
                    [] => range.value(floats, *window, None).map(Number::Float),
                    histograms => {
                        let stretch = Stretch { floats, histograms, starts: &[], window: *window };
                        range.value_mixed(stretch, subject, self.notes)
                    }
                };
                remarks::read(self.notes, Read::Stretch(range), value.as_ref(), labels.name(), reading);
                if let Some(value) = value {
                    row.put(place, value);
                }
            }
            found.push(row);
        }
        found.retain(|row| !row.is_empty());
        if keeps_name(functions[0].func) { Ok(found) } else { drop_names_of_stretches(found) }
    }

    /// The values of a vector that is no chain of steps.
    fn whole_columns(&mut self, node: &Node, instants: &[Millis]) -> Result<Vec<Row>, EvalError> {
        self.go_on()?;
        match &node.kind {
            Kind::Binary(b) => {
                let left = self.columns(&b.left, instants)?;
                let right = self.columns(&b.right, instants)?;
                if b.op.is_set() {
                    return Ok(combined(b, left, right, instants.len()));
                }
                match pairs(b, &left, &right) {
                    Some(pairs) => Ok(joined(b, &left, &right, pairs, instants.len())),
                    None => {
                        self.given.insert(key(&b.left), left);
                        self.given.insert(key(&b.right), right);
                        self.place_by_place(node, instants, vec![key(&b.left), key(&b.right)])
                    }
                }
            }
            Kind::Aggregate(of) => {
                let rows = self.columns(&of.of, instants)?;
                if folds(of.op) && !rows.iter().any(Row::has_histograms) {
                    let parameters = match &of.parameter {
                        Some(parameter) => self.scalars(parameter, instants)?,
                        None => vec![0.0],
                    };
                    self.remark(of, &parameters);
                    return self.folded(of, &parameters, &rows, instants.len());
                }
                self.given.insert(key(&of.of), rows);
                let mut keys = vec![key(&of.of)];
                if let Some(parameter) = of.parameter.as_ref().filter(|p| p.result_type() == Type::Scalar) {
                    keys.extend(self.prepare(parameter, instants)?);
                }
                self.place_by_place(node, instants, keys)
            }
            Kind::Call { func, args } => {
                if self.in_range {
                    remarks::sorting(self.notes, *func, node.span);
                }
                let mut keys = Vec::new();
                for arg in args {
                    match arg.result_type() {
                        Type::Vector => keys.push(self.remember(arg, instants)?),
                        Type::Scalar => keys.extend(self.prepare(arg, instants)?),
                        Type::Matrix | Type::Text => {}
                    }
                }
                self.place_by_place(node, instants, keys)
            }
            Kind::Info(info) => {
                let keys = vec![self.remember(&info.of, instants)?];
                self.place_by_place(node, instants, keys)
            }
            _ => unreachable!("checked to be an instant vector"),
        }
    }

    /// The values of a node instant by instant, with those of its inputs at hand under `keys`.
    fn place_by_place(&mut self, node: &Node, instants: &[Millis], keys: Vec<usize>) -> Result<Vec<Row>, EvalError> {
        let mut found: BTreeMap<Labels, Row> = BTreeMap::new();
        for (place, at) in instants.iter().enumerate() {
            self.go_on()?;
            self.place = place;
            for element in self.whole_vector(node, *at)? {
                let empty = || Row::new(element.labels.clone(), instants.len());
                found.entry(element.labels.clone()).or_insert_with(empty).put(place, element.value);
            }
        }
        self.forget(keys);
        self.spend((found.len() * instants.len()) as u64)?;
        Ok(found.into_values().collect())
    }

    /// An aggregation of floats. Groups are told apart once for all instants.
    fn folded(&mut self, of: &Aggregate, parameters: &[f64], rows: &[Row], size: usize) -> Result<Vec<Row>, EvalError> {
        let mut groups: BTreeMap<Labels, Vec<usize>> = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            groups.entry(super::group_key(&of.grouping, &row.labels)).or_default().push(i);
        }
        self.spend((groups.len() * size) as u64)?;
        let mut values: [Vec<f64>; BLOCK] = Default::default();
        let mut found = Vec::with_capacity(groups.len());
        for (labels, members) in groups {
            let mut row = Row::new(labels, size);
            for from in (0..size).step_by(BLOCK) {
                self.go_on()?;
                values.iter_mut().for_each(Vec::clear);
                for member in &members {
                    for place in from..size.min(from + BLOCK) {
                        values[place - from].extend(rows[*member].float(place));
                    }
                }
                for place in from..size.min(from + BLOCK) {
                    let parameter = parameters.get(place).copied().unwrap_or(parameters[0]);
                    if !values[place - from].is_empty() {
                        row.put_float(place, aggregate::fold(of.op, parameter, &mut values[place - from]));
                    }
                }
            }
            found.push(row);
        }
        Ok(found)
    }
}

/// Whether an aggregation is a function of a group's numbers alone.
fn folds(op: AggOp) -> bool {
    use AggOp::{Avg, Count, Group, Max, Min, Quantile, Stddev, Stdvar, Sum};
    matches!(op, Avg | Count | Group | Max | Min | Quantile | Stddev | Stdvar | Sum)
}

/// The part of a series' samples that windows which move forward hold.
#[derive(Default)]
struct Moving {
    first: Option<usize>,
    floats: (usize, usize),
    histograms: (usize, usize),
}

impl Moving {
    /// The part of a series after the first and up to the second of these times.
    #[inline]
    fn to<'s>(&mut self, series: SeriesView<'s>, (after, until): (Millis, Millis)) -> SeriesView<'s> {
        let (from, end) = &mut self.floats;
        let samples = series.samples;
        if self.first.is_none() {
            *from = samples.partition_point(|s| s.time() <= after);
            *end = *from;
            self.first = Some(*from);
        }
        while samples.get(*from).is_some_and(|s| s.time() <= after) {
            *from += 1;
        }
        *end = (*end).max(*from);
        while samples.get(*end).is_some_and(|s| s.time() <= until) {
            *end += 1;
        }
        let (h_from, h_end) = &mut self.histograms;
        let histograms = series.histograms;
        while histograms.get(*h_from).is_some_and(|s| s.time <= after) {
            *h_from += 1;
        }
        *h_end = (*h_end).max(*h_from);
        while histograms.get(*h_end).is_some_and(|s| s.time <= until) {
            *h_end += 1;
        }
        SeriesView { samples: &samples[*from..*end], histograms: &histograms[*h_from..*h_end], ..series }
    }

    /// What all the windows held counts as, in samples.
    fn read(&self, series: SeriesView<'_>) -> usize {
        let histograms = series.histograms[..self.histograms.1].iter().filter_map(|s| s.histogram.as_ref());
        let histograms: u64 = histograms.map(|histogram| cost(histogram)).sum();
        self.floats.1 - self.first.unwrap_or(0) + histograms as usize
    }
}

/// `and`, `or` and `unless`.
fn combined(b: &Binary, mut left: Vec<Row>, mut right: Vec<Row>, size: usize) -> Vec<Row> {
    let (kept, other) = if b.op == BinOp::Or { (&mut right, &left) } else { (&mut left, &right) };
    let mut present: BTreeMap<Labels, Vec<bool>> = BTreeMap::new();
    for row in other {
        let there = present.entry(signature(&b.matching, &row.labels)).or_insert_with(|| vec![false; size]);
        there.iter_mut().enumerate().for_each(|(place, there)| *there |= row.has(place));
    }
    let wanted = b.op == BinOp::And;
    kept.retain_mut(|row| match present.get(&signature(&b.matching, &row.labels)) {
        Some(there) => {
            row.keep(|place| there[place] == wanted);
            !row.is_empty()
        }
        None => !wanted,
    });
    if b.op == BinOp::Or {
        left.append(&mut right);
    }
    left
}

/// Which rows of two sides belong together, as long as that is the same at all instants: by signature, those of the side
/// that may be many, and the one. Nothing where it may differ, or where something may be wrong.
fn pairs(b: &Binary, left: &[Row], right: &[Row]) -> Option<Vec<(Vec<usize>, usize)>> {
    if b.op.trims() || !b.matching.fill.is_none() || left.iter().chain(right).any(Row::has_histograms) {
        return None;
    }
    let (many, one) = if matches!(b.matching.group, Group::Right(_)) { (right, left) } else { (left, right) };
    let mut found: BTreeMap<Labels, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (i, row) in many.iter().enumerate() {
        found.entry(signature(&b.matching, &row.labels)).or_default().0.push(i);
    }
    for (i, row) in one.iter().enumerate() {
        found.entry(signature(&b.matching, &row.labels)).or_default().1.push(i);
    }
    let join = Join { op: b.op, bool: b.bool, matching: &b.matching, at: Span::default() };
    if found.keys().any(|labels| join.loses_part_of(labels)) {
        return None;
    }
    let mut pairs = Vec::with_capacity(found.len());
    for (members, ones) in found.into_values() {
        if ones.len() > 1 || (b.matching.group == Group::None && members.len() > 1) {
            return None;
        }
        let Some(only) = ones.first() else { continue };
        let labels: BTreeSet<Labels> =
            members.iter().map(|i| join.labels(&many[*i].labels, &one[*only].labels)).collect();
        if labels.len() < members.len() {
            return None;
        }
        pairs.push((members, *only));
    }
    Some(pairs)
}

/// Arithmetic and comparison between rows that belong together.
fn joined(b: &Binary, left: &[Row], right: &[Row], pairs: Vec<(Vec<usize>, usize)>, size: usize) -> Vec<Row> {
    let swapped = matches!(b.matching.group, Group::Right(_));
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let join = Join { op: b.op, bool: b.bool, matching: &b.matching, at: Span::default() };
    let mut found = Vec::new();
    for (members, only) in pairs {
        let only = &one[only];
        for member in members {
            let member = &many[member];
            let mut row = Row::new(join.labels(&member.labels, &only.labels), size);
            for place in 0..size {
                if let (Some(x), Some(y)) = (member.float(place), only.float(place))
                    && let Some(value) = if swapped { join.number(y, x) } else { join.number(x, y) }
                {
                    row.put_float(place, value);
                }
            }
            found.push(row);
        }
    }
    found.retain(|row| !row.is_empty());
    found
}
