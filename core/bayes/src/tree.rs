//! A compiled junction tree: built once per network, asked many times.
//!
//! The tree keeps, for each clique, the conditional distribution `P(residual | separator)` that follows without evidence
//! (Lauritzen and Spiegelhalter's form). What this buys: a clique with no evidence at or below it sends up exactly 1, so that
//! a pass towards the roots visits only cliques between evidence and root, and what is barren costs nothing; and numbers stay
//! conditional probabilities, far from underflow. `propagate` does the rest.
//! Source: Lauritzen and Spiegelhalter, "Local computations with probabilities on graphical structures", JRSS B 50(2), 1988.
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::axes::{self, Axes};
use crate::cliques::{Clique, Forest, ROOT};
use crate::error::InferenceError;
use crate::evidence::Evidence;
use crate::factor::{FREE, Factor};
use crate::limits::TREE_ENTRIES_MAX;
use crate::network::Network;
use crate::product::{Message, absorb};
use crate::triangulate::{Search, best};
use crate::weight::{FLOOR_MIN, Spread, Weight, Wide};

/// A junction tree over all variables of a network, for any evidence.
#[derive(Debug, Clone)]
pub struct Tree {
    pub(crate) cards: Vec<u32>,
    /// Per variable the state that was built in, or [`FREE`].
    pub(crate) fixed: Vec<u32>,
    pub(crate) forest: Forest,
    /// Per clique `P(residual | separator)`; a row of zeros where the separator's states cannot occur together.
    pub(crate) tables: Vec<f64>,
    /// The same where a conditional probability is below the range of `f64`, and then `tables` is empty; else empty.
    pub(crate) wide: Vec<Wide>,
    /// Per clique: a bound below the exponent of the smallest non-zero entry of its table.
    pub(crate) floors: Vec<i64>,
    pub(crate) children: Grouped,
    /// Variables whose marginal is read off the separator above a clique, by clique.
    pub(crate) read_above: Grouped,
    /// Variables whose marginal is read off the residual of a clique, by clique.
    pub(crate) read_residual: Grouped,
    /// Where each variable's marginal starts in a flat vector of all of them, and its end.
    pub(crate) offsets: Arc<[u32]>,
    /// `ln` of the sum over all states: 0 for a network, `ln P(e)` when evidence was built in.
    pub(crate) log_total: f64,
}

impl Tree {
    /// Compiles the exact junction tree of `network`.
    ///
    /// - `bound`: the most table entries (8 bytes each) that all cliques together may have;
    ///   [`TREE_ENTRIES_DEFAULT`](crate::limits::TREE_ENTRIES_DEFAULT) is a fair start.
    ///
    /// Fails with [`InferenceError::TooLarge`] before any table is allocated.
    pub fn compile(network: &Network, bound: u64) -> Result<Tree, InferenceError> {
        Tree::compile_given(network, &Evidence::new(), bound)
    }

    /// As [`Tree::compile`], for who would rather do with less than wait: gives up where the first order of elimination leaves a tree of
    /// more than twice the bound. A network whose tree would fit, had one looked for long, is refused now and then.
    pub fn compile_or_give_up(network: &Network, bound: u64) -> Result<Tree, InferenceError> {
        let cards = network.cards();
        let observed = Evidence::new().states(cards.len());
        let factors = network.factors(&observed, &vec![true; cards.len()]);
        Tree::searched(cards, &factors, observed, bound, Search::Swift)
    }

    /// As [`Tree::compile`], with evidence built in: observed variables are cut out before the tree is made, which can make it
    /// far smaller. The tree still takes further evidence, on top of this.
    ///
    /// Fails on evidence that does not fit or is impossible, too.
    pub fn compile_given(network: &Network, evidence: &Evidence, bound: u64) -> Result<Tree, InferenceError> {
        let cards = network.cards();
        evidence.check(&cards)?;
        let observed = evidence.states(cards.len());
        let mut factors = network.factors(&observed, &vec![true; cards.len()]);
        factors.extend(evidence.soft());
        Tree::from_factors(cards, &factors, observed, bound)
    }

    /// Compiles the product of `factors`; variables in no factor stay outside of the tree.
    ///
    /// - `fixed`: per variable the state that the factors were cut down to, or [`FREE`].
    ///
    /// Fails as [`Tree::compile`] does, and with [`InferenceError::Impossible`] when the product is zero everywhere.
    pub(crate) fn from_factors(
        cards: Vec<u32>,
        factors: &[Factor],
        fixed: Vec<u32>,
        bound: u64,
    ) -> Result<Tree, InferenceError> {
        Tree::searched(cards, factors, fixed, bound, Search::Thorough)
    }

    fn searched(
        cards: Vec<u32>,
        factors: &[Factor],
        fixed: Vec<u32>,
        bound: u64,
        search: Search,
    ) -> Result<Tree, InferenceError> {
        let bound = bound.min(TREE_ENTRIES_MAX);
        let mut alive = vec![false; cards.len()];
        for factor in factors {
            for &v in &factor.scope {
                alive[v as usize] = true;
            }
        }
        let scopes: Vec<&[u32]> = factors.iter().map(|factor| &factor.scope[..]).collect();
        let forest = best(&cards, &alive, &scopes, bound, search)?;
        Tree::on_forest(cards, factors, fixed, forest)
    }

    /// As [`Tree::from_factors`], on a forest made before for factors over the same variables.
    pub(crate) fn on_forest(
        cards: Vec<u32>,
        factors: &[Factor],
        fixed: Vec<u32>,
        forest: Forest,
    ) -> Result<Tree, InferenceError> {
        let count = forest.cliques.len();

        let parents = forest.cliques.iter().enumerate().filter(|(_, clique)| clique.parent != ROOT);
        let children = Grouped::new(count, parents.map(|(at, clique)| (clique.parent, at as u32)));
        let mut above: Vec<u32> = vec![ROOT; cards.len()];
        for (at, clique) in forest.cliques.iter().enumerate().filter(|(_, clique)| clique.parent != ROOT) {
            for &v in forest.separator(clique) {
                let best = &mut above[v as usize];
                let near = forest.home[v as usize] == clique.parent;
                if near && (*best == ROOT || clique.rows < forest.cliques[*best as usize].rows) {
                    *best = at as u32;
                }
            }
        }
        let all = || (0..cards.len() as u32).filter(|&v| forest.home[v as usize] != ROOT);
        let read_above =
            Grouped::new(count, all().filter(|&v| above[v as usize] != ROOT).map(|v| (above[v as usize], v)));
        let read_residual = all().filter(|&v| above[v as usize] == ROOT).map(|v| (forest.home[v as usize], v));
        let read_residual = Grouped::new(count, read_residual);
        let mut offsets = Vec::with_capacity(cards.len() + 1);
        let mut offset = 0u32;
        offsets.push(0);
        for &card in &cards {
            offset = offset.checked_add(card).ok_or(InferenceError::TooLarge { entries: 1 << 32, bound: 1 << 32 })?;
            offsets.push(offset);
        }
        let mut tree = Tree {
            cards,
            fixed,
            tables: vec![0.0; forest.entries as usize],
            wide: Vec::new(),
            floors: vec![0; count],
            forest,
            children,
            read_above,
            read_residual,
            offsets: offsets.into(),
            log_total: 0.0,
        };
        let narrow = match tree.fill::<f64>(factors, &mut []) {
            Ok(filled) => Some(filled?),
            Err(Spread) => None,
        };
        tree.log_total = match narrow {
            Some(filled) => filled.log_total,
            None => {
                let mut wide = vec![Wide::ZERO; tree.forest.entries as usize];
                let filled = tree.fill(factors, &mut wide).expect("wide numbers do not spread too far")?;
                if filled.least < FLOOR_MIN {
                    (tree.tables, tree.wide) = (Vec::new(), wide);
                }
                filled.log_total
            }
        };
        Ok(tree)
    }

    /// Table entries of all cliques together.
    pub fn entries(&self) -> u64 {
        self.forest.entries
    }

    /// Number of cliques.
    pub fn cliques(&self) -> usize {
        self.forest.cliques.len()
    }

    /// Variables in the largest clique less one; 0 without variables.
    pub fn width(&self) -> usize {
        self.forest.cliques.iter().map(|clique| clique.scope.len()).max().unwrap_or(1) - 1
    }

    /// Multiplies the factors into their cliques and divides from the leaves up.
    ///
    /// - `all`: gets every entry unless it is empty; what `f64` cannot hold is 0 in the tree's own tables.
    fn fill<W: Weight>(&mut self, factors: &[Factor], all: &mut [W]) -> Result<Result<Filled, InferenceError>, Spread> {
        let count = self.forest.cliques.len();
        let (mut log_total, mut least_of_all) = (0.0, 0);
        let mut homes = Vec::with_capacity(factors.len());
        for (at, factor) in factors.iter().enumerate() {
            // The first eliminated of a factor's variables is residual where all of them meet, the deepest of their homes.
            match factor.scope.iter().map(|&v| self.forest.home[v as usize]).max() {
                Some(home) => homes.push((home, at as u32)),
                None if factor.table[0] == 0.0 => return Ok(Err(InferenceError::Impossible)),
                None => log_total += libm::log(factor.table[0]),
            }
        }
        let homes = Grouped::new(count, homes.into_iter());
        let mut messages: Vec<Message<W>> = vec![Message { values: Vec::new(), power: 0, floor: 0 }; count];
        let mut powers = 0;
        let mut table: Vec<W> = Vec::new();
        for at in (0..count).rev() {
            let clique = &self.forest.cliques[at];
            table.clear();
            table.resize(clique.size(), W::ONE);
            let mut least = 0;
            for &factor in homes.of(at) {
                let factor = &factors[factor as usize];
                let axes = self.factor_axes(clique, &factor.scope);
                // Likelihoods can be of any size: scaled, no product can pass the upper end of f64 either.
                let Some(values) = Message::new(factor.table.iter().map(|&value| W::new(value)).collect()) else {
                    return Ok(Err(InferenceError::Impossible));
                };
                powers += values.power + absorb(&mut table, &mut least, &axes, &values.values, values.floor)?;
            }
            for &child in self.children.of(at) {
                let axes = self.message_axes(clique, &self.forest.cliques[child as usize], &[]);
                let message = core::mem::take(&mut messages[child as usize].values);
                powers += absorb(&mut table, &mut least, &axes, &message, messages[child as usize].floor)?;
            }
            let columns = clique.columns as usize;
            let sums: Vec<W> = table.chunks_exact(columns).map(axes::total).collect();
            let mut smallest = W::ONE;
            for ((row, &sum), stored) in
                table.chunks_exact(columns).zip(&sums).zip(self.tables[clique.entries()].chunks_exact_mut(columns))
            {
                for (&value, stored) in row.iter().zip(stored) {
                    let conditional = value.over(sum);
                    if conditional > W::ZERO && conditional < smallest {
                        smallest = conditional;
                    }
                    *stored = conditional.value();
                }
            }
            let floor = smallest.exponent();
            if W::NARROW && floor < FLOOR_MIN {
                return Err(Spread);
            }
            if let Some(all) = all.get_mut(clique.entries()) {
                let rows = table.chunks_exact(columns).zip(all.chunks_exact_mut(columns)).zip(&sums);
                for ((row, kept), &sum) in rows {
                    kept.iter_mut().zip(row).for_each(|(kept, value)| *kept = value.over(sum));
                }
            }
            self.floors[at] = floor;
            least_of_all = if floor < least_of_all { floor } else { least_of_all };
            let Some(message) = Message::new(sums) else {
                return Ok(Err(InferenceError::Impossible));
            };
            powers += message.power;
            if clique.parent == ROOT {
                log_total += message.values[0].log_value();
            } else {
                messages[at] = message;
            }
        }
        let log_total = log_total + powers as f64 * core::f64::consts::LN_2;
        Ok(Ok(Filled { log_total, least: least_of_all }))
    }

    /// How a factor with its own order of variables lies in a clique's table.
    fn factor_axes(&self, clique: &Clique, factor: &[u32]) -> Axes {
        let mut axes = Axes::new();
        for &v in self.forest.scope(clique).iter().rev() {
            let stride = factor
                .iter()
                .position(|&other| other == v)
                .map_or(0, |at| factor[at + 1..].iter().map(|&faster| self.cards[faster as usize]).product());
            axes.push(self.cards[v as usize], stride);
        }
        axes
    }

    /// How a child's separator lies in its parent's table; variables observed (`observed[v] != FREE`) take part in neither.
    #[inline]
    pub(crate) fn message_axes(&self, parent: &Clique, child: &Clique, observed: &[u32]) -> Axes {
        let mut axes = Axes::new();
        let separator = self.forest.separator(child);
        let (mut at, mut stride) = (separator.len(), 1);
        for &v in self.forest.scope(parent).iter().rev() {
            let card = self.cards[v as usize];
            let shared = at > 0 && separator[at - 1] == v;
            at -= usize::from(shared);
            if observed.get(v as usize).is_none_or(|&state| state == FREE) {
                axes.push(card, if shared { stride } else { 0 });
                stride *= if shared { card } else { 1 };
            }
        }
        axes
    }
}

/// What filling a tree's tables found.
struct Filled {
    /// `ln` of the sum over all states.
    log_total: f64,
    /// Exponent of the smallest conditional probability.
    least: i64,
}

/// Numbers in groups, each group in the order given.
#[derive(Debug, Clone)]
pub(crate) struct Grouped {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Grouped {
    pub(crate) fn new(groups: usize, pairs: impl Iterator<Item = (u32, u32)>) -> Grouped {
        let mut pairs: Vec<(u32, u32)> = pairs.collect();
        pairs.sort_by_key(|&(group, _)| group);
        let mut starts = vec![0; groups + 1];
        for &(group, _) in &pairs {
            starts[group as usize + 1] += 1;
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        Grouped { starts, items: pairs.into_iter().map(|(_, item)| item).collect() }
    }

    #[inline]
    pub(crate) fn of(&self, group: usize) -> &[u32] {
        &self.items[self.starts[group] as usize..self.starts[group + 1] as usize]
    }
}
