//! Samples that come late revise: what the ledger says in the end of alerts that fired is what an engine says that got all samples in
//! time. Whatever else comes in place of the answer changes nothing.
use crate::journal::{SEED, effect_bytes};
use faultline::reviser;
use faultline::world::{control, own};
use faultline_engine::{Ask, Effect, Effects, Engine, Revise};
use faultline_formats::{Decoded, Record, decode, encode};
use faultline_host::Random;
use faultline_model::facts::{AlertState, Decision, Outcome, Revision, Stretch, Unrevised};
use faultline_model::{
    AlertId, Canonical, Clock, Control, Digest, EffectId, Encoding, Format, Hlc, Kind, Labels, Millis, Occurred,
    Occurrence, Payload, Position, Revisited, RuleFile, RuleFiles, Sample, SourceId, TenantId,
};
use faultline_serve::recent::{Limits, Recent};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

const START: Millis = Millis(1_700_000_000_000);
/// Times of fired and ended that differ by no more are the same: a minute, and the interval.
const TOLERANCE_MS: i64 = 60_000 + 5_000;

/// An engine, the recent store beside it, and all that went in and came out.
struct Run {
    engine: Engine,
    recent: Recent,
    records: Vec<Record>,
    effects: Vec<u8>,
    decided: Vec<Decision>,
    stamp: Hlc,
    asked: Option<(EffectId, Revise)>,
    questions: usize,
}

impl Run {
    fn new() -> Run {
        Run {
            engine: Engine::new(SEED),
            recent: Recent::new(Limits::default()),
            records: Vec::new(),
            effects: Vec::new(),
            decided: Vec::new(),
            stamp: Hlc::default(),
            asked: None,
            questions: 0,
        }
    }

    /// Steps over a record; says how many events it refused.
    fn push(&mut self, wall: Millis, decoded: Decoded) -> u64 {
        self.stamp = self.stamp.next(wall);
        let at = Position { partition: 0, offset: self.records.len() as u64 };
        let record = Record { at, stamp: self.stamp, decoded };
        let mut effects = Effects::default();
        self.engine.step(std::slice::from_ref(&record), &mut effects);
        self.records.push(record);
        self.effects.extend(effect_bytes(&effects));
        let mut refused = 0;
        for effect in effects.list {
            match effect {
                Effect::Accepted(it) => self.recent.accept(it.created, &it.samples, &it.histograms, &it.evicted),
                Effect::Ask(id, Ask::Revise(asked)) => {
                    (self.asked, self.questions) = (Some((id, *asked)), self.questions + 1);
                }
                Effect::Rejected(it) => refused += it.reject.count,
                Effect::Decided(_, decision) => self.decided.push(decision),
                _ => {}
            }
        }
        refused
    }

    fn restore(&mut self) {
        let checkpoint = self.engine.checkpoint();
        self.engine = Engine::restore(checkpoint.clone()).expect("just written");
        assert_eq!(self.engine.checkpoint().first_difference(&checkpoint), None);
        let open = self.engine.unanswered().find_map(|(id, ask)| match ask {
            Ask::Revise(it) => Some((id, *it)),
            _ => None,
        });
        assert_eq!(open, self.asked, "it is asked again");
    }

    /// What the store says to what was asked.
    fn answer(&self) -> (EffectId, Vec<u8>) {
        let (id, asked) = self.asked.as_ref().expect("it asked");
        (*id, reviser::answer(&self.recent, asked, &AtomicBool::new(false)).expect("nobody stops it"))
    }

    /// Answers what is asked, until nothing is.
    fn answer_all(&mut self, now: Millis) {
        while self.asked.is_some() {
            let (id, body) = self.answer();
            self.asked = None;
            assert_eq!(self.push(now, reply(id, body)), 0);
        }
    }

    fn revisions(&self) -> impl Iterator<Item = &Revision> {
        self.decided.iter().filter_map(|it| if let Decision::Revision(it) = it { Some(it) } else { None })
    }

    fn unrevised(&self) -> impl Iterator<Item = &Unrevised> {
        self.decided.iter().filter_map(|it| if let Decision::Unrevised(it) = it { Some(it) } else { None })
    }

    /// The same records in other batches, restored on the way: the same effects, the same state.
    fn check_law(&mut self, random: &mut Random) {
        let (mut again, mut effects, mut from) = (Engine::new(SEED), Vec::new(), 0);
        while from < self.records.len() {
            let to = (from + 1 + random.below(40) as usize).min(self.records.len());
            let mut out = Effects::default();
            again.step(&self.records[from..to], &mut out);
            effects.extend(effect_bytes(&out));
            from = to;
            if random.below(4) == 0 {
                again = Engine::restore(again.checkpoint()).expect("just written");
            }
        }
        assert!(effects == self.effects, "other effects");
        assert_eq!(again.checkpoint().first_difference(&self.engine.checkpoint()), None);
    }
}

fn reply(id: EffectId, body: Vec<u8>) -> Decoded {
    own(Kind::Reply(id), body, SEED)
}

fn tick() -> Decoded {
    own(Kind::Tick, Vec::new(), SEED)
}

fn rules(groups: &str) -> Decoded {
    let files = vec![RuleFile { name: "r.yml".into(), text: format!("groups:\n{groups}") }];
    let external_labels = vec![("cluster".into(), "test".into())];
    control(Control::Rules, RuleFiles { files, external_labels, ..RuleFiles::default() }.to_bytes(), SEED)
}

fn sent(series: &[(Labels, Vec<Sample>)]) -> Decoded {
    let plain = encode::write_request(series.iter().map(|(labels, samples)| (labels, &samples[..])));
    let (format, encoding, clock) = (Format::RemoteWrite1, Encoding::Identity, Clock::Live);
    let kind = Kind::Telemetry { source: SourceId([1; 16]), format, encoding, clock };
    decode(Payload { tenant: TenantId(0), kind, body: plain.into() }, SEED)
}

fn labels(series: usize) -> Labels {
    Labels::new([("__name__", "x"), ("i", &*series.to_string())])
}

/// What fired, as the ledger has it in the end: what was decided, and what was said of it since. With each whether it was revised.
#[derive(Default)]
struct Told {
    occurrences: BTreeMap<(AlertId, Occurrence), (Labels, Option<Stretch>, bool)>,
    missed: BTreeMap<AlertId, (Labels, Vec<Stretch>)>,
}

impl Told {
    fn of(decided: &[Decision]) -> Told {
        let mut it = Told::default();
        for decision in decided {
            match decision {
                Decision::Alert(t) => {
                    let missed = it.missed.get_mut(&t.alert).map(|(_, all)| &mut all[..]).unwrap_or_default();
                    let fresh = Stretch { active_at: t.active_at, fired_at: None, resolved_at: None };
                    let entry = it.occurrences.entry((t.alert, t.occurrence));
                    let (_, stretch, _) = entry.or_insert_with(|| (t.labels.clone(), Some(fresh), false));
                    for stretch in missed.iter_mut().chain(stretch).filter(|it| it.resolved_at.is_none()) {
                        match t.to {
                            AlertState::Firing => drop(stretch.fired_at.get_or_insert(t.at)),
                            AlertState::Ok => stretch.resolved_at = Some(t.at),
                            _ => {}
                        }
                    }
                }
                Decision::Revision(r) if r.outcome != Outcome::Confirmed => it.revise(r),
                _ => {}
            }
        }
        it
    }

    fn revise(&mut self, r: &Revision) {
        if let Some(occurrence) = r.occurrence {
            let (_, stretch, revised) = self.occurrences.get_mut(&(r.alert, occurrence)).expect("it was told");
            (*stretch, *revised) = (r.after, true);
            return;
        }
        let (_, all) = self.missed.entry(r.alert).or_insert_with(|| (r.labels.clone(), Vec::new()));
        if let Some(before) = r.before {
            let place = all.iter().position(|it| it.fired_at == before.fired_at).expect("it was said");
            all.remove(place);
        }
        all.extend(r.after);
    }

    /// By labels, in time: those that fired.
    fn fired(&self) -> BTreeMap<String, Vec<(Stretch, bool)>> {
        let mut all: BTreeMap<String, Vec<(Stretch, bool)>> = BTreeMap::new();
        for (labels, stretch, revised) in self.occurrences.values() {
            all.entry(labels.to_string()).or_default().extend(stretch.map(|it| (it, *revised)));
        }
        for (labels, stretches) in self.missed.values() {
            all.entry(labels.to_string()).or_default().extend(stretches.iter().map(|it| (*it, true)));
        }
        all.retain(|_, stretches| {
            stretches.retain(|(it, _)| it.fired_at.is_some());
            stretches.sort();
            !stretches.is_empty()
        });
        all
    }
}

const RULES: &str = "- name: g
  interval: 5s
  rules:
  - {alert: High, expr: 'x > 5', labels: {of: '{{ $labels.i }}'}}
  - {alert: HighLong, expr: 'x > 5', for: 90s}
  - {alert: HighLong, expr: 'x > 7', for: 30s, labels: {severity: page}}
  - {alert: Mean, expr: 'avg_over_time(x[2m]) > 4', for: 20s}
  - {alert: Few, expr: 'count_over_time(x[1m]) < 5'}
  - {alert: Sum, expr: 'sum(x) > 12', for: 1m, labels: {cluster: own}}
- name: h
  interval: 15s
  query_offset: 10s
  rules:
  - {alert: Ratio, expr: 'x{i=\"0\"} / on () sum(max_over_time(x[3m])) > 0.3', for: 30s}
";

/// One story: all series, and which of their samples come late, and when.
struct Story {
    /// When a sample comes, its series, and the sample.
    samples: Vec<(Millis, usize, Sample)>,
    end: Millis,
}

fn story(random: &mut Random) -> Story {
    let length = 1_500_000 + random.below(600_000) as i64;
    let mut samples = Vec::new();
    for series in 0..3 {
        let (mut time, mut level, mut until) = (START.plus(random.below(5_000) as i64), 0.0, START);
        // Whole stretches that come late, and single samples.
        let mut away = (START, START, START);
        while time < START.plus(length) {
            if time >= until {
                level = random.below(10) as f64;
                until = time.plus(20_000 + random.below(240_000) as i64);
            }
            if time > away.1 && time > START.plus(200_000) && random.below(25) == 0 {
                let end = time.plus(random.below(150_000) as i64);
                away = (time, end, end.plus(61_000 + random.below(60_000) as i64));
            }
            let late = time.plus(61_000 + random.below(200_000) as i64);
            let comes = match () {
                () if (away.0..=away.1).contains(&time) => away.2,
                () if time > START.plus(200_000) && random.below(30) == 0 => late,
                () => time,
            };
            samples.push((comes, series, Sample::new(time, level + random.below(3) as f64 / 2.0)));
            time = time.plus(1 + random.below(9_000) as i64);
        }
    }
    // What comes late comes in any order.
    let mut keyed: Vec<(Millis, u64, usize, Sample)> =
        samples.into_iter().map(|(at, series, sample)| (at, random.below(1 << 30), series, sample)).collect();
    keyed.sort_by_key(|it| (it.0, it.1));
    let samples = keyed.into_iter().map(|(at, _, series, sample)| (at, series, sample)).collect();
    Story { samples, end: START.plus(length + 600_000) }
}

/// Counts of outcomes, by their words.
type Counts = BTreeMap<&'static str, usize>;

/// Plays a story twice, with all samples in time and with some late, and holds what the ledger says against what it would say.
fn check(seed: u64, counts: &mut Counts) {
    let mut random = Random::seeded(seed);
    let story = story(&mut random);
    let (mut whole, mut late) = (Run::new(), Run::new());
    for run in [&mut whole, &mut late] {
        run.push(START, rules(RULES));
    }
    let mut in_time = story.samples.clone();
    in_time.sort_by_key(|(_, series, sample)| (sample.time(), *series));
    for (_, series, sample) in in_time {
        whole.push(sample.time(), sent(&[(labels(series), vec![sample])]));
    }
    let (mut answer_in, mut questions) = (0, 0);
    let mut answered = |late: &mut Run, now: Millis, random: &mut Random| {
        if late.asked.is_none() || random.below(8) == 0 {
            return;
        }
        if questions != late.questions {
            (questions, answer_in) = (late.questions, random.below(5));
        }
        answer_in = answer_in.saturating_sub(1);
        if answer_in > 0 {
            return;
        }
        let (id, body) = late.answer();
        // Cut short, and to another question.
        let damaged = body[..body.len() - 1].to_vec();
        let other = EffectId { ordinal: id.ordinal + 9, ..id };
        assert_eq!(late.push(now, reply(id, damaged)), 1);
        assert_eq!(late.push(now, reply(other, body.clone())), 1);
        late.asked = None;
        assert_eq!(late.push(now, reply(id, body.clone())), 0);
        if random.below(2) == 0 {
            let before = late.decided.len();
            assert_eq!(late.push(now, reply(id, body)), 1, "twice");
            assert_eq!(late.decided.len(), before);
        }
    };
    for (now, series, sample) in &story.samples {
        late.push(*now, sent(&[(labels(*series), vec![*sample])]));
        answered(&mut late, *now, &mut random);
        if random.below(40) == 0 {
            late.restore();
        }
    }
    for run in [&mut whole, &mut late] {
        let mut now = run.engine.now();
        while now < story.end {
            now = now.plus(1_000);
            run.push(now, tick());
            run.answer_all(now);
        }
    }
    assert_eq!(whole.questions, 0, "seed {seed}: nothing came late");
    assert_eq!(late.unrevised().collect::<Vec<_>>(), Vec::<&Unrevised>::new(), "seed {seed}");
    for it in late.revisions() {
        *counts.entry(it.outcome.word()).or_default() += 1;
    }
    let (would, is) = (Told::of(&whole.decided).fired(), Told::of(&late.decided).fired());
    for alert in would.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let [would, is] = [&would, &is].map(|all| all.get(alert).map_or(&[][..], |all| &all[..]));
        let near = |a: Option<Millis>, b: Option<Millis>| match (a, b) {
            (Some(a), Some(b)) => a.since(b).abs() <= TOLERANCE_MS + 10_000,
            (a, b) => a == b,
        };
        let same = would.len() == is.len()
            && would.iter().zip(is).all(|((a, _), (b, _))| {
                near(a.fired_at, b.fired_at) && near(a.resolved_at, b.resolved_at)
            });
        assert!(same, "seed {seed}, {alert}:\n{}\n{}", shown(would), shown(is));
        let exact = would.iter().zip(is).filter(|((a, _), (b, _))| a == b).count();
        *counts.entry("exact").or_default() += exact;
        *counts.entry("near").or_default() += would.len() - exact;
    }
    late.check_law(&mut random);
}

fn shown(all: &[(Stretch, bool)]) -> String {
    let ms = |at: Option<Millis>| at.map_or("-".to_string(), |at| at.since(START).to_string());
    let one = |(it, revised): &(Stretch, bool)| {
        let mark = if *revised { "!" } else { "" };
        format!("{mark}[{} {} {}]", ms(Some(it.active_at)), ms(it.fired_at), ms(it.resolved_at))
    };
    all.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_ledger_says_in_the_end_what_it_would_have_said_in_time() {
    let mut counts = Counts::new();
    (0..40).for_each(|seed| check(seed, &mut counts));
    println!("{counts:?}");
    for word in ["confirmed", "revised", "retracted", "missed"] {
        assert!(counts.get(word).is_some_and(|count| *count > 20), "{word}: {counts:?}");
    }
}
