//! Propagation: evidence in, posteriors out, in two passes over a compiled tree; again, only where something changed.
//!
//! Towards the roots, only cliques with evidence at or below them work: each multiplies its soft evidence and its children's
//! messages into its table and sends the row sums up. Away from the roots, a clique's table becomes `P(clique | e)` by scaling
//! its rows with the separator's posterior over its own message, and each child that is asked for gets its separator's
//! posterior. No message is divided by another that could be small for a wrong reason: all numbers are non-negative and each
//! step is right to rounding. Messages are scaled by powers of two, which is exact; when `f64` could underflow even so, the
//! question is answered again in wide numbers, so that evidence is called impossible only when it is.
//!
//! [`Session`] keeps all of that between questions. When the evidence on a variable changes, the cliques that hold it work anew,
//! and then those that are sent another message than before; on the way back, a clique whose table is as before and whose
//! separator's posterior is the same to the bit is passed over with all below it. So the answer has the bits that a first
//! question would have got.
//! Source: Shafer and Shenoy, "Probability propagation", Annals of Mathematics and Artificial Intelligence 2, 1990.
mod joints;

use alloc::vec;
use alloc::vec::Vec;

use crate::axes;
use crate::cliques::ROOT;
use crate::error::InferenceError;
use crate::evidence::Evidence;
use crate::factor::FREE;
use crate::network::VarId;
use crate::posteriors::Posteriors;
use crate::product::{Message, absorb};
use crate::question::{Question, Slice};
use crate::tree::Tree;
use crate::weight::{Spread, Weight, Wide};

impl Tree {
    /// The posteriors of all variables, and ln P(e).
    ///
    /// Fails on evidence that does not fit the network, and with [`InferenceError::Impossible`] when its probability is zero.
    pub fn propagate(&self, evidence: &Evidence) -> Result<Posteriors, InferenceError> {
        Session::new(self).propagate(evidence)
    }

    /// The posteriors of `targets` only, and ln P(e): visits only what lies between roots, evidence and targets.
    ///
    /// Fails as [`Tree::propagate`] does, and on an unknown target.
    pub fn propagate_for(&self, evidence: &Evidence, targets: &[VarId]) -> Result<Posteriors, InferenceError> {
        Session::new(self).propagate_for(evidence, targets)
    }
}

/// One question after another to a tree, where the next differs from the last in little.
///
/// The answers are those of [`Tree::propagate`], bit for bit. Memory: at most as much again as the tree's tables.
#[derive(Debug, Clone)]
pub struct Session<'t> {
    tree: &'t Tree,
    /// What the state below was computed for.
    evidence: Evidence,
    state: State<f64>,
    visits: Visits,
}

/// The joint posterior of a family; none where no clique holds it.
type Joint = Option<Vec<f64>>;

/// How many cliques the last question worked on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Visits {
    /// Towards the roots.
    pub collected: usize,
    /// Away from the roots.
    pub distributed: usize,
}

impl<'t> Session<'t> {
    /// Nothing asked yet.
    pub fn new(tree: &'t Tree) -> Session<'t> {
        Session { tree, evidence: Evidence::new(), state: State::new(tree), visits: Visits::default() }
    }

    /// The posteriors of all variables, and ln P(e), as [`Tree::propagate`].
    ///
    /// Fails as that does; the session can be asked again.
    pub fn propagate(&mut self, evidence: &Evidence) -> Result<Posteriors, InferenceError> {
        self.answer(evidence, vec![true; self.tree.cards.len()])
    }

    /// The posteriors of `targets` only, and ln P(e), as [`Tree::propagate_for`].
    ///
    /// Fails as that does; the session can be asked again.
    pub fn propagate_for(&mut self, evidence: &Evidence, targets: &[VarId]) -> Result<Posteriors, InferenceError> {
        let count = self.tree.cards.len();
        let mut asked = vec![false; count];
        for &variable in targets {
            *asked.get_mut(variable.index()).ok_or(InferenceError::UnknownVariable { variable, count })? = true;
        }
        self.answer(evidence, asked)
    }

    /// What the last question cost.
    pub fn visits(&self) -> Visits {
        self.visits
    }

    fn answer(&mut self, evidence: &Evidence, asked: Vec<bool>) -> Result<Posteriors, InferenceError> {
        self.answer_with(evidence, asked, &[]).map(|(posteriors, _)| posteriors)
    }

    /// - `families`: sets of variables whose joint posteriors are wanted, too; then everything must be asked for.
    fn answer_with(
        &mut self,
        evidence: &Evidence,
        asked: Vec<bool>,
        families: &[Vec<VarId>],
    ) -> Result<(Posteriors, Vec<Joint>), InferenceError> {
        let tree = self.tree;
        let question = Question::new(tree, evidence, asked)?;
        let slices = question.slices();
        self.state.forget(&question, &slices, &self.evidence, evidence);
        let narrow = if tree.wide.is_empty() { self.state.solve(&question, &slices) } else { Err(Spread) };
        let narrow_failed = narrow.is_err();
        let answer = match narrow {
            Ok(answer) => answer.map(|posteriors| (posteriors, self.state.joints(&question, &slices, families))),
            Err(Spread) => {
                let mut wide = State::<Wide>::new(tree);
                wide.forget(&question, &slices, &Evidence::new(), evidence);
                let answer = wide.solve(&question, &slices).expect("wide numbers do not spread too far");
                answer.map(|posteriors| (posteriors, wide.joints(&question, &slices, families)))
            }
        };
        self.visits = self.state.visits;
        // What was left half done is worth nothing: a refusal starts afresh.
        if narrow_failed || answer.is_err() {
            self.state = State::new(tree);
            self.evidence = Evidence::new();
        } else {
            self.evidence = evidence.clone();
        }
        answer
    }
}

/// What both passes leave, per clique unless said otherwise.
#[derive(Debug, Clone)]
struct State<W> {
    /// The table with evidence and children's messages in it; empty where there is no evidence at or below.
    tables: Vec<Vec<W>>,
    /// What it sent up, where there is evidence at or below it.
    messages: Vec<Option<Message<W>>>,
    /// Powers of two taken out on the way.
    powers: Vec<i64>,
    /// The separator's posterior, as the parent handed it down.
    separators: Vec<Vec<W>>,
    /// Per variable its marginal, not yet divided by its sum.
    marginals: Vec<f64>,
    /// The table and its message are to be made.
    uncollected: Vec<bool>,
    /// The table or the separator's posterior changed since the clique last handed down.
    stale: Vec<bool>,
    /// The separator's posterior is out of date.
    separator_stale: Vec<bool>,
    /// Per variable: its marginal is out of date.
    read_stale: Vec<bool>,
    visits: Visits,
}

impl<W: Weight> State<W> {
    fn new(tree: &Tree) -> State<W> {
        let count = tree.forest.cliques.len();
        State {
            tables: vec![Vec::new(); count],
            messages: vec![None; count],
            powers: vec![0; count],
            separators: vec![Vec::new(); count],
            marginals: vec![0.0; tree.offsets[tree.cards.len()] as usize],
            uncollected: vec![false; count],
            stale: vec![true; count],
            separator_stale: vec![true; count],
            read_stale: vec![true; tree.cards.len()],
            visits: Visits::default(),
        }
    }

    /// Marks what a change of evidence touches.
    fn forget(&mut self, question: &Question, slices: &[Slice], before: &Evidence, now: &Evidence) {
        let forest = &question.tree.forest;
        let changed: Vec<VarId> = before.differs(now);
        if changed.is_empty() {
            return;
        }
        let mut holds = vec![false; question.tree.cards.len()];
        for &variable in &changed {
            // A likelihood only weighs; a state also cuts the variable out of every table that holds it.
            if before.is_hard(variable) || now.is_hard(variable) {
                holds[variable.index()] = true;
                self.read_stale[variable.index()] = true;
            }
            let home = forest.home[variable.index()];
            if home != ROOT {
                self.mark(home as usize);
            }
        }
        if holds.contains(&true) {
            for (at, clique) in forest.cliques.iter().enumerate() {
                if forest.scope(clique).iter().any(|&v| holds[v as usize]) {
                    self.mark(at);
                }
            }
        }
        for at in (0..slices.len()).rev().filter(|&at| !slices[at].dirty) {
            let parent = forest.cliques[at].parent;
            if self.messages[at].is_some() && parent != ROOT {
                self.mark(parent as usize);
            }
            (self.messages[at], self.powers[at], self.uncollected[at]) = (None, 0, false);
            self.tables[at].clear();
        }
    }

    fn mark(&mut self, at: usize) {
        (self.uncollected[at], self.stale[at]) = (true, true);
    }

    fn solve(&mut self, question: &Question, slices: &[Slice]) -> Result<Result<Posteriors, InferenceError>, Spread> {
        let tree = question.tree;
        self.visits = Visits::default();
        let Some(log_evidence) = self.collect(question, slices)? else {
            return Ok(Err(InferenceError::Impossible));
        };
        self.distribute(question, slices);
        let mut posteriors = Posteriors {
            values: vec![0.0; self.marginals.len()],
            offsets: tree.offsets.clone(),
            known: question.asked.clone(),
            log_evidence: tree.log_total + question.log_fixed + log_evidence,
        };
        for v in 0..tree.cards.len() {
            let place = tree.offsets[v] as usize..tree.offsets[v + 1] as usize;
            let marginal = &mut posteriors.values[place.clone()];
            if question.observed[v] != FREE {
                marginal[question.observed[v] as usize] = 1.0;
            } else if question.asked[v] {
                marginal.copy_from_slice(&self.marginals[place]);
                let sum = axes::total(marginal);
                for value in marginal {
                    *value /= sum;
                }
            }
        }
        Ok(Ok(posteriors))
    }

    /// Towards the roots; returns ln P(e), or `None` when it is minus infinity.
    fn collect(&mut self, question: &Question, slices: &[Slice]) -> Result<Option<f64>, Spread> {
        let (tree, forest) = (question.tree, &question.tree.forest);
        for at in (0..slices.len()).rev().filter(|&at| slices[at].dirty) {
            if !core::mem::replace(&mut self.uncollected[at], false) {
                continue;
            }
            self.visits.collected += 1;
            let (clique, slice) = (&forest.cliques[at], &slices[at]);
            let mut table = core::mem::take(&mut self.tables[at]);
            question.load(clique, slice, &mut table);
            let mut least = tree.floors[at];
            let Some(mut powers) = question.weigh(clique, &mut table, &mut least)? else { return Ok(None) };
            for &child in tree.children.of(at) {
                // A message of one number says nothing to the parent's table; its `ln` is added at the end.
                if let Some(message) = self.messages[child as usize].as_ref().filter(|sent| sent.values.len() > 1) {
                    let axes = tree.message_axes(clique, &forest.cliques[child as usize], &question.observed);
                    powers += absorb(&mut table, &mut least, &axes, &message.values, message.floor)?;
                }
            }
            let sums: Vec<W> = table.chunks_exact(slice.columns).map(axes::total).collect();
            let Some(message) = Message::new(sums) else {
                return Ok(None);
            };
            let same = self.messages[at].as_ref().is_some_and(|sent| sent.says_the_same(&message));
            if clique.parent != ROOT && !same {
                self.mark(clique.parent as usize);
            }
            self.powers[at] = powers + message.power;
            self.messages[at] = Some(message);
            self.tables[at] = table;
        }
        let (mut log, mut powers) = (0.0, 0);
        for at in (0..slices.len()).rev() {
            powers += self.powers[at];
            if let Some([only]) = self.messages[at].as_ref().map(|message| &message.values[..]) {
                log += only.log_value();
            }
        }
        Ok(Some(log + powers as f64 * core::f64::consts::LN_2))
    }

    /// Away from the roots, as far as something is asked for that is out of date.
    fn distribute(&mut self, question: &Question, slices: &[Slice]) {
        let (tree, forest) = (question.tree, &question.tree.forest);
        let mut scaled: Vec<W> = Vec::new();
        let mut loaded: Vec<W> = Vec::new();
        let mut handed: Vec<u32> = Vec::new();
        for at in (0..slices.len()).filter(|&at| slices[at].needed) {
            let (clique, slice) = (&forest.cliques[at], &slices[at]);
            let was_stale = core::mem::replace(&mut self.stale[at], false);
            let above = |child: u32| tree.read_above.of(child as usize);
            let wants = |child: u32| slices[child as usize].needed || above(child).iter().any(|&v| question.reads(v));
            // What is not asked for now is to be made up for when it is.
            if was_stale {
                for &child in tree.children.of(at) {
                    self.separator_stale[child as usize] = true;
                    above(child).iter().for_each(|&v| self.read_stale[v as usize] = true);
                }
                tree.read_residual.of(at).iter().for_each(|&v| self.read_stale[v as usize] = true);
            }
            let late = |v: &u32| question.reads(*v) && self.read_stale[*v as usize];
            let hands = |child: &u32| {
                wants(*child) && (self.separator_stale[*child as usize] || above(*child).iter().any(late))
            };
            handed.clear();
            handed.extend(tree.children.of(at).iter().filter(|&child| hands(child)));
            let residual = tree.read_residual.of(at).iter().any(late);
            if handed.is_empty() && !residual {
                continue;
            }
            self.visits.distributed += 1;
            let mut scale = match clique.parent {
                ROOT => vec![W::ONE],
                _ => self.separators[at].clone(),
            };
            if let Some(message) = &self.messages[at] {
                let unit = W::ONE.shift(message.power);
                for (scale, &sent) in scale.iter_mut().zip(&message.values) {
                    *scale = scale.over(sent.times(unit));
                }
            }
            let mut current: &[W] = if slice.dirty {
                &self.tables[at]
            } else {
                match W::stored(tree) {
                    Some(stored) if !slice.cut => &stored[clique.entries()],
                    _ => {
                        question.load(clique, slice, &mut loaded);
                        &loaded
                    }
                }
            };
            if !handed.is_empty() {
                scaled.clear();
                scaled.reserve(current.len());
                for (row, &scale) in current.chunks_exact(slice.columns).zip(&scale) {
                    scaled.extend(row.iter().map(|value| value.times(scale)));
                }
                scale.fill(W::ONE);
                current = &scaled;
            }
            for &child in &handed {
                let lower = &forest.cliques[child as usize];
                let axes = tree.message_axes(clique, lower, &question.observed);
                let mut separator = vec![W::ZERO; slices[child as usize].rows];
                axes::sum_onto(current, &axes, &mut separator);
                for &v in above(child) {
                    read(question, forest.separator(lower), v, &separator, &mut self.marginals, &mut self.read_stale);
                }
                // A separator observed as a whole has one state left. Said exactly, it is the same whatever lies above.
                if let [only] = &mut separator[..] {
                    *only = W::ONE;
                }
                let place = &mut self.separators[child as usize];
                if *place != separator {
                    self.stale[child as usize] = true;
                    *place = separator;
                }
                self.separator_stale[child as usize] = false;
            }
            if residual {
                let mut sums = vec![W::ZERO; slice.columns];
                for (row, &scale) in current.chunks_exact(slice.columns).zip(&scale) {
                    for (sum, &value) in sums.iter_mut().zip(row) {
                        *sum = sum.plus(value.times(scale));
                    }
                }
                let scope = &forest.scope(clique)[clique.shared as usize..];
                for &v in tree.read_residual.of(at) {
                    read(question, scope, v, &sums, &mut self.marginals, &mut self.read_stale);
                }
            }
        }
    }
}

/// Adds up a table over `scope` (less what is observed) into the marginal of `v`, where that is asked for.
fn read<W: Weight>(
    question: &Question,
    scope: &[u32],
    v: u32,
    table: &[W],
    marginals: &mut [f64],
    read_stale: &mut [bool],
) {
    if !question.reads(v) {
        return;
    }
    let tree = question.tree;
    let mut sums = vec![W::ZERO; tree.cards[v as usize] as usize];
    axes::sum_onto(table, &question.variable_axes(scope, v), &mut sums);
    let start = tree.offsets[v as usize] as usize;
    for (place, sum) in marginals[start..].iter_mut().zip(sums) {
        *place = sum.value();
    }
    read_stale[v as usize] = false;
}
