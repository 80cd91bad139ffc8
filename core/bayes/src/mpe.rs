//! The most probable explanation: the one assignment of all variables that the evidence makes likeliest.
//!
//! The same tree with maxima for sums: towards the roots each clique sends, per row, its largest entry, and remembers which;
//! back from the roots the remembered choices are read off. Unlike sums, the maxima of a clique without evidence are not 1, so
//! every clique takes part.
//! Source: Dawid, "Applications of a general propagation algorithm for probabilistic expert systems", 1992.
use alloc::vec;
use alloc::vec::Vec;

use crate::cliques::ROOT;
use crate::error::InferenceError;
use crate::evidence::Evidence;
use crate::factor::FREE;
use crate::network::VarId;
use crate::product::{Message, absorb};
use crate::question::Question;
use crate::tree::Tree;
use crate::weight::{Spread, Weight, Wide};

/// A likeliest assignment.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    states: Vec<u32>,
    log_probability: f64,
}

impl Explanation {
    /// The state of a variable, or `None` for an id that is not of the network.
    pub fn state(&self, variable: VarId) -> Option<usize> {
        self.states.get(variable.index()).map(|&state| state as usize)
    }

    /// `ln P(assignment, e)`; less `ln P(e)` it is the assignment's posterior.
    pub fn log_probability(&self) -> f64 {
        self.log_probability
    }
}

impl Tree {
    /// The assignment of all variables that is likeliest under the evidence. Of equally likely ones, always the same.
    ///
    /// Fails as [`Tree::propagate`] does.
    pub fn most_probable(&self, evidence: &Evidence) -> Result<Explanation, InferenceError> {
        let question = Question::new(self, evidence, Vec::new())?;
        let narrow = if self.wide.is_empty() { question.maximise::<f64>() } else { Err(Spread) };
        match narrow {
            Ok(answer) => answer,
            Err(Spread) => question.maximise::<Wide>().expect("wide numbers do not spread too far"),
        }
    }
}

impl Question<'_> {
    fn maximise<W: Weight>(&self) -> Result<Result<Explanation, InferenceError>, Spread> {
        let (tree, forest) = (self.tree, &self.tree.forest);
        let slices = self.slices();
        let mut messages: Vec<Option<Message<W>>> = vec![None; slices.len()];
        let mut choices: Vec<Vec<u32>> = vec![Vec::new(); slices.len()];
        let (mut log, mut powers) = (0.0, 0);
        for (at, slice) in slices.iter().enumerate().rev() {
            let clique = &forest.cliques[at];
            let mut table: Vec<W> = Vec::new();
            self.load(clique, slice, &mut table);
            let mut least = tree.floors[at];
            let Some(by) = self.weigh(clique, &mut table, &mut least)? else {
                return Ok(Err(InferenceError::Impossible));
            };
            powers += by;
            for &child in tree.children.of(at) {
                let message = messages[child as usize].take().expect("children come later and are done");
                let axes = tree.message_axes(clique, &forest.cliques[child as usize], &self.observed);
                powers += absorb(&mut table, &mut least, &axes, &message.values, message.floor)?;
            }
            let mut best = Vec::with_capacity(slice.rows);
            for row in table.chunks_exact(slice.columns) {
                let mut first = 0;
                for (place, value) in row.iter().enumerate() {
                    if *value > row[first] {
                        first = place;
                    }
                }
                best.push(row[first]);
                choices[at].push(first as u32);
            }
            let Some(message) = Message::new(best) else {
                return Ok(Err(InferenceError::Impossible));
            };
            powers += message.power;
            if clique.parent == ROOT {
                log += message.values[0].log_value();
            }
            messages[at] = Some(message);
        }
        let mut states = self.observed.clone();
        for (clique, choices) in forest.cliques.iter().zip(&choices) {
            let (separator, residual) = forest.scope(clique).split_at(clique.shared as usize);
            let mut row = 0;
            for &v in separator.iter().filter(|&&v| self.observed[v as usize] == FREE) {
                row = row * tree.cards[v as usize] + states[v as usize];
            }
            let mut column = choices[row as usize];
            for &v in residual.iter().rev().filter(|&&v| self.observed[v as usize] == FREE) {
                states[v as usize] = column % tree.cards[v as usize];
                column /= tree.cards[v as usize];
            }
        }
        let log_probability = tree.log_total + self.log_fixed + log + powers as f64 * core::f64::consts::LN_2;
        Ok(Ok(Explanation { states, log_probability }))
    }
}
