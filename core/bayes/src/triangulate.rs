//! The order in which variables are eliminated: greedy minimum fill on the moral graph, with written ties.
//!
//! Next comes the variable whose elimination adds the fewest edges; ties go to the smaller table over it and its neighbours,
//! then to the lower id. Fill counts are kept up to date, not recomputed.
//! Source: Kjaerulff, "Triangulation of graphs: algorithms giving small total state space", 1990.
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use crate::error::InferenceError;

/// One eliminated variable and its neighbours at that moment, ascending.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Elimination {
    pub(crate) variable: u32,
    pub(crate) neighbours: Vec<u32>,
}

/// Eliminates every variable of `alive`.
///
/// - `cards`: states per variable. `scopes`: variables that share a table and must meet in one clique.
///
/// Fails with [`InferenceError::TooLarge`] as soon as one clique passes `bound` entries.
pub(crate) fn eliminate(
    cards: &[u32],
    alive: &[bool],
    scopes: &[&[u32]],
    bound: u64,
) -> Result<Vec<Elimination>, InferenceError> {
    let mut graph = Graph::moral(cards, alive, scopes);
    let mut order = Vec::with_capacity(cards.len());
    while let Some((_, entries, variable)) = graph.queue.pop_first() {
        if entries > bound {
            return Err(InferenceError::TooLarge { entries, bound });
        }
        order.push(Elimination { variable, neighbours: graph.remove(variable) });
    }
    Ok(order)
}

struct Graph<'a> {
    cards: &'a [u32],
    /// Neighbours that are still there, ascending.
    adjacent: Vec<Vec<u32>>,
    /// Missing edges among the neighbours.
    fill: Vec<u64>,
    /// Table entries of the variable and its neighbours, as last put into the queue.
    entries: Vec<u64>,
    queue: BTreeSet<(u64, u64, u32)>,
}

impl Graph<'_> {
    fn moral<'a>(cards: &'a [u32], alive: &[bool], scopes: &[&[u32]]) -> Graph<'a> {
        let mut adjacent: Vec<Vec<u32>> = vec![Vec::new(); cards.len()];
        for scope in scopes {
            for &a in *scope {
                adjacent[a as usize].extend(scope.iter().filter(|&&b| b != a));
            }
        }
        for neighbours in &mut adjacent {
            neighbours.sort();
            neighbours.dedup();
        }
        let mut graph = Graph {
            cards,
            adjacent,
            fill: vec![0; cards.len()],
            entries: vec![0; cards.len()],
            queue: BTreeSet::new(),
        };
        let mut marked = vec![u32::MAX; cards.len()];
        for v in (0..cards.len() as u32).filter(|&v| alive[v as usize]) {
            let neighbours = &graph.adjacent[v as usize];
            for &n in neighbours {
                marked[n as usize] = v;
            }
            let twice: usize = neighbours
                .iter()
                .map(|&n| graph.adjacent[n as usize].iter().filter(|&&m| marked[m as usize] == v).count())
                .sum();
            let pairs = neighbours.len() as u64 * (neighbours.len() as u64).saturating_sub(1) / 2;
            graph.fill[v as usize] = pairs - twice as u64 / 2;
            graph.entries[v as usize] = graph.count_entries(v);
            graph.queue.insert((graph.fill[v as usize], graph.entries[v as usize], v));
        }
        graph
    }

    /// Takes `v` out of the graph, joins its neighbours and returns them.
    fn remove(&mut self, v: u32) -> Vec<u32> {
        let neighbours = core::mem::take(&mut self.adjacent[v as usize]);
        let mut touched = neighbours.clone();
        let before: Vec<u64> = neighbours.iter().map(|&n| self.fill[n as usize]).collect();
        let mut changed: Vec<(u32, u64)> = neighbours.iter().copied().zip(before).collect();
        for (i, &a) in neighbours.iter().enumerate() {
            for &b in &neighbours[i + 1..] {
                if self.adjacent[a as usize].binary_search(&b).is_err() {
                    self.join(a, b, v, &mut changed, &mut touched);
                }
            }
        }
        for &n in &neighbours {
            // All other neighbours of v are now neighbours of n; v missed an edge to each of the rest.
            let rest = self.adjacent[n as usize].len() - neighbours.len();
            self.fill[n as usize] -= rest as u64;
            let at = self.adjacent[n as usize].binary_search(&v).expect("edges run both ways");
            self.adjacent[n as usize].remove(at);
        }
        for (n, fill) in changed {
            self.queue.remove(&(fill, self.entries[n as usize], n));
            self.entries[n as usize] = self.count_entries(n);
            self.queue.insert((self.fill[n as usize], self.entries[n as usize], n));
        }
        neighbours
    }

    /// Adds the edge between `a` and `b`, both neighbours of `removing`. Whoever's fill changes for the first time is noted
    /// in `changed` with the fill that the queue knows.
    fn join(&mut self, a: u32, b: u32, removing: u32, changed: &mut Vec<(u32, u64)>, touched: &mut Vec<u32>) {
        let (mut i, mut j) = (0, 0);
        let (of_a, of_b) = (&self.adjacent[a as usize], &self.adjacent[b as usize]);
        let mut common = 0;
        while i < of_a.len() && j < of_b.len() {
            let (x, y) = (of_a[i], of_b[j]);
            if x == y {
                common += 1;
                if x != removing {
                    if let Err(at) = touched.binary_search(&x) {
                        touched.insert(at, x);
                        changed.push((x, self.fill[x as usize]));
                    }
                    self.fill[x as usize] -= 1;
                }
            }
            i += usize::from(x <= y);
            j += usize::from(y <= x);
        }
        self.fill[a as usize] += (of_a.len() - common) as u64;
        self.fill[b as usize] += (of_b.len() - common) as u64;
        for (from, to) in [(a, b), (b, a)] {
            let list = &mut self.adjacent[from as usize];
            let at = list.binary_search(&to).expect_err("the edge is new");
            list.insert(at, to);
        }
    }

    fn count_entries(&self, v: u32) -> u64 {
        let mut entries = u64::from(self.cards[v as usize]);
        for &n in &self.adjacent[v as usize] {
            entries = entries.saturating_mul(u64::from(self.cards[n as usize]));
            if entries == u64::MAX {
                break;
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The incremental counts against counting afresh after every step, on a graph that needs much fill.
    #[test]
    fn fill_counts_stay_right() {
        let cards = vec![2u32; 25];
        // A 5 x 5 grid.
        let pairs: Vec<[u32; 2]> = (0..25u32)
            .flat_map(|v| {
                let right = (v % 5 < 4).then_some([v, v + 1]);
                let down = (v < 20).then_some([v, v + 5]);
                right.into_iter().chain(down)
            })
            .collect();
        let scopes: Vec<&[u32]> = pairs.iter().map(|pair| &pair[..]).collect();
        let mut graph = Graph::moral(&cards, &[true; 25], &scopes);
        let mut left: Vec<u32> = (0..25).collect();
        while let Some((fill, entries, variable)) = graph.queue.pop_first() {
            for &v in &left {
                let neighbours = &graph.adjacent[v as usize];
                let missing = neighbours
                    .iter()
                    .enumerate()
                    .flat_map(|(i, a)| neighbours[i + 1..].iter().map(move |b| (a, b)))
                    .filter(|(a, b)| !graph.adjacent[**a as usize].contains(b))
                    .count();
                assert_eq!(graph.fill[v as usize], missing as u64);
                assert!((missing as u64, graph.count_entries(v), v) >= (fill, entries, variable));
            }
            left.retain(|&v| v != variable);
            graph.remove(variable);
        }
        assert!(left.is_empty());
    }
}
