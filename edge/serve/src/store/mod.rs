//! What the API answers from: fed by one thread in journal order, read by many.
//!
//! Bounds, in constants beside the code: recent samples as [`Limits`] says; 1,000 incidents, 10,000 transitions, 1,000 changes, 1,000 revisions; 1,000 rejects of at most
//! 4 KiB; 1,024 rows of what was turned away, with 4 KiB each; 64 listeners with 1,024 waiting texts each; 100,000 exemplars; help, type and unit of
//! 100,000 metrics, of each at most ten, together 64 MiB; example requests of 2,048 services, two of each of 120 minutes, some 60 MiB.
pub(crate) mod book;
pub(crate) mod exemplars;
pub(crate) mod incident;
pub(crate) mod metadata;
pub(crate) mod rejects;
pub(crate) mod stream;
pub(crate) mod traces;
pub(crate) mod turned_away;

use crate::http::events;
use crate::recent::{Limits, Recent};
use crate::view::View;
use book::Book;
use bytes::Bytes;
use exemplars::Exemplars;
use faultline_formats::{Events, Exemplar, Reject};
use faultline_host::TurnedAway;
use faultline_model::facts::Decision;
use faultline_model::{EffectId, HistogramSample, Labels, Millis, Position, Sample, SourceId};
use metadata::Metadata;
use rejects::{Refusal, Rejects};
use std::sync::{Arc, Mutex, MutexGuard};
use stream::Listeners;
use tokio::sync::watch;
use traces::Traces;
use turned_away::Away;

/// The shared store; a clone is the same store.
///
/// Feed it from one thread, in journal order, only with what is durable, and [`Store::publish`] last: a reader who
/// sees that a position is covered then finds everything up to it. (The newest samples may be of later records.)
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    book: Mutex<Book>,
    recent: Recent,
    rejects: Mutex<Rejects>,
    away: Mutex<Away>,
    exemplars: Mutex<Exemplars>,
    metadata: Mutex<Metadata>,
    traces: Mutex<Traces>,
    listeners: Listeners,
    view: watch::Sender<Arc<View>>,
}

impl Default for Store {
    fn default() -> Self {
        Store::within(Limits::default())
    }
}

impl Store {
    /// A store with these bounds of its recent samples.
    pub fn within(limits: Limits) -> Store {
        let shared = Shared {
            book: Mutex::default(),
            recent: Recent::new(limits),
            rejects: Mutex::default(),
            away: Mutex::default(),
            exemplars: Mutex::default(),
            metadata: Mutex::default(),
            traces: Mutex::default(),
            listeners: Listeners::default(),
            view: watch::Sender::new(Arc::new(View { not_ready: "starting".into(), ..View::default() })),
        };
        Store { shared: Arc::new(shared) }
    }

    /// Takes in a decision.
    ///
    /// - `leaf`: its index in the ledger.
    /// - `at`: rule time of the record `id.cause`; none where only the ledger is at hand, after a restart.
    pub fn decided(&self, id: EffectId, leaf: u64, at: Option<Millis>, decision: &Decision) {
        self.book().decided(id, leaf, at, decision);
        self.shared.listeners.tell(|| events::text(id, leaf, at, decision));
    }

    /// Takes in samples that were applied: first the series that are new, then the samples, then the ids to forget.
    ///
    /// After a restart the series that the engine still knows have to be `created` anew.
    pub fn accepted(
        &self,
        created: Vec<(u32, Labels)>,
        samples: Vec<(u32, Sample)>,
        histograms: Vec<(u32, HistogramSample)>,
        evicted: Vec<u32>,
    ) {
        self.shared.recent.accept(created, &samples, &histograms, &evicted);
    }

    /// Takes in exemplars of series that were created, and how many others there were.
    pub fn exemplars_of(&self, found: Vec<(u32, Exemplar)>, strays: u64) {
        if found.is_empty() && strays == 0 {
            return;
        }
        let ids: Vec<u32> = found.iter().map(|(id, _)| *id).collect();
        let series = self.shared.recent.labels(&ids);
        let mut exemplars = self.exemplars();
        exemplars.pass(strays);
        for ((_, exemplar), series) in found.into_iter().zip(series) {
            match series {
                Some(series) => exemplars.add(&series, exemplar),
                None => exemplars.pass(1),
            }
        }
    }

    /// Takes in what a body says beside its samples: of its metrics, and of requests.
    ///
    /// - `plain`: the body that was decoded.
    pub fn said(&self, events: &Events, plain: &[u8]) {
        if !events.metadata.is_empty() {
            let mut metadata = self.metadata();
            events.metadata.iter(plain).for_each(|told| metadata.add(&told));
        }
        if !events.spans.is_empty() {
            self.traces().add(events, plain);
        }
    }

    /// Counts a body of which it is not looked at what it says beside its samples.
    pub fn said_unheard(&self) {
        self.metadata().pass();
    }

    /// Takes in what a decoder refused of the record at `at`, with the record's body as received.
    pub fn rejected(&self, at: Position, source: Option<SourceId>, rejects: &[Reject], body: Option<Bytes>) {
        if !rejects.is_empty() {
            let seen_at = self.rule_time();
            self.rejects().body(at, seen_at, source, rejects, body.as_ref());
        }
    }

    /// Takes in what only the engine's state could refuse of the record at `at`.
    ///
    /// - `reason`: a stable word, one of few.
    pub fn refused(&self, at: Position, source: Option<SourceId>, reason: &'static str, count: u64) {
        let seen_at = self.rule_time();
        let (detail, size, body) = (String::new(), None, Bytes::new());
        self.rejects().add(Refusal { at, seen_at, source, reason, count, detail, size, body });
    }

    /// Takes in a request that was answered without a record, at the wall time `at`.
    pub fn turned_away(&self, at: Millis, turned: TurnedAway) {
        self.away().add(at, turned);
    }

    /// Shows a new snapshot and releases the readers who waited for what it covers.
    pub fn publish(&self, view: View) {
        self.shared.view.send_replace(Arc::new(view));
    }

    /// Ends the streams of events, so that a server that stops does not wait for their readers.
    pub fn end_streams(&self) {
        self.shared.listeners.end();
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().expect("no holder panics")
    }

    pub(crate) fn rejects(&self) -> MutexGuard<'_, Rejects> {
        self.shared.rejects.lock().expect("no holder panics")
    }

    pub(crate) fn away(&self) -> MutexGuard<'_, Away> {
        self.shared.away.lock().expect("no holder panics")
    }

    pub(crate) fn exemplars(&self) -> MutexGuard<'_, Exemplars> {
        self.shared.exemplars.lock().expect("no holder panics")
    }

    pub(crate) fn metadata(&self) -> MutexGuard<'_, Metadata> {
        self.shared.metadata.lock().expect("no holder panics")
    }

    pub(crate) fn traces(&self) -> MutexGuard<'_, Traces> {
        self.shared.traces.lock().expect("no holder panics")
    }

    /// Rule time of the snapshot in force; none before it begins.
    fn rule_time(&self) -> Option<Millis> {
        self.shared.view.borrow().rule_time()
    }

    /// The recent samples.
    pub fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    pub(crate) fn listeners(&self) -> &Listeners {
        &self.shared.listeners
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.borrow())
    }

    pub(crate) fn views(&self) -> watch::Receiver<Arc<View>> {
        self.shared.view.subscribe()
    }
}
