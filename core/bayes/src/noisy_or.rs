//! Noisy-OR tables by parent divorcing: a chain of small ORs instead of one table that doubles with every cause.
//!
//! A cause in state `s` turns the child on by itself with probability `strengths[s]`, independently of the others; the leak
//! turns it on without any cause: `P(off | causes) = (1 - leak) * product of (1 - strength)`. With `n` causes the full
//! table has `2^n` rows. The chain `acc' = acc OR (cause fires)` says the same with `n - 2` more binary variables and
//! tables of three variables, so that the junction tree stays narrow.
//! Source: Olesen et al., "A MUNIN network for the median nerve", Applied Artificial Intelligence 3, 1989 (divorcing);
//! Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988, section 4.3.2 (noisy-OR).
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::NetworkError;
use crate::limits::TABLE_ENTRIES_MAX;
use crate::network::{NetworkBuilder, VarId};

/// One cause of a noisy-OR child.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// The parent.
    pub parent: VarId,
    /// Per state of the parent: the probability that it alone turns the child on.
    pub strengths: Vec<f64>,
}

impl Cause {
    /// A cause with two states, off and on, that acts with probability `strength` when on.
    pub fn binary(parent: VarId, strength: f64) -> Cause {
        Cause { parent, strengths: vec![0.0, strength] }
    }
}

impl NetworkBuilder {
    /// Gives `child` (two states: off, on) a noisy-OR table, divorced into a chain.
    ///
    /// - `leak`: probability of being on without any cause, from 0 to 1.
    /// - Returns the variables added, named `<child>|<number>`, in chain order; `max(0, causes - 2)` of them.
    ///
    /// Fails as [`NetworkBuilder::cpt`] does, and when the child does not have two states.
    pub fn noisy_or(&mut self, child: VarId, leak: f64, causes: &[Cause]) -> Result<Vec<VarId>, NetworkError> {
        self.check_noisy_or(child, causes)?;
        let name = alloc::string::String::from(self.name(child)?);
        // The first link takes two causes and the leak, so that it is as wide as the others and not wider.
        let (head, tail) = causes.split_at(causes.len().min(2));
        let mut added = Vec::with_capacity(tail.len());
        let mut link = Link { accumulated: None, leak, causes: head };
        for (number, cause) in tail.iter().enumerate() {
            let accumulator = self.variable(&format!("{name}|{number}"), 2)?;
            self.link(accumulator, &link)?;
            added.push(accumulator);
            link = Link { accumulated: Some(accumulator), leak: 0.0, causes: core::slice::from_ref(cause) };
        }
        self.link(child, &link)?;
        Ok(added)
    }

    /// Gives `child` the same distribution as [`NetworkBuilder::noisy_or`] in one table of `2 * product of cause states` entries.
    ///
    /// Fails as [`NetworkBuilder::cpt`] does, and when the child does not have two states.
    pub fn noisy_or_full(&mut self, child: VarId, leak: f64, causes: &[Cause]) -> Result<(), NetworkError> {
        self.check_noisy_or(child, causes)?;
        self.link(child, &Link { accumulated: None, leak, causes })
    }

    fn check_noisy_or(&self, child: VarId, causes: &[Cause]) -> Result<(), NetworkError> {
        let states = self.states(child)?;
        if states != 2 {
            return Err(NetworkError::NotBinary { variable: self.name(child)?.into(), states });
        }
        for cause in causes {
            let expected = self.states(cause.parent)?;
            let found = cause.strengths.len();
            if found != expected {
                return Err(NetworkError::WrongSize { variable: self.name(child)?.into(), found, expected });
            }
        }
        // The chain would hide a repeated cause: each of its tables alone looks right.
        let mut parents: Vec<VarId> = causes.iter().map(|cause| cause.parent).collect();
        parents.sort();
        let twice = parents.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        if let Some(parent) = twice.or(parents.iter().copied().find(|&parent| parent == child)) {
            let parent = self.name(parent)?.into();
            return Err(NetworkError::BadParent { variable: self.name(child)?.into(), parent });
        }
        Ok(())
    }

    fn link(&mut self, child: VarId, link: &Link) -> Result<(), NetworkError> {
        let mut parents: Vec<VarId> = link.accumulated.into_iter().collect();
        parents.extend(link.causes.iter().map(|cause| cause.parent));
        let mut rows: u64 = 1;
        for &parent in &parents {
            rows = rows.saturating_mul(self.states(parent)? as u64);
        }
        let (found, bound) = (rows.saturating_mul(2), TABLE_ENTRIES_MAX as u64);
        if found > bound {
            return Err(NetworkError::TooLarge { what: "entries of one table", found, bound });
        }
        // P(off) per row, built by adding one parent at a time as the fastest digit.
        let mut off = vec![1.0 - link.leak];
        if link.accumulated.is_some() {
            off = vec![off[0], 0.0];
        }
        for cause in link.causes {
            off = off.iter().flat_map(|so_far| cause.strengths.iter().map(move |w| so_far * (1.0 - w))).collect();
        }
        let table: Vec<f64> = off.iter().flat_map(|&off| [off, 1.0 - off]).collect();
        self.cpt(child, &parents, &table)
    }
}

/// One OR of the chain: the OR so far, if any, and the causes that it adds.
struct Link<'a> {
    accumulated: Option<VarId>,
    leak: f64,
    causes: &'a [Cause],
}
