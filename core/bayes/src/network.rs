//! A discrete Bayesian network: variables, states and conditional probability tables, valid once built.
//!
//! Tables are row-major: one row per combination of parent states, the last parent fastest, and within a row one number
//! per state of the child. A row that misses 1 by rounding (at most [`ROW_TOLERANCE`]) is divided by its sum.
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::error::NetworkError;
use crate::limits::{ROW_TOLERANCE, STATES_MAX, TABLE_ENTRIES_MAX, VARIABLES_MAX};

/// A variable of one network: its place in the order of declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId(pub(crate) u32);

impl VarId {
    /// The variable at a place from 0, where ids come from elsewhere. Whether a network has it shows when it is used.
    ///
    /// Panics past `u32`.
    pub fn new(index: usize) -> VarId {
        VarId(u32::try_from(index).expect("a network has at most 2^20 variables"))
    }

    /// The place from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// `P(child | parents)`, valid and with rows that sum to one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cpt {
    pub(crate) parents: Vec<VarId>,
    pub(crate) table: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Variable {
    name: String,
    states: Vec<String>,
}

/// Collects variables and tables in any order that names a variable before it is used; [`NetworkBuilder::build`] checks the whole.
///
/// Drop a builder whose call failed: a noisy-OR may have added part of its chain.
#[derive(Debug, Clone, Default)]
pub struct NetworkBuilder {
    variables: Vec<Variable>,
    by_name: BTreeMap<String, VarId>,
    cpts: Vec<Option<Cpt>>,
}

impl NetworkBuilder {
    /// Declares a variable whose states are named `0`, `1`, ... `states - 1`.
    ///
    /// Fails when the name is taken, or with no states or over [`STATES_MAX`].
    pub fn variable(&mut self, name: &str, states: usize) -> Result<VarId, NetworkError> {
        within("states of one variable", states as u64, STATES_MAX as u64)?;
        self.declare(name, (0..states).map(|state| state.to_string()).collect())
    }

    /// Declares a variable with named states.
    ///
    /// Fails when the name is taken, a state is named twice, or with no states or over [`STATES_MAX`].
    pub fn variable_named(&mut self, name: &str, states: &[&str]) -> Result<VarId, NetworkError> {
        within("states of one variable", states.len() as u64, STATES_MAX as u64)?;
        self.declare(name, states.iter().map(|&state| state.to_owned()).collect())
    }

    /// Gives `child` its table.
    ///
    /// - `table`: `states(parents[0]) * ... * states(child)` probabilities, row-major, the child's state fastest.
    ///
    /// Fails on unknown ids, a repeated parent, a second table, a wrong size, a number that is no probability and a row
    /// that does not sum to one.
    pub fn cpt(&mut self, child: VarId, parents: &[VarId], table: &[f64]) -> Result<(), NetworkError> {
        let found = self.variables.get(child.index()).ok_or_else(|| unknown(child))?;
        let variable = || found.name.clone();
        if self.cpts[child.index()].is_some() {
            return Err(NetworkError::DuplicateTable { variable: variable() });
        }
        let mut seen = vec![child];
        let mut rows: u64 = 1;
        for &parent in parents {
            let name = self.name(parent)?;
            if seen.contains(&parent) {
                return Err(NetworkError::BadParent { variable: variable(), parent: name.to_owned() });
            }
            seen.push(parent);
            rows = rows.saturating_mul(self.states(parent)? as u64);
        }
        let states = found.states.len();
        let expected = rows.saturating_mul(states as u64);
        within("entries of one table", expected, TABLE_ENTRIES_MAX as u64)?;
        if table.len() as u64 != expected {
            let (found, expected) = (table.len(), expected as usize);
            return Err(NetworkError::WrongSize { variable: variable(), found, expected });
        }
        let mut normal = Vec::with_capacity(table.len());
        for (row, values) in table.chunks_exact(states).enumerate() {
            if let Some(&value) = values.iter().find(|value| !(value.is_finite() && **value >= 0.0)) {
                let given = self.row_name(parents, row);
                return Err(NetworkError::BadProbability { variable: variable(), row, given, value });
            }
            let sum: f64 = values.iter().sum();
            if !(sum - 1.0).abs().le(&ROW_TOLERANCE) {
                let given = self.row_name(parents, row);
                let variable = variable();
                return Err(NetworkError::RowSum { variable, row, given, sum, tolerance: ROW_TOLERANCE });
            }
            normal.extend(values.iter().map(|value| value / sum));
        }
        self.cpts[child.index()] = Some(Cpt { parents: parents.to_vec(), table: normal });
        Ok(())
    }

    /// The id of the variable named `name`.
    pub fn var(&self, name: &str) -> Result<VarId, NetworkError> {
        find(&self.by_name, name)
    }

    /// States of a declared variable.
    pub fn states(&self, variable: VarId) -> Result<usize, NetworkError> {
        let found = self.variables.get(variable.index()).ok_or_else(|| unknown(variable))?;
        Ok(found.states.len())
    }

    /// Checks that every variable has its table and that the arcs form no cycle.
    pub fn build(self) -> Result<Network, NetworkError> {
        let mut cpts = Vec::with_capacity(self.cpts.len());
        for (variable, cpt) in self.variables.iter().zip(self.cpts) {
            cpts.push(cpt.ok_or_else(|| NetworkError::MissingTable { variable: variable.name.clone() })?);
        }
        let network = Network { variables: self.variables, by_name: self.by_name, cpts };
        network.check_acyclic()?;
        Ok(network)
    }

    pub(crate) fn name(&self, variable: VarId) -> Result<&str, NetworkError> {
        self.variables.get(variable.index()).map(|found| found.name.as_str()).ok_or_else(|| unknown(variable))
    }

    pub(crate) fn state_names(&self, variable: VarId) -> &[String] {
        &self.variables[variable.index()].states
    }

    fn declare(&mut self, name: &str, states: Vec<String>) -> Result<VarId, NetworkError> {
        within("variables", self.variables.len() as u64 + 1, VARIABLES_MAX as u64)?;
        if states.is_empty() {
            return Err(NetworkError::NoStates { variable: name.to_owned() });
        }
        let mut sorted: Vec<&String> = states.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(NetworkError::DuplicateState { variable: name.to_owned(), state: pair[0].clone() });
        }
        let id = VarId(self.variables.len() as u32);
        if self.by_name.contains_key(name) {
            return Err(NetworkError::DuplicateVariable { name: name.to_owned() });
        }
        self.by_name.insert(name.to_owned(), id);
        self.variables.push(Variable { name: name.to_owned(), states });
        self.cpts.push(None);
        Ok(id)
    }

    /// `parent=state, ...` of a table row, for messages.
    fn row_name(&self, parents: &[VarId], row: usize) -> String {
        let mut rest = row;
        let mut parts = Vec::with_capacity(parents.len());
        for parent in parents.iter().rev() {
            let variable = &self.variables[parent.index()];
            let count = variable.states.len();
            parts.push(format!("{}={}", variable.name, variable.states[rest % count]));
            rest /= count;
        }
        parts.reverse();
        parts.join(", ")
    }
}

/// A valid network: acyclic, every variable with a table whose rows sum to one. Ids are dense from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    variables: Vec<Variable>,
    by_name: BTreeMap<String, VarId>,
    pub(crate) cpts: Vec<Cpt>,
}

impl Network {
    /// An empty builder.
    pub fn builder() -> NetworkBuilder {
        NetworkBuilder::default()
    }

    /// Number of variables.
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// Whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// All variables, in the order of declaration.
    pub fn variables(&self) -> impl ExactSizeIterator<Item = VarId> {
        (0..self.variables.len() as u32).map(VarId)
    }

    /// The id of the variable named `name`.
    pub fn var(&self, name: &str) -> Result<VarId, NetworkError> {
        find(&self.by_name, name)
    }

    /// The index of a state by name.
    pub fn state(&self, variable: VarId, state: &str) -> Result<usize, NetworkError> {
        let found = self.variables.get(variable.index()).ok_or_else(|| unknown(variable))?;
        found
            .states
            .iter()
            .position(|name| name == state)
            .ok_or_else(|| NetworkError::UnknownState { variable: found.name.clone(), state: state.to_owned() })
    }

    /// The name of a variable. Panics when the id is not of this network.
    pub fn name(&self, variable: VarId) -> &str {
        &self.variables[variable.index()].name
    }

    /// The names of a variable's states, in index order. Panics when the id is not of this network.
    pub fn states(&self, variable: VarId) -> &[String] {
        &self.variables[variable.index()].states
    }

    /// The parents of a variable, in table order. Panics when the id is not of this network.
    pub fn parents(&self, variable: VarId) -> &[VarId] {
        &self.cpts[variable.index()].parents
    }

    /// `P(variable | parents)`, row-major, the variable's state fastest. Panics when the id is not of this network.
    pub fn table(&self, variable: VarId) -> &[f64] {
        &self.cpts[variable.index()].table
    }

    /// The network after setting variables from outside, Pearl's `do(variable = state)`: their arcs from parents are cut
    /// and they are clamped. Unlike evidence, this says nothing about their causes. Ids stay as they are.
    ///
    /// Fails on an unknown variable or state; the last setting of a variable counts.
    /// Source: Pearl, "Causality", 2nd edition, section 3.2.
    pub fn intervene(&self, settings: &[(VarId, usize)]) -> Result<Network, NetworkError> {
        self.check_settings(settings)?;
        let mut changed = self.clone();
        for &(variable, state) in settings {
            let mut table = vec![0.0; self.variables[variable.index()].states.len()];
            table[state] = 1.0;
            changed.cpts[variable.index()] = Cpt { parents: Vec::new(), table };
        }
        Ok(changed)
    }

    /// Whether variables and states exist.
    pub(crate) fn check_settings(&self, settings: &[(VarId, usize)]) -> Result<(), NetworkError> {
        for &(variable, state) in settings {
            let found = self.variables.get(variable.index()).ok_or_else(|| unknown(variable))?;
            if state >= found.states.len() {
                let (variable, state) = (found.name.clone(), format!("#{state}"));
                return Err(NetworkError::UnknownState { variable, state });
            }
        }
        Ok(())
    }

    /// A builder with the same variables and tables.
    pub(crate) fn to_builder(&self) -> Result<NetworkBuilder, NetworkError> {
        let (variables, by_name) = (self.variables.clone(), self.by_name.clone());
        let mut builder = NetworkBuilder { cpts: vec![None; variables.len()], variables, by_name };
        for v in self.variables() {
            builder.cpt(v, self.parents(v), self.table(v))?;
        }
        Ok(builder)
    }

    /// `ln P(x)` of one full assignment, a state index per variable; negative infinity when impossible.
    ///
    /// Panics unless `states` has one valid index per variable.
    pub fn log_joint(&self, states: &[usize]) -> f64 {
        assert_eq!(states.len(), self.len(), "one state per variable");
        let mut sum = 0.0;
        for (variable, cpt) in self.cpts.iter().enumerate() {
            let mut row = 0;
            for parent in &cpt.parents {
                row = row * self.variables[parent.index()].states.len() + states[parent.index()];
            }
            let count = self.variables[variable].states.len();
            assert!(states[variable] < count, "a state of the variable");
            sum += libm::log(cpt.table[row * count + states[variable]]);
        }
        sum
    }

    pub(crate) fn cards(&self) -> Vec<u32> {
        self.variables.iter().map(|variable| variable.states.len() as u32).collect()
    }

    /// Removes variables without remaining parents until none is left; what cannot be removed holds a cycle.
    fn check_acyclic(&self) -> Result<(), NetworkError> {
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); self.len()];
        let mut waiting: Vec<usize> = Vec::with_capacity(self.len());
        for (child, cpt) in self.cpts.iter().enumerate() {
            waiting.push(cpt.parents.len());
            for parent in &cpt.parents {
                children[parent.index()].push(child as u32);
            }
        }
        let mut ready: Vec<u32> = (0..self.len() as u32).filter(|&v| waiting[v as usize] == 0).collect();
        let mut removed = 0;
        while let Some(parent) = ready.pop() {
            removed += 1;
            for &child in &children[parent as usize] {
                waiting[child as usize] -= 1;
                if waiting[child as usize] == 0 {
                    ready.push(child);
                }
            }
        }
        if removed == self.len() {
            return Ok(());
        }
        // Each variable left has a parent left, so walking to such parents must come back to where it has been.
        let stuck = |v: VarId| waiting[v.index()] > 0;
        let start = waiting.iter().position(|&count| count > 0).expect("a variable is left");
        let mut path = vec![VarId(start as u32)];
        let mut place: Vec<Option<usize>> = vec![None; self.len()];
        loop {
            let last = path[path.len() - 1];
            if let Some(first) = place[last.index()] {
                let mut cycle: Vec<String> = path[first + 1..].iter().map(|&v| self.name(v).to_owned()).collect();
                cycle.reverse();
                return Err(NetworkError::Cyclic { cycle });
            }
            place[last.index()] = Some(path.len() - 1);
            let parents = &self.cpts[last.index()].parents;
            path.push(*parents.iter().find(|&&parent| stuck(parent)).expect("a parent is left too"));
        }
    }
}

fn within(what: &'static str, found: u64, bound: u64) -> Result<(), NetworkError> {
    if found > bound { Err(NetworkError::TooLarge { what, found, bound }) } else { Ok(()) }
}

fn find(by_name: &BTreeMap<String, VarId>, name: &str) -> Result<VarId, NetworkError> {
    by_name.get(name).copied().ok_or_else(|| NetworkError::UnknownVariable { name: name.to_owned() })
}

fn unknown(variable: VarId) -> NetworkError {
    NetworkError::UnknownVariable { name: format!("#{}", variable.0) }
}
