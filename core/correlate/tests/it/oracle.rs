//! The grouping against an independent recount: every pair of alerts compared, components by repeated painting.
use crate::{Calls, effect, transition};
use faultline_correlate::{Incidents, limits};
use faultline_model::facts::{AlertState, IncidentPhase};
use faultline_model::{Canonical, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// xorshift64*: enough for drawing scenarios, and the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Fewest calls from each service to each, by Floyd and Warshall.
fn distances(count: usize, calls: &BTreeSet<(usize, usize)>) -> Vec<Vec<u32>> {
    let mut d = vec![vec![99_u32; count]; count];
    (0..count).for_each(|i| d[i][i] = 0);
    calls.iter().for_each(|&(a, b)| d[a][b] = d[a][b].min(1));
    for k in 0..count {
        for i in 0..count {
            for j in 0..count {
                d[i][j] = d[i][j].min(d[i][k] + d[k][j]);
            }
        }
    }
    d
}

/// While nothing resolves, open incidents are the components of the relation between alerts, whatever the order of arrival.
#[test]
fn incidents_are_the_components() {
    for seed in 1..=60 {
        let mut draw = Draw(seed * 7919);
        let count = 4 + draw.below(16) as usize;
        let mut drawn = BTreeSet::new();
        for _ in 0..count + draw.below(12) as usize {
            drawn.insert((draw.below(count as u64) as usize, draw.below(count as u64) as usize));
        }
        let name = |i: usize| format!("s{i:02}");
        let mut calls = Calls::default();
        drawn.iter().for_each(|&(a, b)| calls.add(&name(a), &name(b)));
        let d = distances(count, &drawn);
        // Down from both ends to a common service; one of them may be that service.
        let hops = |a: usize, b: usize| (0..count).map(|c| d[a][c] + d[b][c]).min().expect("there are services");

        let mut incidents = Incidents::default();
        let mut alerts: Vec<(usize, i64)> = Vec::new();
        for step in 0..30 {
            let at = Millis(3_600_000 + step * 50_000);
            let onset = at.plus(-(draw.below(400_000) as i64));
            let entity = draw.below(count as u64) as usize;
            alerts.push((entity, onset.0));
            let fired = transition(&format!("A{step}"), &name(entity), AlertState::Firing, at, onset);
            let mut out = Vec::new();
            incidents.apply(&fired, effect(step as u64), &calls, &mut out);
            assert!(out.iter().all(|update| update.at == at && update.phase != IncidentPhase::Resolved));

            let mut paint: Vec<usize> = (0..alerts.len()).collect();
            loop {
                let before = paint.clone();
                for i in 0..alerts.len() {
                    for j in 0..alerts.len() {
                        let hops = hops(alerts[i].0, alerts[j].0);
                        let near = hops <= 2 && (alerts[i].1 - alerts[j].1).abs() <= limits::window(hops);
                        if near {
                            paint[i] = paint[i].min(paint[j]);
                        }
                    }
                }
                if paint == before {
                    break;
                }
            }
            let mut expected: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
            for (i, &colour) in paint.iter().enumerate() {
                expected.entry(colour).or_default().insert(format!("A{i}"));
            }
            let found: Vec<BTreeSet<String>> =
                incidents.open().map(|i| i.members().iter().map(|m| m.name.clone()).collect()).collect();
            assert_eq!(found, expected.into_values().collect::<Vec<_>>(), "seed {seed} step {step}");
        }
    }
}

/// Restoring the state from its bytes between any two steps changes nothing that follows; timers hold what they promise.
#[test]
fn state_survives_its_bytes_at_every_step() {
    for seed in 1..=20 {
        let mut draw = Draw(seed * 104_729);
        let mut calls = Calls::default();
        (0..14).for_each(|_| calls.add(&format!("s{}", draw.below(9)), &format!("s{}", draw.below(9))));
        let (mut whole, mut restored) = (Incidents::default(), Incidents::default());
        let mut now = Millis(1_000_000);
        let mut open: BTreeSet<_> = BTreeSet::new();
        for step in 0..300 {
            now = now.plus(draw.below(40_000) as i64);
            let run = |incidents: &mut Incidents, draw: &mut Draw| {
                let mut out = Vec::new();
                let mut asked = Vec::new();
                while let Some(at) = incidents.due().filter(|&at| at <= now) {
                    incidents.advance(at, &mut out);
                    asked.extend(incidents.explanations_due(at));
                    assert!(incidents.due().is_none_or(|due| due > at), "what was due is done");
                }
                let (alert, entity) = (draw.below(3), draw.below(9));
                let to = [AlertState::Firing, AlertState::Firing, AlertState::Ok][draw.below(3) as usize];
                let changed = transition(&format!("A{alert}"), &format!("s{entity}"), to, now, now);
                incidents.apply(&changed, effect(step), &calls, &mut out);
                asked.extend(incidents.explanations_due(now));
                if draw.below(4) > 0 {
                    let ids: Vec<_> = incidents.open().map(|i| (i.id(), i.revision())).collect();
                    ids.into_iter().for_each(|(id, revision)| incidents.answered(id, revision));
                }
                (out, asked)
            };
            let seed_here = draw.0;
            let first = run(&mut whole, &mut draw);
            let second = run(&mut restored, &mut Draw(seed_here));
            assert_eq!(first, second);
            restored = Incidents::from_bytes(&restored.to_bytes()).expect("it was just written");
            assert_eq!(whole.to_bytes(), restored.to_bytes());

            // Every incident opens once and ends once.
            for update in first.0 {
                match update.phase {
                    IncidentPhase::Opened => assert!(open.insert(update.id)),
                    IncidentPhase::Grew => assert!(open.contains(&update.id)),
                    IncidentPhase::Resolved | IncidentPhase::Merged => assert!(open.remove(&update.id)),
                }
            }
            assert!(whole.open().map(|incident| incident.id()).eq(open.iter().copied()));
        }
    }
}
