//! Random small networks with random evidence, hard and soft, asked of pyAgrum and of us.
use crate::bn::data::Model;
use crate::bn::measure::unit;
use crate::bn::peer::{Asked, Peer};
use faultline_bayes::{Evidence, InferenceError, Network, Solver, Tree, VarId};
use faultline_host::Random;
use std::error::Error;
use std::fmt;

/// Most variables of a network, most of its parents, and questions to each.
const VARIABLES: u64 = 15;
const PARENTS: u64 = 3;
const QUESTIONS: usize = 4;
/// A tree of random networks this small always fits.
const BOUND: u64 = 1 << 24;
/// A bound so small that most of these networks must take the later rungs of the ladder.
const TIGHT: u64 = 1 << 7;
/// Largest difference that rounding explains.
const TOLERANCE: f64 = 1e-10;

/// What was compared.
#[derive(Debug, Default)]
pub struct Counts {
    /// Networks.
    pub networks: u64,
    /// Questions to all of them.
    pub questions: u64,
    /// Those whose evidence both call impossible.
    pub impossible: u64,
    /// Exact answers within a tight bound, and how many of them were not of the whole tree.
    pub tight: (u64, u64),
    /// Largest difference of a marginal or, relatively, of ln P(e).
    pub worst: f64,
    /// Seeds whose answers differ.
    pub differ: Vec<u64>,
}

impl Counts {
    /// Whether all answers agree.
    pub fn good(&self) -> bool {
        self.differ.is_empty()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "networks {}", self.networks)?;
        writeln!(f, "questions {}, {} of them with impossible evidence", self.questions, self.impossible)?;
        writeln!(
            f,
            "within {TIGHT} entries: {} exact answers, {} of them not by the whole tree",
            self.tight.0, self.tight.1
        )?;
        write!(f, "largest difference {:.1e}; seeds that differ: {:?}", self.worst, self.differ)
    }
}

/// Asks both about `count` networks from `first_seed` on.
pub fn run(first_seed: u64, count: u64) -> Result<Counts, Box<dyn Error>> {
    let mut peer = Peer::start()?;
    let mut counts = Counts::default();
    for seed in first_seed..first_seed + count {
        if !compare(seed, &mut peer, &mut counts).map_err(|error| format!("seed {seed}: {error}"))? {
            counts.differ.push(seed);
        }
        counts.networks += 1;
    }
    Ok(counts)
}

fn compare(seed: u64, peer: &mut Peer, counts: &mut Counts) -> Result<bool, Box<dyn Error>> {
    let mut random = Random::seeded(seed);
    let network = network(&mut random)?;
    let questions: Vec<Evidence> = (0..QUESTIONS).map(|_| evidence(&network, &mut random)).collect();
    let tree = Tree::compile(&network, BOUND)?;
    let mut solver = Solver::new(network.clone(), TIGHT);
    let model = Model::Bayes(network);
    let answers = peer.ask(&model, questions.iter(), 1)?;
    let mut same = true;
    for (evidence, theirs) in questions.into_iter().zip(answers) {
        counts.questions += 1;
        let tight = solver.ask(&evidence);
        match (tree.propagate(&evidence), theirs) {
            (Err(InferenceError::Impossible), None) => {
                counts.impossible += 1;
                same &= tight == Err(InferenceError::Impossible);
            }
            (Ok(found), Some(theirs)) => {
                let asked = Asked { evidence, found };
                let mut difference = asked.distance(&model, &theirs);
                let tight = tight?;
                if tight.method.is_exact() {
                    counts.tight.0 += 1;
                    counts.tight.1 += u64::from(tight.method != faultline_bayes::Method::Tree);
                    let asked = Asked { evidence: asked.evidence, found: tight.posteriors };
                    difference = f64::max(difference, asked.distance(&model, &theirs));
                }
                counts.worst = f64::max(counts.worst, difference);
                same &= difference < TOLERANCE;
            }
            (Err(InferenceError::Impossible), Some(_)) | (Ok(_), None) => same = false,
            (Err(error), _) => return Err(error.into()),
        }
    }
    Ok(same)
}

/// 2 to 15 variables of 2 to 4 states with up to 3 parents; a tenth of the entries are zero.
fn network(random: &mut Random) -> Result<Network, Box<dyn Error>> {
    let mut builder = Network::builder();
    let count = 2 + random.below(VARIABLES - 1);
    let mut ids: Vec<VarId> = Vec::new();
    for v in 0..count {
        ids.push(builder.variable(&v.to_string(), 2 + random.below(3) as usize)?);
    }
    // A random order of arcs, so that ids say nothing about them.
    for at in (1..ids.len()).rev() {
        ids.swap(at, random.below(at as u64 + 1) as usize);
    }
    for (at, &child) in ids.iter().enumerate() {
        let mut before = ids[..at].to_vec();
        let mut parents = Vec::new();
        for _ in 0..random.below(PARENTS + 1).min(at as u64) {
            parents.push(before.swap_remove(random.below(before.len() as u64) as usize));
        }
        let mut rows = 1;
        for &parent in &parents {
            rows *= builder.states(parent)?;
        }
        let states = builder.states(child)?;
        let mut table = Vec::new();
        for _ in 0..rows {
            let mut row: Vec<f64> =
                (0..states).map(|_| if unit(random) < 0.1 { 0.0 } else { 0.01 + unit(random) }).collect();
            row[random.below(states as u64) as usize] += 0.1;
            let sum: f64 = row.iter().sum();
            table.extend(row.iter().map(|value| value / sum));
        }
        builder.cpt(child, &parents, &table)?;
    }
    Ok(builder.build()?)
}

/// About a fifth of the variables observed, a fifth with a likelihood.
fn evidence(network: &Network, random: &mut Random) -> Evidence {
    let mut evidence = Evidence::new();
    for v in network.variables() {
        let states = network.states(v).len();
        match random.below(5) {
            0 => drop(evidence.observe(v, random.below(states as u64) as usize)),
            1 => {
                let values: Vec<f64> = (0..states).map(|_| 0.05 + unit(random)).collect();
                evidence.likelihood(v, &values);
            }
            _ => {}
        }
    }
    evidence
}
