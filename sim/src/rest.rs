//! After the last fault: within a bounded number of rounds everything wanted is done, and all of it is consistent.
use crate::event::Event;
use crate::node::{DATA, Node, signer};
use crate::oracle::{Broken, broken};
use crate::receivers::Pipe;
use crate::run::{Sim, alertmanager};
use crate::senders::SENDERS;
use faultline::outputs::{Place, Tail};
use faultline::verify::check_on;
use faultline_host::Clock;
use faultline_model::facts::AlertState;
use faultline_sinks::{Cursor, Form, Runner, Stdout};
use std::path::Path;
use std::sync::Arc;

/// Rounds in which everything must come to rest.
const ROUNDS_MAX: usize = 80;

/// Runs without faults until nothing is left to do; then everything is compared.
pub fn come_to_rest(sim: &mut Sim) -> Result<(), Broken> {
    let Some(mut node) = sim.start()? else { return broken("start", "damage without a fault") };
    let tail = Tail(node.feed.clone());
    let mut places =
        ["stdout", "alertmanager-0"].map(|name| Place { cursors: node.cursors.clone(), name: name.to_string() });
    sim.told_from(places[0].load().ok().flatten())?;
    let mut pipe = Stdout::new(Pipe(sim.receivers.clone()), Form::Json);
    let mut told = alertmanager(&sim.receivers, sim.plan.seed);
    let clock = sim.clock.clone();
    let [first, second] = &mut places;
    let begun = [Runner::begin(&tail, first, &mut pipe, &*clock), Runner::begin(&tail, second, &mut told, &*clock)];
    let [Ok(mut lines), Ok(mut alerts)] = begun else { return broken("liveness", "a sink does not begin") };
    let mut rounds = 0;
    loop {
        if rounds == ROUNDS_MAX {
            let (wanted, waiting, asks) = (sim.senders.wanted(), sim.senders.waiting(), node.asks.len());
            return broken(
                "liveness",
                format!(
                    "after {ROUNDS_MAX} rounds: {wanted} bodies wanted, {waiting} answers awaited, {asks} asks open"
                ),
            );
        }
        rounds += 1;
        let retries = (0..SENDERS).map(Event::Retry);
        let round =
            [Event::Pass(2_000), Event::Turn, Event::Release, Event::Release, Event::Release, Event::Explain(0)];
        let after = [Event::Explain(0), Event::Publish, Event::Seal, Event::Prepare, Event::Keep];
        for event in retries.chain(round).chain(after) {
            if let Err(error) = sim.step(&mut node, event)? {
                return broken("ended", format!("at rest: {}", faultline::render::chain(&*error)));
            }
        }
        let leaves = node.feed.taken();
        for runner in [&mut lines, &mut alerts] {
            if let Err(ended) = runner.turn() {
                return broken("liveness", ended.to_string());
            }
        }
        if lines.has_caught_up() {
            sim.tells(leaves);
        }
        // Refused alerts are sent again after a minute.
        if rounds > 35 && node.is_quiet() && sim.senders.wanted() == 0 && sim.senders.waiting() == 0 {
            break;
        }
    }
    if places[0].load().ok().flatten() != Some(node.feed.taken()) {
        return broken("liveness", "the pipe's cursor is not at the end");
    }
    let (mut reader, leaves) = (node.reader(), node.world.leaves);
    sim.reading(|oracle| oracle.check(&mut *reader, &mut node.world.engine, leaves))?;
    if node.head().map(|head| head.size) != Some(leaves) {
        return broken("liveness", format!("the signed head does not cover all {leaves} leaves"));
    }
    if let Some((id, _)) = node.world.engine.unanswered().next() {
        return broken("liveness", format!("nobody answers {id}"));
    }
    check_alerts(sim)?;
    let lines = sim.receivers.told().lines.clone();
    sim.oracle.check_lines(&lines)?;
    sim.coverage.add("work", "rounds until rest", rounds as u64);
    end(sim, node)
}

/// A clean end, and what `verify` says then.
fn end(sim: &mut Sim, node: Node) -> Result<(), Broken> {
    match node.stop() {
        Ok(head) => head.map_or(Ok(()), |head| sim.oracle.signed(head))?,
        Err(error) => return broken("ended", format!("at a clean stop: {}", faultline::render::chain(&*error))),
    }
    sim.disk.memory.kill();
    let disk = Arc::new(sim.disk.memory.clone());
    let report = check_on(disk, Path::new(DATA), signer().verifier());
    sim.coverage.add("work", "anchors found again by verify", report.anchors);
    sim.coverage.add("work", "leaves compared by verify", report.leaves);
    match report.difference {
        Some(difference) => broken("verify", difference),
        None if !report.unsealed.is_empty() => broken("verify", format!("{:?} have no leaf", report.unsealed)),
        None => Ok(()),
    }
}

/// Alertmanager knows of every alert that fires, and takes none for firing that does not.
fn check_alerts(sim: &Sim) -> Result<(), Broken> {
    let told = sim.receivers.told();
    let now = sim.clock.now().to_string();
    let firing = |state: AlertState| state == AlertState::Firing;
    for (state, labels) in sim.oracle.alerts.values() {
        let labels = labels.without_name();
        let key: serde_json::Map<String, serde_json::Value> =
            labels.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let key = serde_json::Value::Object(key).to_string();
        let stands = told.alerts.get(&key).is_some_and(|(_, end)| *end > now);
        if firing(*state) && !stands {
            return broken("alerts", format!("{key} fires and Alertmanager does not know"));
        }
        // In a time that has jumped, the end that was told first need not be the end.
        let unknown = *state == AlertState::Unknown;
        if !firing(*state) && !unknown && stands && !sim.jumped {
            return broken("alerts", format!("{key} is over and Alertmanager takes it for firing"));
        }
    }
    Ok(())
}
