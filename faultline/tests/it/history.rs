//! Imported history and what goes on when telemetry is live: told once, with its true onset, or not at all.
use faultline::explainer::answer;
use faultline::world::{control, own};
use faultline_engine::{Ask, Effect, Effects, Engine};
use faultline_estate::{Estate, Fault, Story};
use faultline_formats::{Decoded, Record, decode};
use faultline_model::facts::{AlertState, Decision, IncidentPhase, IncidentUpdate, Transition, Verdict};
use faultline_model::{
    AlertId, Canonical, Clock, Control, Encoding, Evaluation, HashSeed, Hlc, Kind, Millis, Payload, Position, RuleFile,
    RuleFiles, SourceId, TenantId,
};
use std::collections::BTreeMap;

const SEED: HashSeed = HashSeed(0x5eed);
const START: Millis = Millis(1_700_000_000_000);

/// A server that takes an estate's history and then its live telemetry.
struct Scene {
    engine: Engine,
    estate: Estate,
    stamp: Hlc,
    wall: Millis,
    offset: u64,
    alerts: Vec<Transition>,
    incidents: Vec<IncidentUpdate>,
    verdicts: Vec<Verdict>,
}

impl Scene {
    /// `fault` begins at `onset`, in seconds since the beginning of history.
    fn new(fault: Fault, onset: i64) -> Scene {
        let story = Story::demo(3, fault, START.plus(onset * 1_000));
        let mut it = Scene {
            engine: Engine::new(SEED),
            estate: Estate::new(story, START),
            stamp: Hlc::default(),
            wall: START,
            offset: 0,
            alerts: Vec::new(),
            incidents: Vec::new(),
            verdicts: Vec::new(),
        };
        let rules = RuleFiles {
            files: vec![RuleFile { name: "builtin.yml".into(), text: faultline_rules::BUILTIN.into() }],
            default_evaluation: Evaluation::Stream,
            ..RuleFiles::default()
        };
        it.push(control(Control::Started, Vec::new(), SEED));
        it.push(control(Control::Rules, rules.to_bytes(), SEED));
        it
    }

    fn push(&mut self, decoded: Decoded) {
        self.stamp = self.stamp.next(self.wall);
        self.offset += 1;
        let record = Record { at: Position { partition: 0, offset: self.offset }, stamp: self.stamp, decoded };
        let mut effects = Effects::default();
        self.engine.step(&[record], &mut effects);
        for effect in effects.list {
            match effect {
                Effect::Decided(_, Decision::Alert(transition)) => self.alerts.push(transition),
                Effect::Decided(_, Decision::Incident(update)) => self.incidents.push(update),
                Effect::Decided(_, Decision::Verdict(verdict)) => self.verdicts.push(verdict),
                Effect::Ask(id, Ask::Explain(evidence)) => {
                    self.push(own(Kind::Reply(id), answer(&evidence), SEED));
                }
                _ => {}
            }
        }
    }

    /// What happened by `to`, in steps of `step` ms; each agent's step is a body.
    fn send(&mut self, to: Millis, step: i64, from: Millis, clock: Clock) {
        let mut at = from;
        while at < to {
            at = at.plus(step);
            if clock == Clock::Live {
                self.wall = at;
            }
            for outgoing in self.estate.advance(at) {
                let source = SourceId([outgoing.site as u8 + 1; 16]);
                let kind = Kind::Telemetry { source, format: outgoing.format, encoding: Encoding::Identity, clock };
                self.push(decode(Payload { tenant: TenantId(0), kind, body: outgoing.body.into() }, SEED));
            }
            if clock == Clock::Live {
                self.push(own(Kind::Tick, Vec::new(), SEED));
            }
        }
    }

    /// History up to `history` seconds, in steps of `step` ms, a pause of `gap` seconds, and live telemetry of `live` seconds.
    fn play(&mut self, history: i64, step: i64, gap: i64, live: i64) {
        let end = START.plus(history * 1_000);
        self.wall = end.plus(gap * 1_000);
        self.send(end, step, START, Clock::Import);
        // Nobody sends the telemetry of the pause.
        self.estate.advance(self.wall);
        self.send(self.wall.plus(live * 1_000), 250, self.wall, Clock::Live);
    }

    /// What a sink hears of alerts: each change goes on from the last one that it heard of.
    fn told(&self) -> Vec<&Transition> {
        let mut states: BTreeMap<AlertId, AlertState> = BTreeMap::new();
        let told: Vec<&Transition> = self.alerts.iter().filter(|transition| !transition.imported).collect();
        for transition in &told {
            let known = states.insert(transition.alert, transition.to).unwrap_or_default();
            assert_eq!(known, transition.from, "{} {transition:?}", transition.name);
        }
        told
    }

    fn opened(&self) -> usize {
        let of = |phase| self.incidents.iter().filter(|update| update.phase == phase).count();
        of(IncidentPhase::Opened) - of(IncidentPhase::Merged)
    }
}

/// Ten minutes of history, the last of them an outage that goes on: one incident, told once, with the outage's own onset.
#[test]
fn an_outage_of_the_history_that_goes_on_is_one_incident() {
    for (fault, gap) in [(Fault::Errors, 0), (Fault::Errors, 8), (Fault::Silent, 2)] {
        let mut story = Scene::new(fault, 540);
        story.play(600, 1_000, gap, 60);
        let truth = story.estate.story().truth();
        let told = story.told();
        assert_eq!(story.opened(), 1, "{fault:?} {gap}: {:?}", story.incidents);
        let first = &story.incidents[0];
        let live = START.plus((600 + gap) * 1_000);
        assert!(first.at.since(live) < 1_000 && !first.imported, "{first:?}");
        let onset = told.iter().filter(|t| t.to == AlertState::Firing).map(|t| t.active_at).min().expect("an alert");
        assert!((0..15_000).contains(&onset.since(truth.onset)), "{fault:?} {gap}: {}", onset.since(truth.onset));
        let last = story.verdicts.last().expect("a verdict");
        let cause = last.causes.first().expect("a cause");
        assert_eq!(Some(&cause.entity), truth.culprits.first(), "{fault:?} {gap}: {last:?}");
        // An alert that has not ended is told once.
        let mut fired: Vec<_> =
            told.iter().filter(|t| t.to == AlertState::Firing).map(|t| (t.alert, t.occurrence)).collect();
        let count = fired.len();
        fired.sort();
        fired.dedup();
        assert_eq!(fired.len(), count);
    }
}

/// An outage of the history that ends soon after telemetry is live, or long before: sinks hear both ends or neither.
#[test]
fn sinks_hear_of_both_ends_or_of_none() {
    // The fault heals with the end of history: the estate that goes live is another, healthy one.
    for (gap, told) in [(0, true), (30, true), (3_000, false)] {
        let mut story = Scene::new(Fault::Errors, 540);
        story.play(600, 1_000, gap, 0);
        let fired = story.alerts.iter().filter(|t| t.to == AlertState::Firing).count();
        assert!(fired > 0, "something fires in the history");
        story.estate = Estate::new(Story::demo(3, Fault::None, Millis(0)), story.wall);
        story.send(story.wall.plus(90_000), 250, story.wall, Clock::Live);
        let heard = story.told();
        assert_eq!(!heard.is_empty(), told, "{gap}: {heard:?}");
        assert_eq!(story.opened(), usize::from(told), "{gap}");
        let groups = story.engine.overview().groups;
        let rules = groups.iter().flat_map(|group| &group.rules).filter_map(|rule| rule.alerting.as_ref());
        assert_eq!(rules.map(|rule| rule.alerts.len()).sum::<usize>(), 0, "{gap}: all is over");
    }
}

/// Bodies of ten seconds come site by site, each moving rule time: nobody's traffic is lost by that.
#[test]
fn the_order_of_history_is_no_absence() {
    let mut story = Scene::new(Fault::None, 0);
    story.play(600, 10_000, 1, 60);
    let fired: Vec<_> =
        story.alerts.iter().filter(|t| t.to == AlertState::Firing).map(|t| (&t.name, t.at, t.imported)).collect();
    assert!(fired.is_empty(), "{fired:?}");
}
