//! Hypotheses of at most two faults, one after the other: the way out where the exact tree is too large.
//!
//! For each hypothesis effects are computed forwards, causes taken as independent given the faults, and measured signs are
//! weighed at what they then should be. Approximate; the verdict says so.
//! Source: Bahl et al. (Sherlock, "Ferret"), SIGCOMM 2007, section 4.
use crate::config::NARROW_NODES;
use crate::likelihood::mixture;
use crate::model::Model;
use alloc::vec;
use alloc::vec::Vec;
use faultline_model::float;

/// P(on | evidence) of each variable.
///
/// - `nats`: evidence per variable, instead of the model's own.
pub(crate) fn posteriors(model: &Model, nats: &[f64]) -> Vec<f64> {
    let prior = |at: usize| float::ln(model.vars[at].base / (1.0 - model.vars[at].base)) + nats[at];
    let mut suspects: Vec<usize> = (0..model.vars.len()).filter(|&at| model.vars[at].role.is_cause()).collect();
    suspects.sort_by(|&a, &b| float::order(prior(b), prior(a)).then(a.cmp(&b)));
    suspects.truncate(NARROW_NODES);
    let mut hypotheses: Vec<Vec<usize>> = vec![Vec::new()];
    hypotheses.extend(suspects.iter().map(|&a| vec![a]));
    for (place, &a) in suspects.iter().enumerate() {
        hypotheses.extend(suspects[place + 1..].iter().map(|&b| vec![a, b]));
    }
    let mut on = vec![vec![0.0; model.vars.len()]; hypotheses.len()];
    let mut scores = Vec::with_capacity(hypotheses.len());
    for (hypothesis, on) in hypotheses.iter().zip(&mut on) {
        let mut score = hypothesis.iter().map(|&at| prior(at)).sum::<f64>();
        for (at, var) in model.vars.iter().enumerate() {
            if var.role.is_cause() {
                on[at] = f64::from(u8::from(hypothesis.contains(&at)));
                continue;
            }
            let off = var.causes.iter().fold(1.0 - var.base, |off, arc| off * (1.0 - arc.strength * on[arc.cause]));
            let likely = if var.on { 1.0 - off } else { (1.0 - off) * float::exp(nats[at]) + off };
            score += float::ln(float::max(likely, 1e-300));
            // What was measured of a variable says how likely it is on, and with that what it passes on.
            on[at] = if var.on { 1.0 } else { (1.0 - off) * float::exp(nats[at]) / likely };
        }
        scores.push((1.0, score));
    }
    let (_, weights) = mixture(&scores);
    let mut posteriors = vec![0.0; model.vars.len()];
    for (on, weight) in on.iter().zip(weights) {
        for (sum, on) in posteriors.iter_mut().zip(on) {
            *sum += on * weight;
        }
    }
    posteriors
}
