//! Counterfactuals: what is, and what would have been had some variables been set otherwise, in one network.
//!
//! A twin network holds both worlds. What does not descend from the variables set is the same in both. A variable that does has
//! a second copy, and the two must share what was not modelled about it, its chance: given the parents' states `r` here and
//! `r'` there, and that here it came out as `s`, how likely is `s'` there? A table alone does not say. The answer taken here:
//! both worlds draw one number from [0, 1) and look it up in the row's cumulative sums, states in their order, so that
//! `P(s' | s, r, r')` is the overlap of two intervals over the length of the first. Where rows are certain (a functional model
//! with its chance in root variables of its own) there is nothing to choose and the twin is that of the model. Where states are
//! ordered and causes push one way, it is the coupling without defiers, under which probabilities of necessity and sufficiency
//! are identified. Elsewhere it is an assumption, and the result as good as it.
//! Source: Balke and Pearl, "Probabilistic evaluation of counterfactual queries", AAAI 1994; Tian and Pearl, "Probabilities of
//! causation: bounds and identification", Annals of Mathematics and Artificial Intelligence 28, 2000.
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::NetworkError;
use crate::limits::TABLE_ENTRIES_MAX;
use crate::network::{Network, NetworkBuilder, VarId};

/// Both worlds in one network.
#[derive(Debug, Clone)]
pub struct Twin {
    network: Network,
    other: Vec<VarId>,
}

impl Twin {
    /// The network of both worlds: here every variable keeps its id, so that evidence on what happened is put in as ever.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The variable as it would have been; itself where the setting cannot reach it. Panics when the id is not of the network
    /// that the twin was made of.
    pub fn other(&self, variable: VarId) -> VarId {
        self.other[variable.index()]
    }
}

impl Network {
    /// The twin network for the question what would have been, had variables been set (Pearl's `do`).
    ///
    /// Fails on an unknown variable or state, and with [`NetworkError::TooLarge`] when the table that couples the two copies of
    /// a variable passes [`TABLE_ENTRIES_MAX`]; the last setting of a variable counts.
    pub fn twin(&self, settings: &[(VarId, usize)]) -> Result<Twin, NetworkError> {
        self.check_settings(settings)?;
        let mut builder = self.to_builder()?;
        let mut set: Vec<Option<usize>> = vec![None; self.len()];
        settings.iter().for_each(|&(variable, state)| set[variable.index()] = Some(state));
        let order = self.parents_first();
        let mut other: Vec<VarId> = self.variables().collect();
        for &v in &order {
            if set[v.index()].is_some() || self.parents(v).iter().any(|&parent| other[parent.index()] != parent) {
                let states: Vec<&str> = self.states(v).iter().map(String::as_str).collect();
                other[v.index()] = builder.variable_named(&free_name(&builder, self.name(v)), &states)?;
            }
        }
        for v in self.variables().filter(|v| other[v.index()] != *v) {
            let copy = other[v.index()];
            if let Some(state) = set[v.index()] {
                let mut table = vec![0.0; self.states(v).len()];
                table[state] = 1.0;
                builder.cpt(copy, &[], &table)?;
            } else {
                let (parents, table) = self.coupled(v, &other)?;
                builder.cpt(copy, &parents, &table)?;
            }
        }
        Ok(Twin { network: builder.build()?, other })
    }

    /// The table of a variable's second copy: parents are the first copy, the parents here, and those parents there that differ.
    fn coupled(&self, v: VarId, other: &[VarId]) -> Result<(Vec<VarId>, Vec<f64>), NetworkError> {
        let count = self.states(v).len();
        let here = self.parents(v);
        let differing: Vec<usize> = (0..here.len()).filter(|&at| other[here[at].index()] != here[at]).collect();
        let mut parents = vec![v];
        parents.extend(here);
        parents.extend(differing.iter().map(|&at| other[here[at].index()]));
        let cards = |at: usize| self.states(here[at]).len();
        let rows = self.table(v).len() / count;
        let ways: u64 = differing.iter().fold(1, |ways, &at| ways.saturating_mul(cards(at) as u64));
        let found = ways.saturating_mul(rows as u64).saturating_mul((count * count) as u64);
        if found > TABLE_ENTRIES_MAX as u64 {
            return Err(NetworkError::TooLarge {
                what: "entries of one table",
                found,
                bound: TABLE_ENTRIES_MAX as u64,
            });
        }
        // How far a parent's state moves the row.
        let stride = |at: usize| (at + 1..here.len()).map(cards).product::<usize>();
        let cumulative: Vec<Vec<f64>> = self.table(v).chunks_exact(count).map(cumulative).collect();
        let mut table = Vec::with_capacity(found as usize);
        for state in 0..count {
            for row in 0..rows {
                for way in 0..ways as usize {
                    let (mut there, mut rest) = (row, way);
                    for &at in differing.iter().rev() {
                        there -= row / stride(at) % cards(at) * stride(at);
                        there += rest % cards(at) * stride(at);
                        rest /= cards(at);
                    }
                    table.extend(overlap(&cumulative[row], state, &cumulative[there], row == there));
                }
            }
        }
        Ok((parents, table))
    }

    /// All variables, each after its parents.
    fn parents_first(&self) -> Vec<VarId> {
        let (mut order, mut done) = (Vec::with_capacity(self.len()), vec![false; self.len()]);
        let mut stack: Vec<(VarId, bool)> = self.variables().map(|v| (v, false)).collect();
        while let Some((v, parents_done)) = stack.pop() {
            if done[v.index()] {
                continue;
            }
            if parents_done {
                done[v.index()] = true;
                order.push(v);
            } else {
                stack.push((v, true));
                stack.extend(self.parents(v).iter().map(|&parent| (parent, false)));
            }
        }
        order
    }
}

/// The name with as many primes as make it new.
fn free_name(builder: &NetworkBuilder, name: &str) -> String {
    let mut name = format!("{name}'");
    while builder.var(&name).is_ok() {
        name.push('\'');
    }
    name
}

/// Where each state's interval ends. What follows the last possible state begins at 1, however the sums are rounded.
fn cumulative(row: &[f64]) -> Vec<f64> {
    let last = row.iter().rposition(|&p| p > 0.0).expect("a row sums to 1");
    let mut sum = 0.0;
    let ends = row.iter().enumerate().map(|(state, p)| {
        sum += p;
        if state >= last || sum > 1.0 { 1.0 } else { sum }
    });
    ends.collect()
}

/// The distribution there of a variable that came out as `state` here.
fn overlap(here: &[f64], state: usize, there: &[f64], same: bool) -> Vec<f64> {
    let begin = |ends: &[f64], state: usize| if state == 0 { 0.0 } else { ends[state - 1] };
    let (from, to) = (begin(here, state), here[state]);
    let common = |other: usize| {
        let (begin, end) = (begin(there, other), there[other]);
        let from = if begin > from { begin } else { from };
        let to = if end < to { end } else { to };
        if to > from { to - from } else { 0.0 }
    };
    let mut row: Vec<f64> = (0..there.len()).map(common).collect();
    let sum: f64 = row.iter().sum();
    if same || sum == 0.0 {
        // The same chance in the same situation comes out the same. An interval too short for f64, or of a state that cannot
        // occur, lies where it begins.
        let at = if same { state } else { there.iter().position(|&end| end > from).unwrap_or(there.len() - 1) };
        row.fill(0.0);
        row[at] = 1.0;
        return row;
    }
    row.iter_mut().for_each(|value| *value /= sum);
    row
}
