//! Bounds hold, are counted, and storms cost what they should.
use crate::{Calls, effect, transition};
use faultline_correlate::{Incidents, limits};
use faultline_model::facts::AlertState;
use faultline_model::{Canonical, Millis};

fn fire(incidents: &mut Incidents, calls: &Calls, offset: u64, name: &str, entity: &str) -> usize {
    let at = Millis(1_000_000);
    let mut out = Vec::new();
    incidents.apply(&transition(name, entity, AlertState::Firing, at, at), effect(offset), calls, &mut out);
    out.len()
}

#[test]
fn an_incident_holds_so_many_alerts() {
    let mut incidents = Incidents::default();
    let calls = Calls::default();
    for i in 0..limits::ALERTS_MAX as u64 + 5 {
        fire(&mut incidents, &calls, i, &format!("A{i}"), "pay");
    }
    assert_eq!((incidents.open().len(), incidents.refused().alerts), (1, 5));
    assert_eq!(incidents.open().next().map(|i| i.members().len()), Some(limits::ALERTS_MAX));
}

#[test]
fn a_merge_over_the_bound_is_refused() {
    let mut incidents = Incidents::default();
    let mut calls = Calls::default();
    calls.add("a", "b");
    for i in 0..600 {
        fire(&mut incidents, &Calls::default(), 2 * i, &format!("A{i}"), "a");
        fire(&mut incidents, &Calls::default(), 2 * i + 1, &format!("B{i}"), "b");
    }
    fire(&mut incidents, &calls, 5000, "C", "b");
    assert_eq!((incidents.open().len(), incidents.refused().merges), (2, 1));
}

#[test]
fn so_many_incidents_are_open() {
    let mut incidents = Incidents::default();
    let calls = Calls::default();
    for i in 0..limits::OPEN_MAX as u64 + 3 {
        fire(&mut incidents, &calls, i, "A", &format!("s{i}"));
    }
    assert_eq!((incidents.open().len(), incidents.refused().incidents), (limits::OPEN_MAX, 3));
    assert_eq!(incidents.explanations_due(Millis(1_000_000)).len(), limits::OPEN_MAX);
    assert_eq!(incidents.due(), None, "all wait for an answer");
}

#[test]
fn so_many_entities_are_compared() {
    let mut incidents = Incidents::default();
    let mut calls = Calls::default();
    for i in 0..limits::COMPARED_MAX as u64 + 10 {
        fire(&mut incidents, &calls, i, "A", &format!("s{i:04}"));
    }
    assert_eq!(incidents.refused().comparisons, 9);
    calls.add("web", "s0000");
    calls.add("web", "s1030");
    fire(&mut incidents, &calls, 5000, "A", "web");
    let found = incidents.open().find(|incident| incident.entities().contains(&"web".to_string()));
    assert_eq!(found.map(|incident| incident.entities()), Some(vec!["s0000".into(), "web".into()]));
    // Alerts of one entity find one another all the same.
    fire(&mut incidents, &calls, 5001, "B", "s1030");
    assert_eq!(incidents.open().len(), limits::COMPARED_MAX + 10);
}

#[test]
fn foreign_bytes_are_refused() {
    let mut incidents = Incidents::default();
    let calls = Calls::default();
    (0..3).for_each(|i| {
        fire(&mut incidents, &calls, i, "A", &format!("s{i}"));
    });
    let bytes = incidents.to_bytes();
    for cut in 0..bytes.len() {
        assert!(Incidents::from_bytes(&bytes[..cut]).is_err());
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        // Either refused, or other state with bytes of its own: never two byte forms of one state.
        if let Ok(other) = Incidents::from_bytes(&flipped) {
            assert_eq!(other.to_bytes(), flipped);
        }
    }
}
