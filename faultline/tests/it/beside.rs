//! An engine with the recent store beside it, as the server has them: what the engine asks the store is held until the test answers.
use crate::journal::{SEED, effect_bytes};
use faultline::world::own;
use faultline_engine::{Ask, Effect, Effects, Engine};
use faultline_formats::{Decoded, Record, decode, encode};
use faultline_host::Random;
use faultline_model::facts::Decision;
use faultline_model::{
    Clock, EffectId, Encoding, Format, Hlc, Kind, Labels, Millis, Payload, Position, Sample, SourceId, TenantId,
};
use faultline_serve::recent::{Limits, Recent};

/// The engine, the store, and all that went in and came out. `Q`: the questions that the test is about.
pub struct Run<Q> {
    pub engine: Engine,
    pub recent: Recent,
    records: Vec<Record>,
    effects: Vec<u8>,
    pub decided: Vec<Decision>,
    stamp: Hlc,
    /// Its questions among all.
    about: fn(Ask) -> Option<Q>,
    /// The newest, until the test takes it.
    pub asked: Option<(EffectId, Q)>,
    pub questions: usize,
}

impl<Q> Run<Q> {
    pub fn new(about: fn(Ask) -> Option<Q>) -> Run<Q> {
        Run {
            engine: Engine::new(SEED),
            recent: Recent::new(Limits::default()),
            records: Vec::new(),
            effects: Vec::new(),
            decided: Vec::new(),
            stamp: Hlc::default(),
            about,
            asked: None,
            questions: 0,
        }
    }

    /// Steps over a record; says how many events it refused.
    pub fn push(&mut self, wall: Millis, decoded: Decoded) -> u64 {
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
                Effect::Ask(id, ask) => {
                    if let Some(question) = (self.about)(ask) {
                        (self.asked, self.questions) = (Some((id, question)), self.questions + 1);
                    }
                }
                Effect::Rejected(it) => refused += it.reject.count,
                Effect::Decided(_, decision) => self.decided.push(decision),
            }
        }
        refused
    }

    /// Goes on from a checkpoint, which asks again what is open.
    pub fn restore(&mut self) {
        let checkpoint = self.engine.checkpoint();
        self.engine = Engine::restore(checkpoint.clone()).expect("just written");
        assert_eq!(self.engine.checkpoint().first_difference(&checkpoint), None);
        assert_eq!(self.open(), self.asked.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "it is asked again");
    }

    /// Questions that are not answered.
    pub fn open(&self) -> Vec<EffectId> {
        self.engine.unanswered().filter_map(|(id, ask)| (self.about)(ask).map(|_| id)).collect()
    }

    /// The same records in other batches, restored on the way: the same effects, the same state.
    pub fn check_law(&mut self, random: &mut Random) {
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

pub fn reply(id: EffectId, body: Vec<u8>) -> Decoded {
    own(Kind::Reply(id), body, SEED)
}

pub fn tick() -> Decoded {
    own(Kind::Tick, Vec::new(), SEED)
}

/// Samples, by remote write.
pub fn sent(series: &[(Labels, Vec<Sample>)]) -> Decoded {
    let plain = encode::write_request(series.iter().map(|(labels, samples)| (labels, &samples[..])));
    let (format, encoding, clock) = (Format::RemoteWrite1, Encoding::Identity, Clock::Live);
    let kind = Kind::Telemetry { source: SourceId([1; 16]), format, encoding, clock };
    decode(Payload { tenant: TenantId(0), kind, body: plain.into() }, SEED)
}
