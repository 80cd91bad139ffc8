//! One question to a compiled tree: evidence in, posteriors out, in two passes.
//!
//! Observed variables are cut out of every table that holds them, so that evidence makes tables smaller. Towards the roots,
//! only cliques with evidence at or below them work: each multiplies its soft evidence and its children's messages into its
//! table and sends the row sums up. Away from the roots, a clique turns its table into `P(clique | e)` by scaling its rows with
//! the separator's posterior over its own message, and hands each child that is asked for its separator's posterior. No
//! message is divided by another that could be small for a wrong reason: all numbers are non-negative and each step is right
//! to rounding. Messages are scaled by powers of two, which is exact; when `f64` could underflow even so, the question is
//! answered again in wide numbers, so that evidence is called impossible only when it is.
use alloc::vec;
use alloc::vec::Vec;

use crate::axes::{self, Axes};
use crate::cliques::{Clique, ROOT};
use crate::error::InferenceError;
use crate::evidence::{Evidence, Finding};
use crate::network::VarId;
use crate::posteriors::Posteriors;
use crate::product::{Message, absorb};
use crate::factor::FREE;
use crate::tree::Tree;
use crate::weight::{Spread, Weight, Wide};

impl Tree {
    /// The posteriors of all variables, and ln P(e).
    ///
    /// Fails on evidence that does not fit the network, and with [`InferenceError::Impossible`] when its probability is zero.
    pub fn propagate(&self, evidence: &Evidence) -> Result<Posteriors, InferenceError> {
        self.answer(evidence, None)
    }

    /// The posteriors of `targets` only, and ln P(e): visits only what lies between roots, evidence and targets.
    ///
    /// Fails as [`Tree::propagate`] does, and on an unknown target.
    pub fn propagate_for(&self, evidence: &Evidence, targets: &[VarId]) -> Result<Posteriors, InferenceError> {
        let mut asked = vec![false; self.cards.len()];
        for &variable in targets {
            let count = self.cards.len();
            *asked.get_mut(variable.index()).ok_or(InferenceError::UnknownVariable { variable, count })? = true;
        }
        self.answer(evidence, Some(asked))
    }

    fn answer(&self, evidence: &Evidence, asked: Option<Vec<bool>>) -> Result<Posteriors, InferenceError> {
        let asked = asked.unwrap_or_else(|| vec![true; self.cards.len()]);
        let question = Question::new(self, evidence, asked)?;
        match question.solve::<f64>() {
            Ok(answer) => answer,
            Err(Spread) => question.solve::<Wide>().expect("wide numbers do not spread too far"),
        }
    }
}

/// Evidence put to a tree.
pub(crate) struct Question<'a> {
    pub(crate) tree: &'a Tree,
    evidence: &'a Evidence,
    /// Per variable its state, or [`FREE`].
    pub(crate) observed: Vec<u32>,
    /// Per variable whether its marginal is wanted; empty when none is.
    asked: Vec<bool>,
    /// `ln` of the likelihoods of variables whose state was built into the tree.
    pub(crate) log_fixed: f64,
}

/// A clique's table with the observed variables cut out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// First of its entries in the full table, from the start of the arena.
    base: usize,
    /// Whether anything was cut out.
    cut: bool,
    /// Whether there is evidence at or below the clique.
    dirty: bool,
    /// Whether its posterior is needed for what was asked at or below it.
    needed: bool,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        tree: &'a Tree,
        evidence: &'a Evidence,
        asked: Vec<bool>,
    ) -> Result<Question<'a>, InferenceError> {
        evidence.check(&tree.cards)?;
        let mut observed = tree.fixed.clone();
        let mut log_fixed = 0.0;
        for (variable, finding) in evidence.findings() {
            let place = &mut observed[variable.index()];
            match finding {
                Finding::State(state) if *place == FREE || place == state => *place = *state,
                Finding::State(_) => return Err(InferenceError::Impossible),
                Finding::Likelihood(_) if *place == FREE => {}
                Finding::Likelihood(values) if values[*place as usize] == 0.0 => {
                    return Err(InferenceError::Impossible);
                }
                Finding::Likelihood(values) => log_fixed += libm::log(values[*place as usize]),
            }
        }
        Ok(Question { tree, evidence, observed, asked, log_fixed })
    }

    fn solve<W: Weight>(&self) -> Result<Result<Posteriors, InferenceError>, Spread> {
        let slices = self.slices();
        let mut tables: Vec<Vec<W>> = vec![Vec::new(); slices.len()];
        let mut messages: Vec<Option<Message<W>>> = vec![None; slices.len()];
        let Some(log_evidence) = self.collect(&slices, &mut tables, &mut messages)? else {
            return Ok(Err(InferenceError::Impossible));
        };
        let values = self.distribute(&slices, &mut tables, &messages);
        let mut posteriors = Posteriors {
            values,
            offsets: self.tree.offsets.clone(),
            known: self.asked.clone(),
            log_evidence: self.tree.log_total + self.log_fixed + log_evidence,
        };
        for v in 0..self.tree.cards.len() {
            let marginal = &mut posteriors.values[self.tree.offsets[v] as usize..self.tree.offsets[v + 1] as usize];
            if self.observed[v] != FREE {
                marginal[self.observed[v] as usize] = 1.0;
            } else if self.asked[v] {
                let sum = axes::total(marginal);
                for value in marginal {
                    *value /= sum;
                }
            }
        }
        Ok(Ok(posteriors))
    }

    /// The shape of each clique under this evidence, and which passes must visit it.
    pub(crate) fn slices(&self) -> Vec<Slice> {
        let (tree, forest) = (self.tree, &self.tree.forest);
        let mut slices = Vec::with_capacity(forest.cliques.len());
        for clique in &forest.cliques {
            let mut slice = Slice {
                rows: clique.rows as usize,
                columns: clique.columns as usize,
                base: clique.start as usize,
                cut: false,
                dirty: false,
                needed: false,
            };
            let scope = forest.scope(clique);
            if scope.iter().any(|&v| self.observed[v as usize] != FREE) {
                slice.cut = true;
                let mut stride = 1;
                for (place, &v) in scope.iter().enumerate().rev() {
                    let (card, state) = (tree.cards[v as usize] as usize, self.observed[v as usize]);
                    if state != FREE {
                        slice.base += stride * state as usize;
                        let side = if place < clique.shared as usize { &mut slice.rows } else { &mut slice.columns };
                        *side /= card;
                    }
                    stride *= card;
                }
            }
            slices.push(slice);
        }
        for (variable, _) in self.evidence.findings() {
            let home = forest.home[variable.index()];
            if home != ROOT {
                slices[home as usize].dirty = true;
            }
        }
        let is_asked = |&v: &u32| self.asked.get(v as usize) == Some(&true) && self.observed[v as usize] == FREE;
        for at in (0..slices.len()).rev() {
            let (above, own) =
                (tree.read_above.of(at).iter().any(is_asked), tree.read_residual.of(at).iter().any(is_asked));
            slices[at].needed |= own;
            let parent = forest.cliques[at].parent;
            if parent != ROOT {
                slices[parent as usize].dirty |= slices[at].dirty;
                slices[parent as usize].needed |= slices[at].needed || above;
            }
        }
        slices
    }

    /// Towards the roots. Leaves in `tables` what dirty cliques hold and in `messages` what they sent; returns ln P(e), or
    /// `None` when it is minus infinity.
    fn collect<W: Weight>(
        &self,
        slices: &[Slice],
        tables: &mut [Vec<W>],
        messages: &mut [Option<Message<W>>],
    ) -> Result<Option<f64>, Spread> {
        let (tree, forest) = (self.tree, &self.tree.forest);
        let (mut log, mut powers) = (0.0, 0);
        for at in (0..slices.len()).rev().filter(|&at| slices[at].dirty) {
            let (clique, slice) = (&forest.cliques[at], &slices[at]);
            let mut table = self.load(clique, slice);
            let mut least = tree.floors[at];
            let Some(by) = self.weigh(clique, &mut table, &mut least)? else { return Ok(None) };
            powers += by;
            for &child in tree.children.of(at) {
                if let Some(message) = &messages[child as usize] {
                    let axes = tree.message_axes(clique, &forest.cliques[child as usize], &self.observed);
                    powers += absorb(&mut table, &mut least, &axes, &message.values, message.floor)?;
                }
            }
            let sums: Vec<W> = table.chunks_exact(slice.columns).map(axes::total).collect();
            let Some(message) = Message::new(sums) else {
                return Ok(None);
            };
            powers += message.power;
            if clique.parent == ROOT {
                log += message.values[0].log_value();
            }
            messages[at] = Some(message);
            tables[at] = table;
        }
        Ok(Some(log + powers as f64 * core::f64::consts::LN_2))
    }

    /// Multiplies the likelihoods of a clique's residual variables into its table; returns the power of two taken out, or
    /// `None` when a likelihood is zero throughout.
    pub(crate) fn weigh<W: Weight>(
        &self,
        clique: &Clique,
        table: &mut [W],
        least: &mut i64,
    ) -> Result<Option<i64>, Spread> {
        let scope = self.tree.forest.scope(clique);
        let mut powers = 0;
        for &v in &scope[clique.shared as usize..] {
            if let Some(Finding::Likelihood(values)) = self.evidence.get(VarId(v)) {
                let values = values.iter().map(|&value| W::new(value)).collect();
                let Some(message) = Message::new(values) else { return Ok(None) };
                let axes = self.variable_axes(scope, v);
                powers += message.power + absorb(table, least, &axes, &message.values, message.floor)?;
            }
        }
        Ok(Some(powers))
    }

    /// Away from the roots. Returns the marginals asked for, in one flat vector, not yet divided by their sums.
    fn distribute<W: Weight>(
        &self,
        slices: &[Slice],
        tables: &mut [Vec<W>],
        messages: &[Option<Message<W>>],
    ) -> Vec<f64> {
        let (tree, forest) = (self.tree, &self.tree.forest);
        let mut marginals = vec![0.0; tree.offsets[tree.cards.len()] as usize];
        let mut separators: Vec<Vec<W>> = vec![Vec::new(); slices.len()];
        for at in (0..slices.len()).filter(|&at| slices[at].needed) {
            let (clique, slice) = (&forest.cliques[at], &slices[at]);
            let mut scale = core::mem::take(&mut separators[at]);
            if clique.parent == ROOT {
                scale.push(W::ONE);
            }
            if let Some(message) = &messages[at] {
                let unit = W::ONE.shift(message.power);
                for (scale, &sent) in scale.iter_mut().zip(&message.values) {
                    *scale = scale.over(sent.times(unit));
                }
            }
            let wants = |child: &u32| {
                let above = tree.read_above.of(*child as usize);
                slices[*child as usize].needed || above.iter().any(|&v| self.asked[v as usize])
            };
            let inner = tree.children.of(at).iter().any(wants);
            let owned;
            let mut table = core::mem::take(&mut tables[at]);
            let current: &[W] = if inner || slice.dirty {
                if !slice.dirty {
                    table = self.load(clique, slice);
                }
                if inner {
                    for (row, &scale) in table.chunks_exact_mut(slice.columns).zip(&scale) {
                        for value in row {
                            *value = value.times(scale);
                        }
                    }
                    scale.fill(W::ONE);
                }
                &table
            } else {
                match W::borrow(&tree.tables[clique.entries()]) {
                    Some(stored) if !slice.cut => stored,
                    _ => {
                        owned = self.load(clique, slice);
                        &owned
                    }
                }
            };
            for &child in tree.children.of(at).iter().filter(|&child| wants(child)) {
                let lower = &forest.cliques[child as usize];
                let axes = tree.message_axes(clique, lower, &self.observed);
                let mut separator = vec![W::ZERO; slices[child as usize].rows];
                axes::sum_onto(current, &axes, &mut separator);
                for &v in tree.read_above.of(child as usize) {
                    self.read(forest.separator(lower), v, &separator, &mut marginals);
                }
                separators[child as usize] = separator;
            }
            let reads = tree.read_residual.of(at);
            if reads.iter().any(|&v| self.asked[v as usize] && self.observed[v as usize] == FREE) {
                let mut residual = vec![W::ZERO; slice.columns];
                for (row, &scale) in current.chunks_exact(slice.columns).zip(&scale) {
                    for (sum, &value) in residual.iter_mut().zip(row) {
                        *sum = sum.plus(value.times(scale));
                    }
                }
                for &v in reads {
                    self.read(&forest.scope(clique)[clique.shared as usize..], v, &residual, &mut marginals);
                }
            }
        }
        marginals
    }

    /// Adds up a table over `scope` (less what is observed) into the marginal of `v`.
    fn read<W: Weight>(&self, scope: &[u32], v: u32, table: &[W], marginals: &mut [f64]) {
        if !self.asked[v as usize] || self.observed[v as usize] != FREE {
            return;
        }
        let mut sums = vec![W::ZERO; self.tree.cards[v as usize] as usize];
        axes::sum_onto(table, &self.variable_axes(scope, v), &mut sums);
        let start = self.tree.offsets[v as usize] as usize;
        for (place, sum) in marginals[start..].iter_mut().zip(sums) {
            *place = sum.value();
        }
    }

    /// How one variable lies in a table over `scope` less what is observed.
    fn variable_axes(&self, scope: &[u32], variable: u32) -> Axes {
        let mut axes = Axes::new();
        for &v in scope.iter().rev().filter(|&&v| self.observed[v as usize] == FREE) {
            axes.push(self.tree.cards[v as usize], u32::from(v == variable));
        }
        axes
    }

    /// A clique's stored table without the rows and columns that the evidence rules out.
    pub(crate) fn load<W: Weight>(&self, clique: &Clique, slice: &Slice) -> Vec<W> {
        let stored = &self.tree.tables;
        if !slice.cut {
            return stored[clique.entries()].iter().map(|&value| W::new(value)).collect();
        }
        let mut axes = Axes::new();
        let mut stride = 1;
        for &v in self.tree.forest.scope(clique).iter().rev() {
            let card = self.tree.cards[v as usize];
            if self.observed[v as usize] == FREE {
                axes.push(card, stride);
            }
            stride *= card;
        }
        let mut table = vec![W::ZERO; slice.rows * slice.columns];
        axes::gather(stored, slice.base, &axes, &mut table);
        table
    }
}
