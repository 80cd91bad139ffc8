//! What to look at next: the observation that is expected to take away most of what is still open.
//!
//! What is open is the entropy over all causes, each for itself: `H = sum of h(P(cause))`. The answer to a question with `P(yes) = p`
//! is expected to leave `p H(yes) + (1 - p) H(no)`. Asked is what telemetry has not answered: whether a service or a way is at fault, and
//! how a service is that sends nothing.
//! Source: Lindley, "On a measure of the information provided by an experiment", Annals of Mathematical Statistics 27, 1956; Heckerman,
//! Breese, Rommelse, "Decision-theoretic troubleshooting", Communications of the ACM 38, 1995.
use crate::clean::Scene;
use crate::config::{CERTAIN, CHECKS_ENTRIES, CHECKS_MAX, CHECKS_TRIED, CUT_MIN, OPEN_MIN};
use crate::infer::Answer;
use crate::likelihood::clamp;
use crate::model::Role;
use crate::rank::Candidate;
use crate::words;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::facts::{Check, Leader, Telemetry};
use faultline_model::float;

/// The most telling checks, best first; none where the causes are as good as known.
pub(crate) fn checks(scene: &Scene, answer: &Answer, ranking: &[Candidate]) -> Vec<Check> {
    let model = answer.model;
    let causes: Vec<usize> = ranking.iter().map(|candidate| candidate.var).collect();
    let open = |posteriors: &[f64]| causes.iter().map(|&at| entropy(posteriors[at])).sum::<f64>();
    let now = open(&answer.posteriors);
    if now < OPEN_MIN {
        return Vec::new();
    }
    let unmeasured = |at: &usize| match model.vars[*at].role {
        Role::Degraded(node) => !model.vars[*at].on && !scene.nodes[node].reports(),
        _ => false,
    };
    let mut questions: Vec<usize> = (0..model.vars.len()).filter(unmeasured).chain(causes.iter().copied()).collect();
    let unsure = |at: usize| entropy(answer.posteriors[at]);
    questions.sort_by(|&a, &b| float::order(unsure(b), unsure(a)).then(a.cmp(&b)));
    let affordable = (CHECKS_ENTRIES / u64::max(answer.entries(), 1)) as usize;
    questions.truncate(affordable.clamp(1, CHECKS_TRIED));
    let mut checks: Vec<(f64, Check)> = Vec::new();
    for at in questions {
        let likely = answer.posteriors[at];
        let (yes, no) = answers(answer, at);
        let cut = (now - likely * open(&yes) - (1.0 - likely) * open(&no)) / now;
        if cut >= CUT_MIN {
            let (entity, question) = asked(scene, model.vars[at].role);
            let first = |posteriors: &[f64]| outcome(scene, answer, ranking, posteriors);
            let (yes, no) = (first(&yes), first(&no));
            checks.push((cut, Check { entity, question, likely, cut: float::min(cut, 1.0), yes, no }));
        }
    }
    checks.sort_by(|(a, _), (b, _)| float::order(*b, *a));
    checks.truncate(CHECKS_MAX);
    checks.into_iter().map(|(_, check)| check).collect()
}

/// The posteriors after yes and after no. Both average to what is now, so only the less likely one is asked for: dividing by the
/// other's probability, at least a half, keeps the digits.
fn answers(answer: &Answer, at: usize) -> (Vec<f64>, Vec<f64>) {
    let likely = answer.posteriors[at];
    let rest = |less: f64, asked: &[f64]| -> Vec<f64> {
        let pairs = answer.posteriors.iter().zip(asked);
        pairs.map(|(now, then)| clamp((now - less * then) / (1.0 - less), 0.0, 1.0)).collect()
    };
    if likely < 0.5 {
        let yes = answer.with(&[(at, CERTAIN)]);
        let no = rest(likely, &yes);
        (yes, no)
    } else {
        let no = answer.with(&[(at, -CERTAIN)]);
        let yes = rest(1.0 - likely, &no);
        (yes, no)
    }
}

/// Entropy of a yes or no, in nats.
fn entropy(p: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * float::ln(p) } else { 0.0 };
    part(p) + part(1.0 - p)
}

/// Who comes first under other posteriors.
fn outcome(scene: &Scene, answer: &Answer, ranking: &[Candidate], posteriors: &[f64]) -> Leader {
    let led = |candidate: &Candidate| candidate.responsibility_under(posteriors);
    let first = ranking.iter().fold(None, |first: Option<&Candidate>, next| match first {
        Some(best) if led(best) >= led(next) => first,
        _ => Some(next),
    });
    first.map_or(Leader { entity: String::new(), posterior: 0.0 }, |first| Leader {
        entity: name(scene, answer.model.vars[first.var].role),
        posterior: posteriors[first.var],
    })
}

fn name(scene: &Scene, role: Role) -> String {
    match role {
        Role::Link(edge) => words::way(scene, edge),
        Role::Host(host) => scene.hosts[host].name.to_string(),
        Role::Fault(node) | Role::Trouble(node) | Role::Degraded(node) | Role::Lost(node) => {
            scene.nodes[node].name.to_string()
        }
    }
}

/// What to look at, and the question, with why telemetry has not answered it.
fn asked(scene: &Scene, role: Role) -> (String, String) {
    let question = match role {
        Role::Link(_) => "does the way between them take long?".to_string(),
        Role::Host(host) => {
            let services = scene.hosts[host].services.len();
            format!("is this host at fault, on which {services} of the services run?")
        }
        Role::Degraded(_) | Role::Lost(_) | Role::Trouble(_) => {
            "is it slow or failing, seen from where it runs?".to_string()
        }
        Role::Fault(node) => {
            let it = &scene.nodes[node];
            let lacks = [(it.resources.is_empty(), "its resources"), (!it.error_logs.known, "its logs")];
            let lacks: Vec<&str> = lacks.iter().filter(|(lacks, _)| *lacks).map(|(_, what)| *what).collect();
            match (it.telemetry, lacks.is_empty()) {
                (Telemetry::Peer, _) => {
                    "is it at fault itself? It sends nothing, only its callers tell of it".to_string()
                }
                (Telemetry::Silent, _) => "is it down? It has stopped sending".to_string(),
                (Telemetry::Reporting, true) => "is it at fault itself?".to_string(),
                (Telemetry::Reporting, false) => {
                    format!("is it at fault itself? Nothing is known of {}", lacks.join(" and "))
                }
            }
        }
    };
    (name(scene, role), question)
}
