//! The estate's agents on a thread of their own: telemetry simulated and decoded ahead of the loop.
use faultline_estate::{Estate, Story};
use faultline_formats::{Decoded, decode};
use faultline_model::{Canonical, Clock, Control, Encoding, HashSeed, Kind, Millis, Payload, SourceId, TenantId};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Normal telemetry imported before anything is live, in ms: more than the longest range of the built-in rules.
pub const IMPORT_MS: i64 = 40 * 60_000;
/// True time of an imported body, in ms.
const IMPORT_STEP_MS: i64 = 10_000;
/// The last of it comes in finer steps, as the demo sends it: counts of ten seconds that come at once look like a burst.
const IMPORT_FINE_MS: i64 = 60_000;
/// See [`IMPORT_FINE_MS`].
const IMPORT_FINE_STEP_MS: i64 = 1_000;
/// How often agents send, live, in ms.
pub const LIVE_STEP_MS: i64 = 250;
/// Steps simulated ahead of the loop.
const AHEAD: usize = 32;

/// What reaches the server at one instant.
#[derive(Debug)]
pub struct Step {
    /// The instant.
    pub at: Millis,
    /// Bodies and announced changes, in the order in which they arrive.
    pub records: Vec<Decoded>,
    /// Events in them.
    pub events: u64,
}

/// Everything that is sent: the import, at `live`, and then each step of live telemetry up to `end`. Ends early when the
/// receiver is gone.
pub fn send(story: Story, live: Millis, end: Millis, seed: HashSeed) -> std::io::Result<Receiver<Step>> {
    let (steps, receiver) = sync_channel(AHEAD);
    let agents = Agents { estate: Estate::new(story, live.plus(-IMPORT_MS)), seed };
    std::thread::Builder::new().name("eval-senders".into()).spawn(move || agents.run(live, end, &steps))?;
    Ok(receiver)
}

struct Agents {
    estate: Estate,
    seed: HashSeed,
}

impl Agents {
    fn run(mut self, live: Millis, end: Millis, steps: &SyncSender<Step>) {
        let mut at = live.plus(-IMPORT_MS);
        while at < live {
            let fine = live.since(at) <= IMPORT_FINE_MS;
            at = at.plus(if fine { IMPORT_FINE_STEP_MS } else { IMPORT_STEP_MS });
            if steps.send(self.step(at, live, Clock::Import)).is_err() {
                return;
            }
        }
        while at < end {
            at = at.plus(LIVE_STEP_MS);
            if steps.send(self.step(at, at, Clock::Live)).is_err() {
                return;
            }
        }
    }

    /// What has happened by `to`, arriving at `at`.
    fn step(&mut self, to: Millis, at: Millis, clock: Clock) -> Step {
        let (tenant, seed) = (TenantId(0), self.seed);
        let mut step = Step { at, records: Vec::new(), events: 0 };
        for outgoing in self.estate.advance(to) {
            step.events += outgoing.events as u64;
            let source = SourceId((outgoing.site as u128 + 1).to_be_bytes());
            let kind = Kind::Telemetry { source, format: outgoing.format, encoding: Encoding::Identity, clock };
            step.records.push(decode(Payload { tenant, kind, body: outgoing.body.into() }, seed));
        }
        for change in self.estate.changes() {
            let body = change.to_bytes().into();
            step.records.push(decode(Payload { tenant, kind: Kind::Control(Control::Change), body }, seed));
        }
        step
    }
}
