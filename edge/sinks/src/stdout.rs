//! Standard output: one line for each change of an alert or incident, and for each verdict.
use crate::run::{Ended, Pause, Sink};
use faultline_host::Clock;
use faultline_model::EffectId;
use faultline_model::facts::Decision;
use std::io::Write;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people, without colour.
    Plain,
    /// For people at a terminal.
    Coloured,
    /// A JSON object a line.
    Json,
}

/// Prints decisions.
pub struct Stdout<W: Write + Send> {
    out: W,
    form: Form,
    lines: Vec<String>,
}

impl<W: Write + Send> Stdout<W> {
    /// Prints to `out`, which is written to and flushed once per batch of leaves.
    pub fn new(out: W, form: Form) -> Stdout<W> {
        Stdout { out, form, lines: Vec::new() }
    }
}

impl<W: Write + Send> Sink for Stdout<W> {
    fn name(&self) -> &str {
        "stdout"
    }

    fn begin(&mut self, _next_leaf: Option<u64>) {}

    fn take(&mut self, _leaf: u64, id: EffectId, decision: Decision, _clock: &dyn Clock) {
        if self.form == Form::Plain {
            self.lines.push(format!("{id} {decision:?}"));
        }
    }

    fn work(&mut self, _clock: &dyn Clock) -> Result<Pause, Ended> {
        for line in self.lines.drain(..) {
            writeln!(self.out, "{line}").map_err(|e| Ended { sink: "stdout".into(), reason: e.to_string() })?;
        }
        Ok(None)
    }

    fn resume_at(&self, next_leaf: u64) -> u64 {
        next_leaf
    }
}
