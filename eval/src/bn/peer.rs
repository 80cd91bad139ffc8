//! pyAgrum, asked the same: a Python process that reads networks and questions as lines of JSON (`pyagrum.py`).
use crate::bn::data::Model;
use crate::promql::prometheus::services;
use faultline_bayes::{Evidence, Posteriors};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The process.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// A question with our answer.
#[derive(Debug)]
pub struct Asked {
    /// The question.
    pub evidence: Evidence,
    /// Of all variables.
    pub found: Posteriors,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    /// Per variable, in order.
    pub marginals: Vec<Vec<f64>>,
    /// `None` where its own numbers underflow, and for Markov networks.
    pub log_evidence: Option<f64>,
    /// Median of its runs.
    pub seconds: f64,
}

impl Peer {
    /// Installs it if need be, and starts it.
    pub fn start() -> Result<Peer, Box<dyn Error>> {
        let line = services(&["install", "pyagrum"])?;
        let program = line.trim().split_once(' ').ok_or("`services install` prints `PROGRAM PATH`")?.1;
        let mut command = Command::new(program);
        command.args(["-c", include_str!("pyagrum.py")]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Peer { child, input, output })
    }

    /// Its answers in order, `None` where it calls the evidence impossible. Each question is asked `runs` times.
    pub fn ask<'a>(
        &mut self,
        model: &Model,
        questions: impl Iterator<Item = &'a Evidence>,
        runs: u64,
    ) -> Result<Vec<Option<Answer>>, Box<dyn Error>> {
        let mut line = model.to_json();
        line["runs"] = json!(runs);
        line["queries"] = questions.map(query).collect();
        writeln!(self.input.as_mut().expect("open until dropped"), "{line}")?;
        let mut text = String::new();
        if self.output.read_line(&mut text)? == 0 {
            return Err(format!("pyAgrum ended: {}", self.child.wait()?).into());
        }
        let reply: Value = serde_json::from_str(&text)?;
        let answers = reply["answers"].as_array().ok_or("no answers")?;
        answers.iter().map(|answer| if answer == "impossible" { Ok(None) } else { read(answer).map(Some) }).collect()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends with its input.
        self.input = None;
        let _ = self.child.wait();
    }
}

impl Asked {
    /// The largest difference of a marginal or, relatively, of `ln P(e)`.
    pub fn distance(&self, model: &Model, answer: &Answer) -> f64 {
        let mut worst =
            answer.log_evidence.map_or(0.0, |log| (log - self.found.log_evidence()).abs() / (1.0 + log.abs()));
        for (v, theirs) in model.variables().zip(&answer.marginals) {
            let ours = self.found.marginal(v).expect("all were asked for");
            for (ours, theirs) in ours.iter().zip(theirs) {
                worst = f64::max(worst, (ours - theirs).abs());
            }
        }
        worst
    }
}

fn query(evidence: &Evidence) -> Value {
    let hard: Vec<Value> = evidence.observations().map(|(v, state)| json!([v.index(), state])).collect();
    let soft: Vec<Value> = evidence.likelihoods().map(|(v, values)| json!([v.index(), values])).collect();
    json!({"hard": hard, "soft": soft})
}

fn read(answer: &Value) -> Result<Answer, Box<dyn Error>> {
    let row = |row: &Value| row.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    let marginals = answer["marginals"].as_array().ok_or("no marginals")?;
    let marginals = marginals.iter().map(row).collect::<Option<_>>().ok_or("a marginal that is no list of numbers")?;
    let seconds = answer["seconds"].as_f64().ok_or("no time")?;
    Ok(Answer { marginals, log_evidence: answer["log"].as_f64(), seconds })
}
