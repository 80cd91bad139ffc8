//! Evidence put to a tree: which variables are cut out, which cliques have evidence at or below them, which are needed.
//!
//! Observed variables are cut out of every table that holds them, so that evidence makes tables smaller.
use alloc::vec::Vec;

use crate::axes::{self, Axes};
use crate::cliques::{Clique, ROOT};
use crate::error::InferenceError;
use crate::evidence::{Evidence, Finding};
use crate::factor::FREE;
use crate::network::VarId;
use crate::product::{Message, absorb};
use crate::tree::Tree;
use crate::weight::{Spread, Weight};

/// Evidence put to a tree.
pub(crate) struct Question<'a> {
    pub(crate) tree: &'a Tree,
    evidence: &'a Evidence,
    /// Per variable its state, or [`FREE`].
    pub(crate) observed: Vec<u32>,
    /// Per variable whether its marginal is wanted; empty when none is.
    pub(crate) asked: Vec<bool>,
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
    pub(crate) cut: bool,
    /// Whether there is evidence at or below the clique.
    pub(crate) dirty: bool,
    /// Whether its posterior is needed for what was asked at or below it.
    pub(crate) needed: bool,
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
        let is_asked = |&v: &u32| self.reads(v);
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

    /// How one variable lies in a table over `scope` less what is observed.
    pub(crate) fn variable_axes(&self, scope: &[u32], variable: u32) -> Axes {
        let mut axes = Axes::new();
        for &v in scope.iter().rev().filter(|&&v| self.observed[v as usize] == FREE) {
            axes.push(self.tree.cards[v as usize], u32::from(v == variable));
        }
        axes
    }

    /// Fills `table` with a clique's stored one, without the rows and columns that the evidence rules out.
    pub(crate) fn load<W: Weight>(&self, clique: &Clique, slice: &Slice, table: &mut Vec<W>) {
        match W::stored(self.tree) {
            Some(stored) => self.gather(stored, clique, slice, table, |value| value),
            None => self.gather(&self.tree.tables, clique, slice, table, W::new),
        }
    }

    fn gather<S: Copy, W: Weight>(
        &self,
        stored: &[S],
        clique: &Clique,
        slice: &Slice,
        table: &mut Vec<W>,
        new: impl Fn(S) -> W + Copy,
    ) {
        table.clear();
        if !slice.cut {
            table.extend(stored[clique.entries()].iter().map(|&value| new(value)));
            return;
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
        table.resize(slice.rows * slice.columns, W::ZERO);
        axes::gather(stored, slice.base, &axes, table, new);
    }

    /// Whether a variable's marginal is wanted and must be added up.
    pub(crate) fn reads(&self, v: u32) -> bool {
        self.observed[v as usize] == FREE && self.asked.get(v as usize) == Some(&true)
    }
}
