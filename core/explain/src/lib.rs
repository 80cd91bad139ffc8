//! An incident's frozen evidence into a verdict: who is at fault, how surely, and what says so.
//!
//! The problem: one fault shows in many services, and the loudest is seldom the one at fault. The idea: three symptoms
//! travel between services in known directions. Latency and errors flow from callee to caller; work that stays away flows
//! from caller to callee. [`flow`] measures on each call which share of a service's excess the other side explains. A
//! Bayesian network over the calls ([`build`]) then weighs these shares against what each service shows of itself (time of
//! its own, errors of its own, work taken and not finished) and against recent changes; its posterior is exact
//! (`faultline-bayes`). A part of the graph that is too dense is first narrowed, then answered by enumerating at most two
//! faults, and the verdict says so in `method`.
//!
//! Limits: posteriors come as the network gives them, with what came of others like them ([`reliability`]); latency is taken to add up over calls, so a parallel fan-out shares its blame; every
//! number is in [`config`], frozen before unseen cases are run.
//!
//! Further reading: Bahl et al., "Towards highly reliable enterprise network services via inference of multi-level
//! dependencies" (Sherlock), SIGCOMM 2007.
#![no_std]
extern crate alloc;

mod build;
mod channels;
mod checks;
mod clean;
mod config;
mod cycles;
mod descent;
mod enumerate;
mod events;
mod flow;
mod infer;
mod learn;
mod likelihood;
mod model;
mod rank;
pub mod reliability;
mod resources;
mod strengths;
mod subtract;
mod verdict;
mod what_if;
mod words;

pub use learn::{TYPES_MAX, learn, lesson};
pub use strengths::strength;

use faultline_model::facts::{Evidence, Verdict};

/// Explains an incident.
///
/// Pure and total: the same evidence gives the same verdict on any machine; evidence that is empty, contradictory or not
/// even finite gives an honest unknown. Names are opaque: they order ties and appear in words, nothing else.
pub fn explain(evidence: &Evidence) -> Verdict {
    let scene = clean::Scene::new(evidence);
    let mut channels = channels::read(&scene);
    let flows = flow::attribute(&scene, &channels);
    subtract::complete(&scene, &mut channels, &flows);
    let compiled = infer::compile(build::build(&scene, &channels, &flows), scene.knows_hosts);
    let answer = infer::infer(&compiled);
    let ranking = rank::rank(&scene, &answer);
    verdict::verdict(evidence, &scene, &channels, &flows, &answer, &ranking)
}
