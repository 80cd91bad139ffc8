//! From an elimination order to a forest of maximal cliques.
//!
//! Eliminating a variable makes a clique of it and its neighbours; the clique hangs below that of its first eliminated
//! neighbour. A clique that lies within one of its children is absorbed by it, which leaves maximal cliques only.
//!
//! Within a clique, variables stand in reverse order of elimination: first those shared with the parent (the separator),
//! then those that are met nowhere higher (the residual). Parent and child thus agree on the order of what they share, a sum
//! over the residual is a sum over neighbours in memory, and every variable is residual in exactly one clique.
//! Source: Cowell et al., "Probabilistic Networks and Expert Systems", 1999, sections 4.3 and 4.4.
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::error::InferenceError;
use crate::triangulate::Elimination;

/// No parent.
pub(crate) const ROOT: u32 = u32::MAX;

/// One clique; tables over it are row-major in the order of its scope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clique {
    /// Always of lower index, or [`ROOT`].
    pub(crate) parent: u32,
    /// Its variables in [`Forest::scopes`].
    pub(crate) scope: Range<u32>,
    /// How many of them, from the first on, are shared with the parent.
    pub(crate) shared: u32,
    /// Entries of the separator's table; 1 for a root.
    pub(crate) rows: u32,
    /// Entries per row: combinations of the residual's states.
    pub(crate) columns: u32,
    /// First entry of its table in the arena of all tables.
    pub(crate) start: u32,
}

impl Clique {
    pub(crate) fn size(&self) -> usize {
        self.rows as usize * self.columns as usize
    }

    pub(crate) fn entries(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.size()
    }
}

/// All cliques, parents before children.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forest {
    pub(crate) cliques: Vec<Clique>,
    pub(crate) scopes: Vec<u32>,
    /// Per variable: the clique in which it is residual; [`ROOT`] for a variable that was not eliminated.
    pub(crate) home: Vec<u32>,
    /// Entries of all tables together.
    pub(crate) entries: u64,
}

impl Forest {
    /// Fails with [`InferenceError::TooLarge`] when all tables together pass `bound` entries.
    pub(crate) fn new(cards: &[u32], order: &[Elimination], bound: u64) -> Result<Forest, InferenceError> {
        let mut position = vec![u32::MAX; cards.len()];
        for (at, step) in order.iter().enumerate() {
            position[step.variable as usize] = at as u32;
        }
        let above = |step: usize| order[step].neighbours.iter().map(|&n| position[n as usize] as usize).min();

        // `bottom[s]`: the step whose clique contains that of step s and all of its chain; `top`: where a chain ends.
        let mut bottom: Vec<usize> = (0..order.len()).collect();
        let mut top: Vec<usize> = (0..order.len()).collect();
        for step in 0..order.len() {
            if let Some(parent) = above(step) {
                let within = order[step].neighbours.len() == order[parent].neighbours.len() + 1;
                if within && bottom[parent] == parent {
                    bottom[parent] = bottom[step];
                    top[bottom[step]] = parent;
                }
            }
        }
        let mut chains: Vec<usize> = (0..order.len()).filter(|&step| bottom[step] == step).collect();
        // A parent's chain always ends later than its child's.
        chains.sort_by_key(|&chain| core::cmp::Reverse(top[chain]));
        let mut index = vec![ROOT; order.len()];
        for (at, &chain) in chains.iter().enumerate() {
            index[chain] = at as u32;
        }

        let mut forest = Forest { cliques: Vec::new(), scopes: Vec::new(), home: vec![ROOT; cards.len()], entries: 0 };
        for (at, &chain) in chains.iter().enumerate() {
            let start = forest.scopes.len();
            forest.scopes.push(order[chain].variable);
            forest.scopes.extend(&order[chain].neighbours);
            forest.scopes[start..].sort_by_key(|&v| core::cmp::Reverse(position[v as usize]));
            let shared = order[top[chain]].neighbours.len();
            let (separator, residual) = forest.scopes[start..].split_at(shared);
            for &v in residual {
                forest.home[v as usize] = at as u32;
            }
            let product = |variables: &[u32]| {
                variables.iter().fold(1u64, |entries, &v| entries.saturating_mul(u64::from(cards[v as usize])))
            };
            let (rows, columns) = (product(separator), product(residual));
            let first = forest.entries;
            forest.entries = forest.entries.saturating_add(rows.saturating_mul(columns));
            if forest.entries > bound {
                return Err(InferenceError::TooLarge { entries: forest.entries, bound });
            }
            forest.cliques.push(Clique {
                parent: above(top[chain]).map_or(ROOT, |step| index[bottom[step]]),
                scope: start as u32..forest.scopes.len() as u32,
                shared: shared as u32,
                rows: rows as u32,
                columns: columns as u32,
                start: first as u32,
            });
        }
        Ok(forest)
    }

    pub(crate) fn scope(&self, clique: &Clique) -> &[u32] {
        &self.scopes[clique.scope.start as usize..clique.scope.end as usize]
    }

    pub(crate) fn separator(&self, clique: &Clique) -> &[u32] {
        &self.scope(clique)[..clique.shared as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::triangulate::eliminate;

    /// The properties that make a forest of cliques a junction forest, on a grid (much fill) and a star (none).
    #[test]
    fn is_a_junction_forest() {
        let grid: Vec<[u32; 2]> = (0..36u32)
            .flat_map(|v| {
                let right = (v % 6 < 5).then_some([v, v + 1]);
                let down = (v < 30).then_some([v, v + 6]);
                right.into_iter().chain(down)
            })
            .collect();
        let star: Vec<[u32; 2]> = (1..36u32).map(|v| [0, v]).collect();
        let apart: Vec<[u32; 2]> = (0..18u32).map(|v| [2 * v, 2 * v + 1]).collect();
        for pairs in [grid, star, apart] {
            check(&pairs, 36);
        }
    }

    fn check(pairs: &[[u32; 2]], count: usize) {
        let cards = vec![2u32; count];
        let scopes: Vec<&[u32]> = pairs.iter().map(|pair| &pair[..]).collect();
        let order = eliminate(&cards, &vec![true; count], &scopes, 1 << 20).expect("small");
        let forest = Forest::new(&cards, &order, 1 << 20).expect("small");
        for (at, clique) in forest.cliques.iter().enumerate() {
            let scope = forest.scope(clique);
            assert!(clique.parent == ROOT || (clique.parent as usize) < at, "parents come first");
            for (other, outer) in forest.cliques.iter().enumerate() {
                let outer = forest.scope(outer);
                assert!(other == at || !scope.iter().all(|v| outer.contains(v)), "cliques are maximal");
            }
            if clique.parent == ROOT {
                assert_eq!(clique.shared, 0);
                continue;
            }
            let parent = forest.scope(&forest.cliques[clique.parent as usize]);
            let shared: Vec<u32> = parent.iter().copied().filter(|v| scope.contains(v)).collect();
            assert_eq!(shared, forest.separator(clique), "the separator is the overlap, in one order");
        }
        for pair in pairs {
            assert!(forest.cliques.iter().any(|clique| pair.iter().all(|v| forest.scope(clique).contains(v))));
        }
        for v in 0..count as u32 {
            let homes = forest.cliques.iter().filter(|c| forest.scope(c)[c.shared as usize..].contains(&v)).count();
            assert_eq!(homes, 1, "residual in one clique: the running intersection");
        }
    }
}
