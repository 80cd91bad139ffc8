//! Small random networks and evidence from a counter-based generator: case `n` is the same wherever it is drawn.
use faultline_bayes::{Evidence, Network, VarId};

/// SplitMix64 over a counter.
pub struct Random {
    key: u64,
    counter: u64,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { key: mix(seed ^ 0x6c62_272e_07bb_0142), counter: 0 }
    }

    fn bits(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key.wrapping_add(self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// From 0 up to but without `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A network as plain data, so that it can be changed and built again.
#[derive(Clone)]
pub struct Plan {
    pub cards: Vec<usize>,
    /// Parents per variable; any order of ids, acyclic.
    pub parents: Vec<Vec<usize>>,
    pub tables: Vec<Vec<f64>>,
}

/// A finding per variable.
#[derive(Clone)]
pub enum Finding {
    State(usize),
    Likelihood(Vec<f64>),
}

impl Plan {
    /// 2 to `variables_max` variables of 2 to 4 states with up to 3 parents; a tenth of the table entries are zero.
    pub fn random(random: &mut Random, variables_max: usize) -> Plan {
        let count = 2 + random.below(variables_max - 1);
        // A random topological order, so that ids say nothing about arcs.
        let mut order: Vec<usize> = (0..count).collect();
        for i in (1..count).rev() {
            order.swap(i, random.below(i + 1));
        }
        let cards: Vec<usize> = (0..count).map(|_| 2 + random.below(3)).collect();
        let mut parents = vec![Vec::new(); count];
        let mut tables = vec![Vec::new(); count];
        for (place, &v) in order.iter().enumerate() {
            let mut earlier = order[..place].to_vec();
            for _ in 0..random.below(4).min(place) {
                parents[v].push(earlier.swap_remove(random.below(earlier.len())));
            }
            let rows: usize = parents[v].iter().map(|&p: &usize| cards[p]).product();
            for _ in 0..rows {
                let mut row: Vec<f64> =
                    (0..cards[v]).map(|_| if random.chance(0.1) { 0.0 } else { 0.01 + random.unit() }).collect();
                row[random.below(cards[v])] += 0.1;
                let sum: f64 = row.iter().sum();
                tables[v].extend(row.iter().map(|value| value / sum));
            }
        }
        Plan { cards, parents, tables }
    }

    pub fn build(&self) -> Network {
        let mut builder = Network::builder();
        let ids: Vec<VarId> = (0..self.cards.len())
            .map(|v| builder.variable(&format!("v{v}"), self.cards[v]).expect("a new name"))
            .collect();
        for (v, table) in self.tables.iter().enumerate() {
            let parents: Vec<VarId> = self.parents[v].iter().map(|&p| ids[p]).collect();
            builder.cpt(ids[v], &parents, table).expect("a valid table");
        }
        builder.build().expect("acyclic")
    }

    /// About a third of the variables observed or weighed.
    pub fn findings(&self, random: &mut Random) -> Vec<(usize, Finding)> {
        let mut findings = Vec::new();
        for (v, &card) in self.cards.iter().enumerate() {
            if random.chance(0.2) {
                findings.push((v, Finding::State(random.below(card))));
            } else if random.chance(0.2) {
                let size = [1.0, 1e-200, 1e200][random.below(3)];
                let values = (0..card).map(|_| if random.chance(0.1) { 0.0 } else { random.unit() * size }).collect();
                findings.push((v, Finding::Likelihood(values)));
            }
        }
        findings
    }
}

pub fn evidence(network: &Network, findings: &[(usize, Finding)]) -> Evidence {
    let mut evidence = Evidence::new();
    for (v, finding) in findings {
        let id = network.var(&format!("v{v}")).expect("declared");
        match finding {
            Finding::State(state) => evidence.observe(id, *state),
            Finding::Likelihood(values) => evidence.likelihood(id, values),
        };
    }
    evidence
}
