//! Who answers for the violation: posterior times the way to it, then the share of the excess that begins there.
use crate::clean::Scene;
use crate::config::TIE;
use crate::infer::Answer;
use crate::model::Role;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::float;

/// One cause that could answer for it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Its variable: a fault of a service or of a way.
    pub var: usize,
    pub posterior: f64,
    /// Posterior times the mean over the violated services of the strongest chain of causes from there.
    pub responsibility: f64,
    /// Share of the excess that begins here.
    pub share: f64,
    /// Variables from the violated service that it explains best, another one than itself where there is one, to itself.
    pub path: Vec<usize>,
}

impl Candidate {
    /// How responsible it would be under other posteriors: the way to it stays.
    pub fn responsibility_under(&self, posteriors: &[f64]) -> f64 {
        self.responsibility * posteriors[self.var] / float::max(self.posterior, 1e-12)
    }
}

/// All candidates, most responsible first.
pub(crate) fn rank(scene: &Scene, answer: &Answer) -> Vec<Candidate> {
    let model = answer.model;
    let (shares, flow) = shares(scene, answer);
    let mut candidates: Vec<Candidate> = Vec::new();
    // An alert that is likely false asks for no cause.
    let weight = |target: usize| if scene.first { 1.0 } else { float::max(answer.posteriors[target], 1e-12) };
    let chains: Vec<_> =
        model.targets.iter().map(|&target| (target, weight(target), model.strengths(target))).collect();
    let weights: f64 = chains.iter().map(|(_, weight, _)| weight).sum();
    for (at, var) in model.vars.iter().enumerate() {
        let share = match var.role {
            Role::Fault(node) => shares[node],
            Role::Link(_) => flow[at],
            Role::Host(host) => scene.hosts[host].services.iter().map(|&node| shares[node]).sum(),
            Role::Degraded(_) | Role::Lost(_) | Role::Trouble(_) => continue,
        };
        let (mut sum, mut best, mut path) = (0.0, (false, 0.0), Vec::new());
        for (target, weight, (strength, before)) in &chains {
            sum += weight * strength[at];
            let other = model.vars[*target].role.node() != var.role.node();
            if strength[at] > 0.0 && (other, strength[at]) > best {
                best = (other, strength[at]);
                path = vec![at];
                while let Some(next) = before[path[path.len() - 1]] {
                    path.push(next);
                }
                path.reverse();
            }
        }
        // Who is there for the host that it shares with others answers for nothing.
        if path.is_empty() && scene.knows_hosts {
            continue;
        }
        let posterior = answer.posteriors[at];
        let responsibility = posterior * sum / float::max(weights, 1e-12);
        candidates.push(Candidate { var: at, posterior, responsibility, share, path });
    }
    // Responsibilities in one step of `TIE` are a tie.
    let step = |candidate: &Candidate| float::floor(candidate.responsibility / TIE);
    candidates.sort_by(|a, b| {
        float::order(step(b), step(a))
            .then(float::order(b.share, a.share))
            .then(float::order(b.responsibility, a.responsibility))
            .then(a.var.cmp(&b.var))
    });
    candidates
}

/// Share of the violated services' excess that begins at each service: flow from each of them, followed to where it stays; and
/// the flow that reached each variable.
fn shares(scene: &Scene, answer: &Answer) -> (Vec<f64>, Vec<f64>) {
    let model = answer.model;
    let mut flow = vec![0.0; model.vars.len()];
    for &target in &model.targets {
        flow[target] += 1.0 / model.targets.len() as f64;
    }
    let mut shares = vec![0.0; scene.nodes.len()];
    // Effects come after their causes: backwards, all that flows to a variable has arrived when it is met.
    for (at, var) in model.vars.iter().enumerate().rev() {
        let (Role::Degraded(node) | Role::Lost(node)) = var.role else { continue };
        let flowing = || var.causes.iter().filter(|arc| arc.flows).filter_map(|arc| Some((arc.cause, arc.share?)));
        let through: f64 = flowing().map(|(_, share)| share).sum();
        let whole = float::max(1.0, through + var.own.unwrap_or(0.0));
        for (cause, share) in flowing() {
            flow[cause] += flow[at] * share / whole;
        }
        shares[node] += flow[at] * (1.0 - through / whole);
    }
    (shares, flow)
}
