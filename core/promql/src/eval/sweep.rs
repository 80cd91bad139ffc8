//! Evaluation at many instants: each series is read once, with a window that moves over it, and what depends on labels
//! alone is worked out once for all instants.
use super::chain::{Base, Step, Template};
use super::columns::{Row, drop_names, drop_names_of_stretches};
use super::join::{Join, signature};
use super::leaf::Read;
use super::swept::Fused;
use super::totals::{LANES, Totals};
use super::{Evaluator, absent_labels, aggregate, lower, remarks};
use crate::EvalError;
use crate::expr::{Aggregate, BinOp, Binary, Group, Kind, Node, Span, Subquery, Type};
use crate::function::{AggOp, Func};
use crate::range::{RangeFunc, Stretch, Subject, Window, keeps_name, seconds};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::{Labels, Millis, Number};

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

    /// Those that are the same at every instant.
    fn fixed(&self) -> &[Step] {
        match self {
            Steps::Fixed(steps) => steps,
            Steps::Each(_) => &[],
        }
    }
}

impl Evaluator<'_> {
    /// The values of a vector at these instants, rising; no row is without any.
    pub(super) fn columns(&mut self, node: &Node, instants: &[Millis]) -> Result<Vec<Row>, EvalError> {
        if self.delays_names {
            return self.columns_one_by_one(node, instants);
        }
        let chain = lower(node);
        let steps = self.steps(&chain.steps, instants)?;
        let named = chain.steps.iter().position(Template::drops_name).map_or(chain.steps.len(), |first| first + 1);
        let drops = chain.steps.iter().any(Template::drops_name);
        let fused = Fused { steps: steps.fixed(), named };
        let (mut rows, one_metric, done) = match chain.base {
            Base::Node(of) => (self.whole_columns(of, instants)?, false, 0),
            Base::Instant(index, span) => {
                self.reading = span;
                self.swept(index, &[Read::Value], fused, instants)?
            }
            Base::Stamp(index) => self.swept(index, &[Read::Time], fused, instants)?,
            Base::Start(index) => self.swept(index, &[Read::Start], fused, instants)?,
            Base::Range { func, args } => {
                let (functions, of) = self.range_funcs(func, args, instants)?;
                self.reading = super::leaf::place(args);
                match &of.bare().kind {
                    Kind::Range(index) => {
                        let reads: Vec<Read> = functions.iter().copied().map(Read::Stretch).collect();
                        self.swept(*index, &reads, fused, instants)?
                    }
                    Kind::Subquery(subquery) => (self.swept_subquery(&functions, subquery, instants)?, false, 0),
                    _ => unreachable!("checked to be a range vector"),
                }
            }
        };
        if done < named {
            rows.iter_mut().for_each(|row| row.apply(|place| &steps.at(place)[done..named], self.notes));
        }
        if drops && one_metric {
            rows = rows.into_iter().map(super::columns::nameless).collect();
        } else if drops {
            rows = drop_names(rows)?;
        }
        if done.max(named) < chain.steps.len() {
            rows.iter_mut().for_each(|row| row.apply(|place| &steps.at(place)[done.max(named)..], self.notes));
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
    pub(super) fn prepare(&mut self, scalar: &Node, instants: &[Millis]) -> Result<Vec<usize>, EvalError> {
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
    pub(super) fn go_on(&self) -> Result<(), EvalError> {
        if (self.cancelled)() { Err(EvalError::Cancelled) } else { Ok(()) }
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
                remarks::read(self.notes, Read::Stretch(range), remarks::is_float(&value), labels.name(), reading);
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
            Kind::Call { func: Func::HistogramQuantile, args } => self.bucket_quantiles(node, args, instants),
            Kind::Call { func: Func::Absent, args } => {
                let rows = self.columns(&args[0], instants)?;
                self.spend(instants.len() as u64)?;
                let mut absent = Row::new(absent_labels(&args[0], self.selectors), instants.len());
                let none = |place: &usize| !rows.iter().any(|row| row.has(*place));
                (0..instants.len()).filter(none).for_each(|place| absent.put_float(place, 1.0));
                Ok(vec![absent])
            }
            Kind::Call { args, .. } => {
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
    pub(super) fn place_by_place(
        &mut self,
        node: &Node,
        instants: &[Millis],
        keys: Vec<usize>,
    ) -> Result<Vec<Row>, EvalError> {
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
        let mut values = Vec::new();
        let mut found = Vec::with_capacity(groups.len());
        for (labels, members) in groups {
            let mut row = Row::new(labels, size);
            for from in (0..size).step_by(LANES) {
                self.go_on()?;
                let mut totals = Totals::default();
                if Totals::serve(of.op) {
                    members.iter().for_each(|member| totals.add(&rows[*member].part(from)));
                }
                for place in from..size.min(from + LANES) {
                    if let Some(value) = totals.value(of.op, place - from) {
                        row.put_float(place, value);
                        continue;
                    }
                    values.clear();
                    values.extend(members.iter().filter_map(|member| rows[*member].float(place)));
                    if !values.is_empty() {
                        let parameter = parameters.get(place).copied().unwrap_or(parameters[0]);
                        row.put_float(place, aggregate::fold(of.op, parameter, &mut values));
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
    let join = Join { op: b.op, bool: b.bool, matching: &b.matching, at: Span::default(), delays_names: false };
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
    let join = Join { op: b.op, bool: b.bool, matching: &b.matching, at: Span::default(), delays_names: false };
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
