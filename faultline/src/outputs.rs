//! Sinks of a running server: each a thread with a cursor of its own on the ledger.
use crate::config::Config;
use crate::ledger_feed::LedgerFeed;
use crate::run::spawn;
use faultline_host::Clock;
use faultline_sinks::{Alertmanager, Cursor, Form, Leaves, Options, Sink, Stdout};
use faultline_storage::Cursors;
use std::error::Error;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The ledger as sinks read it.
pub struct Tail(pub Arc<LedgerFeed>);

impl Leaves for Tail {
    fn read(&self, from: u64, max: usize) -> Result<Vec<Box<[u8]>>, String> {
        self.0.read(from, max).map_err(|error| crate::render::chain(&error))
    }

    fn wait(&self, from: u64, longest: Duration) -> bool {
        self.0.wait(from, longest)
    }

    fn end(&self) -> u64 {
        self.0.taken()
    }
}

/// A sink's place in the ledger, kept with the others.
pub struct Place {
    /// All of them.
    pub cursors: Arc<Mutex<Cursors>>,
    /// The sink's name.
    pub name: String,
}

impl Cursor for Place {
    fn load(&self) -> io::Result<Option<u64>> {
        let cursors = self.cursors.lock().expect("no holder panics");
        let bytes = cursors.get(&self.name).map(<[u8; 8]>::try_from);
        bytes.transpose().map(|b| b.map(u64::from_le_bytes)).map_err(|_| io::Error::other("a cursor is eight bytes"))
    }

    fn save(&mut self, next_leaf: u64) -> io::Result<()> {
        let mut cursors = self.cursors.lock().expect("no holder panics");
        cursors.set(&self.name, &next_leaf.to_le_bytes()).map_err(io::Error::other)
    }
}

/// A sink and its name, which its cursor and its thread carry.
pub type Named = (String, Box<dyn Sink>);

/// Every sink of the configuration, not yet running.
///
/// - `external_url`: where people reach the API.
pub fn sinks(config: &Config, external_url: &str) -> Result<Vec<Named>, Box<dyn Error>> {
    let mut sinks: Vec<Named> = Vec::new();
    if config.print {
        let form = if io::stdout().is_terminal() { Form::Coloured } else { Form::Plain };
        sinks.push(("stdout".into(), Box::new(Stdout::new(io::stdout(), form))));
    }
    for (number, url) in config.alertmanagers.iter().enumerate() {
        let options = Options {
            external_url: external_url.into(),
            interval: Duration::from_millis(config.interval_ms.unsigned_abs()),
            ..Options::default()
        };
        let sink = Alertmanager::new(url, options).map_err(|error| format!("--alertmanager {url}: {error}"))?;
        sinks.push((format!("alertmanager-{number}"), Box::new(sink)));
    }
    Ok(sinks)
}

/// Starts them, each on a thread of its own.
pub fn start(
    sinks: Vec<Named>,
    feed: &Arc<LedgerFeed>,
    cursors: &Arc<Mutex<Cursors>>,
    clock: &Arc<dyn Clock>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for (name, mut sink) in sinks {
        let (leaves, clock) = (Tail(feed.clone()), clock.clone());
        let mut place = Place { cursors: cursors.clone(), name: name.clone() };
        threads.push(spawn(&name, move || {
            if let Err(ended) = faultline_sinks::run(&leaves, &mut place, &mut *sink, &*clock) {
                tracing::warn!(%ended, "a sink ended; the others go on");
            }
        })?);
    }
    Ok(threads)
}
