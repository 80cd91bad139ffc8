//! The order in which variables are eliminated: greedy on the moral graph by a written rule, with written ties.
//!
//! By [`Rule::Fill`], next comes the variable whose elimination adds the fewest edges; ties go to the smaller table over it and
//! its neighbours, then to the lower id. [`Rule::WeightedFill`] counts an edge as its two variables' states multiplied;
//! [`Rule::Weight`] looks at the table first. Fill counts are kept up to date, not recomputed. No rule wins everywhere, so
//! that `best` tries several where the tree is large, and orders of equals drawn from a counter.
//! Source: Kjaerulff, "Triangulation of graphs: algorithms giving small total state space", 1990; Kask et al., "Pushing the
//! power of stochastic greedy ordering schemes for inference in graphical models", AAAI 2011.
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use crate::cliques::Forest;
use crate::error::InferenceError;
use crate::limits::TREE_ENTRIES_MAX;

/// A tree of so few entries is not worth a second try: a pass over it takes less than the try.
const ENTRIES_FEW: u64 = 1 << 16;
/// Orders tried at most, and entries that pay for one more try.
const TRIES_MAX: u64 = 48;
const ENTRIES_PER_TRY: u64 = 1 << 17;
/// How many times over the bound the three rules must leave a tree before nothing more is tried.
const HOPELESS: u64 = 16;
const RULES: [Rule; 3] = [Rule::Fill, Rule::WeightedFill, Rule::Weight];

/// What an elimination is judged by, first number first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    Fill,
    WeightedFill,
    Weight,
}

/// How much is tried before a graph is given up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Search {
    /// Several orders, more where they come near the bound.
    Thorough,
    /// One, broken off where it passes twice the bound; more only where it does not.
    Swift,
}

/// One eliminated variable and its neighbours at that moment, ascending.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Elimination {
    pub(crate) variable: u32,
    pub(crate) neighbours: Vec<u32>,
}

/// The forest of fewest table entries among those tried: plain minimum fill alone where that is small, else the three rules and
/// then these with other orders of equals, the more the larger the tree is.
///
/// - `cards`: states per variable. `alive`: which to eliminate. `scopes`: variables that must meet in one clique.
///
/// Fails with [`InferenceError::TooLarge`] when every try passes `bound` entries; it names the least, at most the search's ceiling.
pub(crate) fn best(
    cards: &[u32],
    alive: &[bool],
    scopes: &[&[u32]],
    bound: u64,
    search: Search,
) -> Result<Forest, InferenceError> {
    let moral = || Graph::moral(cards, alive, scopes);
    // Most need no second try, nor a graph to keep for it.
    let mut kept = None;
    let mut best: Option<Forest> = None;
    let (ceiling, first) = match search {
        Search::Thorough => (TREE_ENTRIES_MAX, RULES.len() as u64),
        Search::Swift => (bound.saturating_mul(2).min(TREE_ENTRIES_MAX), 1),
    };
    let (mut at, mut tries) = (0, first);
    while at < tries {
        let rule = RULES[at as usize % RULES.len()];
        // Not `bound`: how many orders are tried must not hang on it, or a tree that fits exactly could be refused.
        let least = best.as_ref().map_or(ceiling, |forest| forest.entries);
        let graph = if at == 0 { moral() } else { kept.get_or_insert_with(moral).clone() };
        let order = graph.eliminate(rule, at / RULES.len() as u64, least);
        match order.and_then(|order| Forest::new(cards, &order, least)) {
            Ok(forest) if best.as_ref().is_none_or(|best| forest.entries < best.entries) => best = Some(forest),
            _ => {}
        }
        at += 1;
        if let Some(forest) = &best {
            tries = match forest.entries {
                few if few <= ENTRIES_FEW => at,
                hopeless if hopeless / HOPELESS > bound => RULES.len() as u64,
                entries => (RULES.len() as u64 + entries / ENTRIES_PER_TRY).min(TRIES_MAX),
            };
        }
    }
    match best {
        Some(forest) if forest.entries <= bound => Ok(forest),
        Some(forest) => Err(InferenceError::TooLarge { entries: forest.entries, bound }),
        None => Err(InferenceError::TooLarge { entries: ceiling, bound }),
    }
}

/// The cliques that plain minimum fill makes, without a bound: variables only, no tables.
pub(crate) fn outline(cards: &[u32], alive: &[bool], scopes: &[&[u32]]) -> Vec<Vec<u32>> {
    let order = Graph::moral(cards, alive, scopes).eliminate(Rule::Fill, 0, u64::MAX).expect("no bound");
    order
        .into_iter()
        .map(|mut step| {
            step.neighbours.push(step.variable);
            step.neighbours
        })
        .collect()
}

/// Eliminates every variable of `alive` by plain minimum fill.
///
/// Fails with [`InferenceError::TooLarge`] as soon as one clique passes `bound` entries.
#[cfg(test)]
pub(crate) fn eliminate(
    cards: &[u32],
    alive: &[bool],
    scopes: &[&[u32]],
    bound: u64,
) -> Result<Vec<Elimination>, InferenceError> {
    Graph::moral(cards, alive, scopes).eliminate(Rule::Fill, 0, bound)
}

#[derive(Debug, Clone)]
struct Graph<'a> {
    cards: &'a [u32],
    alive: &'a [bool],
    rule: Rule,
    draw: u64,
    /// Neighbours that are still there, ascending.
    adjacent: Vec<Vec<u32>>,
    /// Missing edges among the neighbours, each at its cost.
    fill: Vec<u64>,
    /// Table entries of the variable and its neighbours, as last put into the queue.
    entries: Vec<u64>,
    queue: BTreeSet<Key>,
}

/// What the rule says of a variable, what decides among equals, and the variable.
type Key = (u64, u64, u64, u32);

impl<'a> Graph<'a> {
    fn moral(cards: &'a [u32], alive: &'a [bool], scopes: &[&[u32]]) -> Graph<'a> {
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
        let (fill, entries) = (vec![0; cards.len()], vec![0; cards.len()]);
        Graph { cards, alive, rule: Rule::Fill, draw: 0, adjacent, fill, entries, queue: BTreeSet::new() }
    }

    /// - `draw`: 0 for ties by id, else the number of an order of equals.
    fn eliminate(mut self, rule: Rule, draw: u64, bound: u64) -> Result<Vec<Elimination>, InferenceError> {
        (self.rule, self.draw) = (rule, draw);
        self.fill_queue();
        let mut order = Vec::with_capacity(self.cards.len());
        while let Some((_, _, _, variable)) = self.queue.pop_first() {
            let entries = self.entries[variable as usize];
            if entries > bound {
                return Err(InferenceError::TooLarge { entries, bound });
            }
            order.push(Elimination { variable, neighbours: self.remove(variable) });
        }
        Ok(order)
    }

    fn fill_queue(&mut self) {
        let mut marked = vec![u32::MAX; self.cards.len()];
        for v in (0..self.cards.len() as u32).filter(|&v| self.alive[v as usize]) {
            let neighbours = &self.adjacent[v as usize];
            for &n in neighbours {
                marked[n as usize] = v;
            }
            // Over ordered pairs of neighbours: all of them less those joined is twice what is missing.
            let sum = self.sides(neighbours);
            let mut twice: u64 = 0;
            for &n in neighbours {
                let joined = self.adjacent[n as usize].iter().filter(|&&m| marked[m as usize] == v);
                let joined: u64 = joined.map(|&m| self.side(m)).fold(0, u64::saturating_add);
                twice = twice.saturating_add(self.side(n).saturating_mul(sum - self.side(n) - joined));
            }
            self.fill[v as usize] = twice / 2;
            self.entries[v as usize] = self.count_entries(v);
            let key = self.key(v, self.fill[v as usize]);
            self.queue.insert(key);
        }
    }

    /// What a variable adds to the cost of an edge, as a factor.
    fn side(&self, v: u32) -> u64 {
        if self.rule == Rule::WeightedFill { u64::from(self.cards[v as usize]) } else { 1 }
    }

    /// The same of several variables.
    fn sides(&self, all: &[u32]) -> u64 {
        match self.rule {
            Rule::WeightedFill => all.iter().map(|&v| self.side(v)).fold(0, u64::saturating_add),
            _ => all.len() as u64,
        }
    }

    fn cost(&self, a: u32, b: u32) -> u64 {
        self.side(a) * self.side(b)
    }

    fn key(&self, v: u32, fill: u64) -> Key {
        let entries = self.entries[v as usize];
        let tie = if self.draw == 0 { 0 } else { mix(self.draw << 32 | u64::from(v)) };
        match self.rule {
            Rule::Weight => (entries, fill, tie, v),
            // A drawn order looks past the table too: its size decides too many ties for the draw to matter otherwise.
            _ if self.draw > 0 && self.draw.is_multiple_of(2) => (fill, 0, tie, v),
            _ => (fill, entries, tie, v),
        }
    }

    /// Takes `v` out of the graph, joins its neighbours and returns them.
    fn remove(&mut self, v: u32) -> Vec<u32> {
        let neighbours = core::mem::take(&mut self.adjacent[v as usize]);
        let mut touched = neighbours.clone();
        let mut changed: Vec<(u32, u64)> = neighbours.iter().map(|&n| (n, self.fill[n as usize])).collect();
        for (i, &a) in neighbours.iter().enumerate() {
            for &b in &neighbours[i + 1..] {
                if self.adjacent[a as usize].binary_search(&b).is_err() {
                    self.join(a, b, v, &mut changed, &mut touched);
                }
            }
        }
        let sum = self.sides(&neighbours);
        for &n in &neighbours {
            // All other neighbours of v are now neighbours of n; v missed an edge to each of the rest.
            let all = self.sides(&self.adjacent[n as usize]);
            let rest = all + self.side(n) - sum - self.side(v);
            // Costs so large that they were cut off at u64::MAX may not add up; they decide nothing by then.
            self.fill[n as usize] = self.fill[n as usize].saturating_sub(rest * self.side(v));
            let at = self.adjacent[n as usize].binary_search(&v).expect("edges run both ways");
            self.adjacent[n as usize].remove(at);
        }
        for (n, fill) in changed {
            let old = self.key(n, fill);
            self.queue.remove(&old);
            self.entries[n as usize] = self.count_entries(n);
            let key = self.key(n, self.fill[n as usize]);
            self.queue.insert(key);
        }
        neighbours
    }

    /// Adds the edge between `a` and `b`, both neighbours of `removing`. Whoever's fill changes for the first time is noted
    /// in `changed` with the fill that the queue knows.
    fn join(&mut self, a: u32, b: u32, removing: u32, changed: &mut Vec<(u32, u64)>, touched: &mut Vec<u32>) {
        let (mut i, mut j) = (0, 0);
        let (of_a, of_b) = (&self.adjacent[a as usize], &self.adjacent[b as usize]);
        let cost = self.cost(a, b);
        let (mut only_a, mut only_b) = (0, 0);
        while i < of_a.len() || j < of_b.len() {
            let (x, y) = (of_a.get(i).copied().unwrap_or(u32::MAX), of_b.get(j).copied().unwrap_or(u32::MAX));
            if x == y {
                if x != removing {
                    if let Err(at) = touched.binary_search(&x) {
                        touched.insert(at, x);
                        changed.push((x, self.fill[x as usize]));
                    }
                    self.fill[x as usize] = self.fill[x as usize].saturating_sub(cost);
                }
            } else if x < y {
                only_a += self.side(x);
            } else {
                only_b += self.side(y);
            }
            i += usize::from(x <= y);
            j += usize::from(y <= x);
        }
        self.fill[a as usize] = self.fill[a as usize].saturating_add(only_a * self.side(b));
        self.fill[b as usize] = self.fill[b as usize].saturating_add(only_b * self.side(a));
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

/// SplitMix64's last step: a number that looks drawn.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The incremental costs against counting afresh after every step, on a graph that needs much fill, by every rule.
    #[test]
    fn fill_counts_stay_right() {
        let cards: Vec<u32> = (0..25).map(|v| 2 + v % 3).collect();
        let alive = [true; 25];
        let pairs = grid();
        let scopes: Vec<&[u32]> = pairs.iter().map(|pair| &pair[..]).collect();
        for (rule, draw) in [(Rule::Fill, 0), (Rule::Fill, 2), (Rule::WeightedFill, 0), (Rule::Weight, 1)] {
            let mut graph = Graph::moral(&cards, &alive, &scopes);
            (graph.rule, graph.draw) = (rule, draw);
            graph.fill_queue();
            let mut left: Vec<u32> = (0..25).collect();
            while let Some(first) = graph.queue.pop_first() {
                for &v in &left {
                    let neighbours = &graph.adjacent[v as usize];
                    let pairs = neighbours.iter().enumerate();
                    let pairs = pairs.flat_map(|(i, a)| neighbours[i + 1..].iter().map(move |b| (*a, *b)));
                    let missing = pairs.filter(|(a, b)| !graph.adjacent[*a as usize].contains(b));
                    assert_eq!(graph.fill[v as usize], missing.map(|(a, b)| graph.cost(a, b)).sum::<u64>());
                    assert_eq!(graph.entries[v as usize], graph.count_entries(v));
                    assert!(graph.key(v, graph.fill[v as usize]) >= first);
                }
                left.retain(|&v| v != first.3);
                graph.remove(first.3);
            }
            assert!(left.is_empty());
        }
    }

    /// A 5 x 5 grid.
    fn grid() -> Vec<[u32; 2]> {
        let edges = |v: u32| [(v % 5 < 4).then_some([v, v + 1]), (v < 20).then_some([v, v + 5])];
        (0..25u32).flat_map(edges).flatten().collect()
    }

    /// Where more than one try is made, the least counts; a bound below it is refused with what it would need.
    #[test]
    fn the_least_of_several_counts() {
        let cards: Vec<u32> = (0..25).map(|v| 2 + v * 7 % 11).collect();
        let alive = [true; 25];
        let pairs = grid();
        let scopes: Vec<&[u32]> = pairs.iter().map(|pair| &pair[..]).collect();
        let plain =
            eliminate(&cards, &alive, &scopes, u64::MAX).and_then(|order| Forest::new(&cards, &order, u64::MAX));
        let plain = plain.expect("no bound").entries;
        let least = best(&cards, &alive, &scopes, u64::MAX >> 1, Search::Thorough).expect("no bound").entries;
        assert!(plain > ENTRIES_FEW && least < plain, "{least} of {plain}");
        let within = |bound, search| best(&cards, &alive, &scopes, bound, search).map(|forest| forest.entries);
        let refused = |entries, bound| Err(InferenceError::TooLarge { entries, bound });
        assert_eq!(within(least, Search::Thorough), Ok(least));
        assert_eq!(within(least - 1, Search::Thorough), refused(least, least - 1));
        assert_eq!(within(plain, Search::Swift), Ok(least), "the first is near enough to try more");
        assert_eq!(within(plain / 2 - 1, Search::Swift), refused(plain / 2 * 2 - 2, plain / 2 - 1));
    }
}
