//! What an anchor costs `step`: `cargo run --release -p faultline-engine --example anchor`.
//!
//! 1,360 `stream` rules over 100,000 series, 74 elements each; 200,000 bodies that are remembered as they may be sent
//! again. Then an anchor falls due: the time of its record, of the records while the state waits, and of each slice.
#![allow(clippy::disallowed_types, reason = "a measurement reads the clock; core itself does not")]
use faultline_engine::{Effects, Engine};
use faultline_formats::{Decoded, Record, decode, encode};
use faultline_model::{
    Canonical, Clock, Control, Digest, EffectId, Encoding, Evaluation, Format, HashSeed, Hlc, Kind, Labels, Millis,
    Payload, Position, RuleFile, RuleFiles, Sample, SourceId, TenantId,
};
use std::time::{Duration, Instant};

const RULES: usize = 1_360;
const SERIES: usize = 100_000;
const BODIES: usize = 200_000;
/// Series of a body.
const BODY: usize = 500;
const START: Millis = Millis(1_700_000_000_000);
const SEED: HashSeed = HashSeed(7);

struct Run {
    engine: Engine,
    next: u64,
    asked: Option<EffectId>,
    frozen: Option<Position>,
}

impl Run {
    fn push(&mut self, stamp: Millis, decoded: Decoded) -> Duration {
        let at = Position { partition: 0, offset: self.next };
        self.next += 1;
        let mut effects = Effects::default();
        let record = [Record { at, stamp: Hlc::default().next(stamp), decoded }];
        let begun = Instant::now();
        self.engine.step(&record, &mut effects);
        let took = begun.elapsed();
        if self.engine.frozen() != self.frozen {
            self.frozen = self.engine.frozen();
            // The ask is the last thing that the record gives rise to.
            let asked = effects.list.iter().rev().find_map(|effect| match effect {
                faultline_engine::Effect::Ask(id, _) => Some(*id),
                _ => None,
            });
            self.asked = asked.or(self.asked);
        }
        took
    }

    /// All pages of the frozen state, 128 KiB at a time: bytes, all the time, the longest.
    fn write(&mut self) -> (usize, Duration, Duration) {
        let (mut size, mut all, mut most) = (0, Duration::ZERO, Duration::ZERO);
        loop {
            let begun = Instant::now();
            let slice = self.engine.write_frozen(128 << 10);
            let took = begun.elapsed();
            (all, most) = (all + took, most.max(took));
            let Some(slice) = slice else { break };
            size += slice.pages.iter().map(|page| page.bytes.len()).sum::<usize>();
        }
        self.frozen = None;
        (size, all, most)
    }
}

fn payload(kind: Kind, body: Vec<u8>) -> Decoded {
    decode(Payload { tenant: TenantId(0), kind, body: body.into() }, SEED)
}

fn body(series: std::ops::Range<usize>, now: Millis, value: f64) -> Decoded {
    let labels = |i: usize| {
        let (rule, instance) = (format!("{}", i % RULES), format!("instance-{i}"));
        Labels::new([("__name__", "requests"), ("rule", &*rule), ("instance", &*instance), ("job", "measured")])
    };
    let all: Vec<(Labels, [Sample; 1])> = series.map(|i| (labels(i), [Sample::new(now, value)])).collect();
    let body = encode::write_request(all.iter().map(|(labels, samples)| (labels, &samples[..])));
    let kind = Kind::Telemetry {
        source: SourceId([1; 16]),
        format: Format::RemoteWrite1,
        encoding: Encoding::Snappy,
        clock: Clock::Live,
    };
    payload(kind, encode::compress(&body, Encoding::Snappy))
}

fn main() {
    let mut text = String::from("groups:\n- name: g\n  interval: 60s\n  rules:\n");
    for rule in 0..RULES {
        text += &format!("  - {{alert: A{rule}, expr: 'sum by (job) (requests{{rule=\"{rule}\"}}) > 1e9'}}\n");
    }
    let files = vec![RuleFile { name: "measured.yml".into(), text }];
    let files = RuleFiles { files, default_evaluation: Evaluation::Stream, ..RuleFiles::default() };
    let mut run = Run { engine: Engine::new(SEED), next: 0, asked: None, frozen: None };
    run.push(START, payload(Kind::Control(Control::Rules), files.to_bytes()));
    let mut now = START;
    let round = |run: &mut Run, now: Millis, value: f64| {
        let bodies = (0..SERIES).step_by(BODY).map(|from| body(from..from + BODY, now, value));
        bodies
            .map(|body| run.push(now, body))
            .fold((Duration::ZERO, Duration::ZERO), |(all, most), took| (all + took, most.max(took)))
    };
    for value in 0..3 {
        now = now.plus(15_000);
        let (all, most) = round(&mut run, now, f64::from(value));
        println!("{SERIES} samples: {all:?}, a record at most {most:?}");
    }
    for i in 0..BODIES {
        run.push(now, body(0..1, now, i as f64));
        if i % 1000 == 0 {
            now = now.plus(1);
        }
    }
    // The first anchor came of the first records; its answer, five minutes later, makes the next one due at once.
    for what in ["all pages", "pages changed"] {
        run.write();
        now = now.plus(300_001);
        run.push(now, payload(Kind::Tick, Vec::new()));
        run.write();
        let asked = run.asked.expect("an anchor was due");
        let reply = payload(Kind::Reply(asked), Some(Digest::of(b"state")).to_bytes());
        let anchor = run.push(now, reply);
        now = now.plus(15_000);
        let waiting = round(&mut run, now, 7.0);
        let (size, all, most) = run.write();
        println!("{what}: the record of the anchor {anchor:?}");
        println!("  while it waits, {SERIES} samples: {:?}, a record at most {:?}", waiting.0, waiting.1);
        println!("  {size} bytes in {all:?}, 128 KiB at most {most:?}");
        let again = round(&mut run, now.plus(1), 8.0);
        println!("  after it, {SERIES} samples: {:?}, a record at most {:?}", again.0, again.1);
    }
}
