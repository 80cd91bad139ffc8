//! From tree to operators.
use super::absent::Absent;
use super::aggregate::Aggregated;
use super::join::Joined;
use super::leaf::LeafOp;
use super::map::{Map, Steps};
use super::{Op, OpKind, Side};
use crate::eval::{Base, Read, absent_labels, check_extent, is_metadata, lower};
use crate::expr::{Group, Kind, Node, Type};
use crate::function::{AggOp, Func};
use crate::range::RangeFunc;
use crate::{Expr, NotIncremental, Selector};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// The operators of an expression, and the leaf of each of its selectors.
pub(super) fn plan(expr: &Expr) -> Result<(Vec<Op>, Vec<usize>), NotIncremental> {
    if expr.unbound.is_some() {
        return Err(refuse("a duration that is none at an instant", &expr.root));
    }
    if expr.delays_names {
        return Err(refuse("names that are dropped in the end only", &expr.root));
    }
    let mut planner = Planner { selectors: &expr.selectors, ops: Vec::new(), leaves: vec![0; expr.selectors.len()] };
    match expr.result_type() {
        Type::Vector => {
            planner.vector(&expr.root)?;
        }
        Type::Scalar => {
            planner.scalar(&expr.root)?;
        }
        Type::Matrix => return Err(refuse("a range vector", &expr.root)),
        Type::Text => return Err(refuse("a text", &expr.root)),
    }
    Ok((planner.ops, planner.leaves))
}

fn refuse(why: impl Into<String>, node: &Node) -> NotIncremental {
    NotIncremental { why: why.into(), at: node.span.into() }
}

/// An operator, and whether its elements differ by more than the metric's name.
struct Planned {
    op: usize,
    distinct: bool,
}

struct Planner<'e> {
    selectors: &'e [Selector],
    ops: Vec<Op>,
    leaves: Vec<usize>,
}

impl Planner<'_> {
    fn add(&mut self, kind: OpKind) -> usize {
        self.ops.push(Op { into: None, kind });
        self.ops.len() - 1
    }

    /// Adds an operator above one input.
    fn above(&mut self, input: usize, kind: OpKind) -> usize {
        let op = self.add(kind);
        self.ops[input].into = Some((op, Side::Left));
        op
    }

    fn scalar(&mut self, node: &Node) -> Result<Planned, NotIncremental> {
        depends_on_time_alone(node)?;
        let op = self.add(OpKind::Scalar { of: node.clone(), value: None });
        Ok(Planned { op, distinct: true })
    }

    fn vector(&mut self, node: &Node) -> Result<Planned, NotIncremental> {
        let chain = lower(node);
        for template in &chain.steps {
            template.nodes().try_for_each(depends_on_time_alone)?;
        }
        let steps = Steps::new(chain.steps);
        let (index, read) = match chain.base {
            Base::Instant(index, _) => (index, Read::Value),
            Base::Stamp(index) => (index, Read::Time),
            Base::Start(index) => (index, Read::Start),
            Base::Range { func, args } => self.stretch(func, args)?,
            Base::Node(of) => {
                let Planned { op, distinct } = self.whole(of)?;
                if steps.is_empty() {
                    return Ok(Planned { op, distinct });
                }
                if steps.drops_name() && !distinct {
                    return Err(refuse("dropping the names of several metrics", node));
                }
                return Ok(Planned { op: self.above(op, OpKind::Map(Map::new(steps))), distinct });
            }
        };
        let distinct = self.selectors[index].metric().is_some();
        if (read.drops_name() || steps.drops_name()) && !distinct {
            return Err(refuse("dropping the names of several metrics", node));
        }
        Ok(Planned { op: self.leaf(index, read, steps), distinct })
    }

    fn leaf(&mut self, index: usize, read: Read, steps: Steps) -> usize {
        let op = self.add(OpKind::Leaf(LeafOp::new(index, &self.selectors[index], read, steps)));
        self.leaves[index] = op;
        op
    }

    /// A function of a stretch: which selector, and what is read of it.
    fn stretch(&self, func: Func, args: &[Node]) -> Result<(usize, Read), NotIncremental> {
        let (mut parameters, mut given, mut selector) = ([0.0; 2], 0, None);
        for arg in args {
            if check_extent(arg, self.selectors, func).is_err() {
                return Err(refuse(format!("{}() of such a stretch", func.signature().name), arg));
            }
            match (&arg.bare().kind, crate::eval::fixed(arg)) {
                (Kind::Range(index), _) => selector = Some(*index),
                (Kind::Subquery(_), _) => return Err(refuse("a subquery", arg)),
                (_, Some(x)) => {
                    parameters[given] = x;
                    given += 1;
                }
                (_, None) => return Err(refuse("a parameter that is no constant", arg)),
            }
        }
        let range = RangeFunc { func, parameters };
        match selector {
            Some(index) if range.check().is_ok() => Ok((index, Read::Stretch(range))),
            _ => Err(refuse(format!("{}() of these parameters", func.signature().name), &args[0])),
        }
    }

    /// A vector that is no chain of steps.
    fn whole(&mut self, node: &Node) -> Result<Planned, NotIncremental> {
        match &node.kind {
            Kind::Binary(b) if b.op.is_set() => {
                Err(NotIncremental { why: format!("operator {:?}", b.op.text()), at: b.op_span.into() })
            }
            Kind::Binary(b) => {
                let by_metadata = b.matching.on && b.matching.labels.iter().any(|l| is_metadata(l));
                let join = Joined::new(b, node.span);
                if by_metadata && join.drops_name() {
                    return Err(refuse("dropping the names of several metrics", node));
                }
                let left = self.vector(&b.left)?;
                let right = self.vector(&b.right)?;
                let op = self.add(OpKind::Join(join));
                self.ops[left.op].into = Some((op, Side::Left));
                self.ops[right.op].into = Some((op, Side::Right));
                let distinct = match b.matching.group {
                    Group::None => !by_metadata,
                    Group::Left(_) => left.distinct,
                    Group::Right(_) => right.distinct,
                };
                Ok(Planned { op, distinct })
            }
            Kind::Aggregate(of) => {
                use AggOp::{Avg, Count, Max, Min, Sum};
                if !matches!(of.op, Avg | Count | AggOp::Group | Max | Min | Sum) {
                    return Err(refuse(format!("{}()", of.op.name()), node));
                }
                let input = self.vector(&of.of)?;
                // A leaf knows the group of each of its series once and for all.
                let numbered = match &mut self.ops[input.op].kind {
                    OpKind::Leaf(leaf) => {
                        leaf.cells.group_by(&of.grouping);
                        true
                    }
                    _ => false,
                };
                let op = self.above(input.op, OpKind::Aggregate(Aggregated::new(of, numbered)));
                let grouping = &of.grouping;
                let distinct = grouping.without || !grouping.labels.iter().any(|l| is_metadata(l));
                Ok(Planned { op, distinct })
            }
            Kind::Call { func: Func::Absent, args } => {
                let input = self.vector(&args[0])?;
                let labels = absent_labels(&args[0], self.selectors);
                let op = self.above(input.op, OpKind::Absent(Absent::new(labels)));
                Ok(Planned { op, distinct: true })
            }
            Kind::Call { func: Func::AbsentOverTime, args } => {
                // Whether there is a sample is all that matters; the names need not be dropped for that.
                let (index, read) = self.stretch(Func::LastOverTime, args)?;
                let input = self.leaf(index, read, Steps::new(Vec::new()));
                let labels = absent_labels(&args[0], self.selectors);
                let op = self.above(input, OpKind::Absent(Absent::new(labels)));
                Ok(Planned { op, distinct: true })
            }
            Kind::Call { func: Func::VectorOf, args } => self.scalar(&args[0]),
            Kind::Call { func, .. } => Err(refuse(format!("{}()", func.signature().name), node)),
            Kind::Info(_) => Err(refuse("info()", node)),
            _ => unreachable!("every other vector is a chain of steps"),
        }
    }
}

/// Fails on a number that depends on series.
fn depends_on_time_alone(node: &Node) -> Result<(), NotIncremental> {
    match &node.kind {
        Kind::Number(_) => Ok(()),
        Kind::Call { func: Func::Time | Func::Pi | Func::Start | Func::End | Func::StepOf | Func::RangeOf, .. } => {
            Ok(())
        }
        Kind::Call { func: Func::MaxOf | Func::MinOf, args } => args.iter().try_for_each(depends_on_time_alone),
        Kind::Paren(of) | Kind::Unary { of, .. } => depends_on_time_alone(of),
        Kind::Binary(b) => depends_on_time_alone(&b.left).and_then(|()| depends_on_time_alone(&b.right)),
        Kind::Call { func, .. } => Err(refuse(format!("{}()", func.signature().name), node)),
        _ => unreachable!("checked to be a scalar"),
    }
}
