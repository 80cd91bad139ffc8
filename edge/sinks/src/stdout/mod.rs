//! Standard output: one line for each change of an alert or incident, and for each verdict.
mod json;
mod text;

pub use text::visible;

use crate::run::{Ended, Pause, Sink};
use faultline_host::Clock;
use faultline_model::facts::{AlertState, Decision, IncidentPhase};
use faultline_model::{AlertId, EffectId, IncidentId};
use std::collections::BTreeMap;
use std::io::{self, BufWriter, IsTerminal, Write};

/// Most lines that a new sink begins with; the oldest are left out.
const BACKLOG_MAX: usize = 10_000;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people, without colour.
    Plain,
    /// For people at a terminal.
    Coloured,
    /// A JSON object a line, for programs.
    Json,
}

/// Prints decisions. A write that fails (a closed pipe) ends this sink and nothing else.
pub struct Stdout<W: Write + Send> {
    out: BufWriter<W>,
    form: Form,
    /// A new sink gathers here what is so today, until it has read the ledger.
    backlog: Option<Backlog>,
    failed: Option<io::Error>,
}

/// What is so today, each with its leaf.
#[derive(Default)]
struct Backlog {
    leaves: BTreeMap<u64, (EffectId, Decision)>,
    alerts: BTreeMap<AlertId, u64>,
    incidents: BTreeMap<IncidentId, u64>,
    verdicts: BTreeMap<IncidentId, u64>,
}

impl Stdout<io::Stdout> {
    /// This process' standard output: JSON lines if wished, else colour where it is a terminal and `NO_COLOR` is not set.
    pub fn of_process(json: bool) -> Stdout<io::Stdout> {
        let out = io::stdout();
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let form = match (json, colour) {
            (true, _) => Form::Json,
            (false, true) => Form::Coloured,
            (false, false) => Form::Plain,
        };
        Stdout::new(out, form)
    }
}

impl<W: Write + Send> Stdout<W> {
    /// Prints to `out`, which is flushed once per turn.
    pub fn new(out: W, form: Form) -> Stdout<W> {
        Stdout { out: BufWriter::new(out), form, backlog: None, failed: None }
    }

    fn print(&mut self, id: EffectId, decision: &Decision) {
        let line = match self.form {
            Form::Plain => text::line(id, decision, false),
            Form::Coloured => text::line(id, decision, true),
            Form::Json => json::line(id, decision),
        };
        if let Some(line) = line.filter(|_| self.failed.is_none()) {
            self.failed = writeln!(self.out, "{line}").err();
        }
    }
}

impl<W: Write + Send> Sink for Stdout<W> {
    fn name(&self) -> &str {
        "stdout"
    }

    fn begin(&mut self, next_leaf: Option<u64>) {
        self.backlog = next_leaf.is_none().then(Backlog::default);
    }

    fn take(&mut self, leaf: u64, id: EffectId, decision: Decision, _clock: &dyn Clock) {
        match &mut self.backlog {
            Some(backlog) => backlog.take(leaf, id, decision),
            None => self.print(id, &decision),
        }
    }

    fn work(&mut self, _clock: &dyn Clock) -> Result<Pause, Ended> {
        for (id, decision) in self.backlog.take().unwrap_or_default().leaves.into_values() {
            self.print(id, &decision);
        }
        match self.failed.take().map_or_else(|| self.out.flush(), Err) {
            Ok(()) => Ok(None),
            Err(error) => Err(Ended { sink: "stdout".to_owned(), reason: error.to_string() }),
        }
    }

    fn resume_at(&self, next_leaf: u64) -> u64 {
        next_leaf
    }
}

impl Backlog {
    fn take(&mut self, leaf: u64, id: EffectId, decision: Decision) {
        let (over, newer) = match &decision {
            Decision::Alert(it) => {
                let over = it.to == AlertState::Ok;
                (if over { self.alerts.remove(&it.alert) } else { self.alerts.insert(it.alert, leaf) }, !over)
            }
            Decision::Incident(it) if matches!(it.phase, IncidentPhase::Resolved | IncidentPhase::Merged) => {
                if let Some(verdict) = self.verdicts.remove(&it.id) {
                    self.leaves.remove(&verdict);
                }
                (self.incidents.remove(&it.id), false)
            }
            Decision::Incident(it) => (self.incidents.insert(it.id, leaf), true),
            Decision::Verdict(it) if self.incidents.contains_key(&it.incident) => {
                (self.verdicts.insert(it.incident, leaf), true)
            }
            _ => return,
        };
        if let Some(over) = over {
            self.leaves.remove(&over);
        }
        if newer {
            self.leaves.insert(leaf, (id, decision));
        }
        if self.leaves.len() > BACKLOG_MAX {
            self.leaves.pop_first();
        }
    }
}
