//! One network: how exact, how fast, how much memory.
use crate::bn::BnArgs;
use crate::bn::data::{Case, Model, Query};
use crate::bn::peer::{Asked, Peer};
use faultline_bayes::{Evidence, InferenceError, Network, Posteriors, Session, Tree, VarId};
use faultline_host::Random;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::time::Instant;

/// Questions drawn from each network, and the share of its variables that they observe.
const DRAWN: usize = 5;
const SHARE: f64 = 0.2;
/// A reference of all digits, and one of six.
const TOLERANCE: f64 = 1e-9;
const TOLERANCE_SIX_DIGITS: f64 = 1e-6;
/// A question is asked until this much time has gone, so many times at least and at most.
const SECONDS_PER_QUESTION: f64 = 0.05;
const RUNS: (usize, usize) = (3, 200);
/// How often pyAgrum is asked each question.
const PEER_RUNS: u64 = 5;

/// What was measured.
#[derive(Debug, Default)]
pub struct Figures {
    name: String,
    variables: usize,
    method: String,
    entries: u64,
    compile_ms: f64,
    /// Per reference query, median of its runs.
    query_ms: Vec<f64>,
    marginal_error: f64,
    log_error: f64,
    tolerance: f64,
    /// Against the same answers found by another way.
    other_way: f64,
    /// Per drawn question.
    drawn_ms: Vec<f64>,
    /// Per drawn question: one finding more, all marginals; and one marginal.
    changed_ms: Vec<f64>,
    one_ms: Vec<f64>,
    peak_mib: f64,
    /// pyAgrum on the drawn questions, and the largest difference on any question.
    peer: Option<(Vec<f64>, f64)>,
}

impl Figures {
    /// Of [`Figures::row`].
    pub const HEADINGS: [&'static str; 17] = [
        "network",
        "variables",
        "method",
        "entries",
        "compile ms",
        "queries ms",
        "slowest ms",
        "max |p - ref|",
        "max |ln - ref|",
        "other way",
        "20 % ms",
        "changed ms",
        "one ms",
        "peak MiB",
        "pyAgrum ms",
        "ratio",
        "max |p - pyAgrum|",
    ];

    /// Whether every answer was right.
    pub fn is_exact(&self) -> bool {
        let within = |error: f64, most: f64| error <= most;
        within(self.marginal_error, self.tolerance)
            && within(self.log_error, TOLERANCE)
            && within(self.other_way, TOLERANCE)
            && self.peer.as_ref().is_none_or(|(_, error)| within(*error, TOLERANCE))
    }

    /// As text, a cell each.
    pub fn row(&self) -> Vec<String> {
        let error = |error: f64| format!("{error:.1e}");
        let ms = |ms: f64| if ms.is_nan() { "-".to_owned() } else { format!("{ms:.4}") };
        let (drawn, slowest) = (median(&self.drawn_ms), self.query_ms.iter().copied().fold(f64::NAN, f64::max));
        let peer = self.peer.as_ref().map(|(times, error)| (median(times), *error));
        vec![
            self.name.clone(),
            self.variables.to_string(),
            self.method.clone(),
            self.entries.to_string(),
            format!("{:.2}", self.compile_ms),
            ms(median(&self.query_ms)),
            ms(slowest),
            error(self.marginal_error),
            error(self.log_error),
            error(self.other_way),
            ms(drawn),
            ms(median(&self.changed_ms)),
            ms(median(&self.one_ms)),
            format!("{:.0}", self.peak_mib),
            peer.map_or("-".to_owned(), |(theirs, _)| ms(theirs)),
            peer.filter(|(theirs, _)| !theirs.is_nan())
                .map_or("-".to_owned(), |(theirs, _)| format!("{:.0}", theirs / drawn)),
            peer.map_or("-".to_owned(), |(_, difference)| error(difference)),
        ]
    }
}

/// Measures one network; `tell` gets a line of JSON per reference query.
pub fn case(
    case: &Case,
    args: &BnArgs,
    peer: Option<&mut Peer>,
    tell: &mut dyn FnMut(Value) -> io::Result<()>,
) -> Result<Figures, Box<dyn Error>> {
    let six_digits = matches!(case.model, Model::Markov(_));
    let mut figures = Figures {
        name: case.name.clone(),
        variables: case.model.count(),
        tolerance: if six_digits { TOLERANCE_SIX_DIGITS } else { TOLERANCE },
        ..Figures::default()
    };
    forget_peak();
    let started = Instant::now();
    // An instance with its one piece of evidence is a smaller question than a network for any evidence.
    let compiled = match (&case.model, &case.queries[..]) {
        (Model::Markov(_), [only]) => {
            figures.method = "tree given e".to_owned();
            case.model.compile_given(&only.evidence, args.bound)
        }
        _ => {
            figures.method = "tree".to_owned();
            case.model.compile(args.bound)
        }
    };
    let tree = match compiled {
        Ok(tree) => tree,
        Err(InferenceError::TooLarge { entries, .. }) => {
            figures.entries = entries;
            figures.ladder(case, args.bound, tell)?;
            return Ok(figures);
        }
        Err(error) => return Err(error.into()),
    };
    figures.compile_ms = started.elapsed().as_secs_f64() * 1e3;
    figures.entries = tree.entries();
    let mut asked = Vec::new();
    for query in &case.queries {
        let (found, seconds) = timed(|| tree.propagate(&query.evidence))?;
        figures.query_ms.push(seconds * 1e3);
        figures.judge(case, query, &found);
        tell(line(case, query, &found, seconds))?;
        asked.push(Asked { evidence: query.evidence.clone(), found });
    }
    figures.peak_mib = peak_mib().unwrap_or(f64::NAN);
    for query in case.queries.iter().take(2) {
        let other = other_way(&case.model, query, args.bound)?;
        let found = tree.propagate(&query.evidence)?;
        figures.other_way = f64::max(figures.other_way, distance(&case.model, &found, &other));
    }
    let reference = asked.len();
    if let Model::Bayes(network) = &case.model {
        let mut random = Random::seeded(1);
        for _ in 0..DRAWN {
            let (evidence, more, target) = drawn(network, &mut random);
            let (found, seconds) = timed(|| tree.propagate(&evidence))?;
            figures.drawn_ms.push(seconds * 1e3);
            figures.changed(&tree, &evidence, &more, target)?;
            asked.push(Asked { evidence, found });
        }
    }
    if let Some(peer) = peer.filter(|_| tree.entries() <= args.peer_bound) {
        let answers = peer.ask(&case.model, asked.iter().map(|asked| &asked.evidence), PEER_RUNS)?;
        let (mut times, mut worst) = (Vec::new(), 0.0);
        for (at, (asked, answer)) in asked.iter().zip(answers).enumerate() {
            let answer = answer.ok_or("pyAgrum calls evidence impossible that is not")?;
            worst = f64::max(worst, asked.distance(&case.model, &answer));
            if at >= reference || six_digits {
                times.push(answer.seconds * 1e3);
            }
        }
        figures.peer = Some((times, worst));
    }
    Ok(figures)
}

impl Figures {
    /// Where the tree does not fit: whatever method does.
    fn ladder(
        &mut self,
        case: &Case,
        bound: u64,
        tell: &mut dyn FnMut(Value) -> io::Result<()>,
    ) -> Result<(), Box<dyn Error>> {
        let mut solver = case.model.solver(bound);
        let mut methods = BTreeSet::new();
        for query in &case.queries {
            let started = Instant::now();
            let answer = solver.ask(&query.evidence)?;
            let seconds = started.elapsed().as_secs_f64();
            self.query_ms.push(seconds * 1e3);
            self.judge(case, query, &answer.posteriors);
            tell(line(case, query, &answer.posteriors, seconds))?;
            methods.insert(format!("{:?}", answer.method));
        }
        self.method = methods.into_iter().collect::<Vec<String>>().join(", ");
        self.peak_mib = peak_mib().unwrap_or(f64::NAN);
        Ok(())
    }

    fn judge(&mut self, case: &Case, query: &Query, found: &Posteriors) {
        for (variable, expected) in case.model.variables().zip(&query.marginals) {
            let found = found.marginal(variable).expect("all were asked for");
            for (found, expected) in found.iter().zip(expected) {
                self.marginal_error = worse(self.marginal_error, found - expected);
            }
        }
        if let Some(expected) = query.log_evidence {
            self.log_error = worse(self.log_error, found.log_evidence() - expected);
        }
    }

    /// A session that has answered `evidence` is told of `more`, and then of `evidence` again, in turns.
    fn changed(
        &mut self,
        tree: &Tree,
        evidence: &Evidence,
        more: &Evidence,
        target: VarId,
    ) -> Result<(), Box<dyn Error>> {
        let mut session = Session::new(tree);
        session.propagate(evidence)?;
        let mut turn = false;
        let mut next = || {
            turn = !turn;
            if turn { more } else { evidence }
        };
        let (_, all) = timed(|| session.propagate(next()))?;
        let (_, one) = timed(|| session.propagate_for(next(), &[target]))?;
        self.changed_ms.push(all * 1e3);
        self.one_ms.push(one * 1e3);
        Ok(())
    }
}

/// The larger error; one that is no number is the largest.
fn worse(so_far: f64, difference: f64) -> f64 {
    if difference.is_nan() { f64::INFINITY } else { f64::max(so_far, difference.abs()) }
}

/// The last answer, and the median time.
fn timed<T, E>(mut ask: impl FnMut() -> Result<T, E>) -> Result<(T, f64), E> {
    let (began, mut seconds) = (Instant::now(), Vec::new());
    loop {
        let started = Instant::now();
        let found = ask()?;
        seconds.push(started.elapsed().as_secs_f64());
        let long = began.elapsed().as_secs_f64() > SECONDS_PER_QUESTION && seconds.len() >= RUNS.0;
        if long || seconds.len() >= RUNS.1 || began.elapsed().as_secs_f64() > 1.0 {
            return Ok((found, median(&seconds)));
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn line(case: &Case, query: &Query, found: &Posteriors, seconds: f64) -> Value {
    let marginals: Map<String, Value> = case
        .model
        .variables()
        .map(|v| (case.model.name(v), json!(found.marginal(v).expect("all were asked for"))))
        .collect();
    let log = found.log_evidence();
    json!({"network": case.name, "query": query.id, "marginals": marginals, "log_prob_evidence": log, "seconds": seconds})
}

/// An answer found otherwise: all marginals in order, and `ln P(e)`.
struct Other {
    marginals: Vec<Vec<f64>>,
    log_evidence: f64,
}

/// The same question by another elimination: a tree for each state of one free variable, the answers added up.
fn other_way(model: &Model, query: &Query, bound: u64) -> Result<Other, Box<dyn Error>> {
    let fixed: Vec<VarId> = query.evidence.variables().collect();
    let chosen = model.variables().filter(|v| !fixed.contains(v) && model.states(*v) > 1);
    let Some(chosen) = chosen.min_by_key(|&v| (model.states(v), v)) else { return Err("nothing is free".into()) };
    let mut parts = Vec::new();
    for state in 0..model.states(chosen) {
        let mut evidence = query.evidence.clone();
        evidence.observe(chosen, state);
        match model.compile_given(&evidence, bound).and_then(|tree| tree.propagate(&Evidence::new())) {
            Ok(part) => parts.push(part),
            Err(InferenceError::Impossible) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let most = parts.iter().map(Posteriors::log_evidence).fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = parts.iter().map(|part| (part.log_evidence() - most).exp()).collect();
    let total: f64 = weights.iter().sum();
    let marginal = |v: VarId| {
        let mut sums = vec![0.0; model.states(v)];
        for (part, weight) in parts.iter().zip(&weights) {
            let values = part.marginal(v).expect("all were asked for");
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight / total * value);
        }
        sums
    };
    Ok(Other { marginals: model.variables().map(marginal).collect(), log_evidence: most + total.ln() })
}

fn distance(model: &Model, found: &Posteriors, other: &Other) -> f64 {
    let mut worst = worse(0.0, (found.log_evidence() - other.log_evidence) / (1.0 + other.log_evidence.abs()));
    for (v, expected) in model.variables().zip(&other.marginals) {
        let found = found.marginal(v).expect("all were asked for");
        worst = found.iter().zip(expected).fold(worst, |worst, (found, expected)| worse(worst, found - expected));
    }
    worst
}

/// A full assignment drawn from the network, a share of it as evidence; the same with one finding more; a variable still free.
fn drawn(network: &Network, random: &mut Random) -> (Evidence, Evidence, VarId) {
    let mut states: Vec<Option<usize>> = vec![None; network.len()];
    let mut stack: Vec<VarId> = network.variables().collect();
    while let Some(&v) = stack.last() {
        let waiting: Vec<VarId> = network.parents(v).iter().copied().filter(|p| states[p.index()].is_none()).collect();
        if !waiting.is_empty() {
            stack.extend(waiting);
            continue;
        }
        stack.pop();
        if states[v.index()].is_some() {
            continue;
        }
        let parents = network.parents(v).iter();
        let row = parents.fold(0, |row, p| row * network.states(*p).len() + states[p.index()].expect("drawn"));
        let count = network.states(v).len();
        let row = &network.table(v)[row * count..(row + 1) * count];
        let mut left = unit(random);
        let last = row.iter().rposition(|&p| p > 0.0).expect("a row sums to 1");
        let state = row.iter().position(|&p| {
            left -= p;
            left < 0.0 && p > 0.0
        });
        states[v.index()] = Some(state.unwrap_or(last));
    }
    let mut order: Vec<VarId> = network.variables().collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at as u64 + 1) as usize);
    }
    let count = ((network.len() as f64 * SHARE) as usize).clamp(1, network.len() - 2);
    let mut evidence = Evidence::new();
    for v in &order[..count] {
        evidence.observe(*v, states[v.index()].expect("all are drawn"));
    }
    let mut more = evidence.clone();
    more.observe(order[count], states[order[count].index()].expect("all are drawn"));
    (evidence, more, order[count + 1])
}

/// Uniform in [0, 1).
pub fn unit(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1u64 << 53) as f64
}

/// Begins the count of the process's largest memory anew. Elsewhere than on Linux it goes on.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
