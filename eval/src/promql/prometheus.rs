//! A Prometheus of `cargo xtask services`, with experiments of the language on, written to and asked over HTTP.
use crate::promql::answer::Answer;
use bytes::Bytes;
use faultline_formats::encode::write_request_with_histograms;
use faultline_model::{HistogramSample, Millis, Sample};
use faultline_promql::{Features, SeriesView};
use faultline_promqltest::store::Store;
use faultline_sinks::http::{Client, Limits, Url};
use http::Method;
use std::error::Error;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What the server may need for one answer: it starts at once with much else in CI.
const OVERALL: Duration = Duration::from_secs(60);

/// The server; stopped when dropped.
pub struct Prometheus {
    dir: TempDir,
    client: Client,
    write: Url,
    query: Url,
}

impl Prometheus {
    /// Starts one with an empty storage that keeps what is old.
    pub fn start(features: Features) -> Result<Prometheus, Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let features: Vec<&str> = features.names().collect();
        let features = format!("--enable-feature={}", features.join(","));
        let folder = dir.path().to_str().ok_or("the folder for temporary files is no text")?;
        let started = services(&[
            "start",
            "prometheus",
            "--dir",
            folder,
            "--",
            &features,
            "--storage.tsdb.retention.time=100y",
            "--log.level=warn",
        ])?;
        let base = started.split(' ').nth(1).ok_or("`services start` prints `NAME URL PID`")?;
        Ok(Prometheus {
            client: Client::new(Limits { overall: OVERALL, ..Limits::default() })?,
            write: Url::parse(&format!("{base}/api/v1/write"))?,
            query: Url::parse(&format!("{base}/api/v1/query"))?,
            dir,
        })
    }

    /// Writes every series of a store; one that changes between floats and histograms in pieces, as its times must rise.
    pub fn write(&self, store: &Store) -> Result<(), Box<dyn Error>> {
        let labels = store.labels();
        let views = labels.iter().filter_map(|labels| store.view(labels));
        let plain = write_request_with_histograms(views.flat_map(|view| {
            pieces(&view).into_iter().map(move |(samples, histograms)| (view.labels, samples, histograms))
        }));
        let body = snap::raw::Encoder::new().compress_vec(&plain)?;
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ];
        let answer = self.client.request(Method::POST, &self.write, &headers, body.into())?;
        if !answer.status.is_success() {
            return Err(format!("{} answers {}: {}", self.write, answer.status, text(&answer.body)).into());
        }
        Ok(())
    }

    /// The value of an expression at an instant.
    pub fn ask(&self, expression: &str, at: Millis) -> Result<Answer, Box<dyn Error>> {
        let time = format!("{}.{:03}", at.0 / 1000, at.0 % 1000);
        let mut form = form_urlencoded::Serializer::new(String::new());
        let form = form.append_pair("query", expression).append_pair("time", &time).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.client.request(Method::POST, &self.query, &headers, form.into())?;
        let json = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("{expression}: {} {error}: {}", answer.status, text(&answer.body)))?;
        Ok(Answer::theirs(&json)?)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let folder = self.dir.path().to_string_lossy().into_owned();
        if let Err(error) = services(&["stop", "prometheus", "--dir", &folder]) {
            eprintln!("{error}");
        }
    }
}

/// A series as stretches of floats or of histograms, in order of time.
fn pieces<'a>(view: &SeriesView<'a>) -> Vec<(&'a [Sample], &'a [HistogramSample])> {
    let (mut floats, mut histograms, mut found) = (view.samples, view.histograms, Vec::new());
    while !floats.is_empty() || !histograms.is_empty() {
        let before = histograms.first().map_or(floats.len(), |h| floats.partition_point(|s| s.time() < h.time));
        let (piece, rest) = floats.split_at(before);
        let until = rest.first().map_or(histograms.len(), |s| histograms.partition_point(|h| h.time < s.time()));
        let (more, behind) = histograms.split_at(until);
        found.push((piece, more));
        (floats, histograms) = (rest, behind);
    }
    found
}

/// Runs `cargo xtask services ...` and returns what it printed; what it says on stderr goes to the terminal.
pub fn services(words: &[&str]) -> Result<String, Box<dyn Error>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", "--quiet", "--locked", "--package", "xtask", "--"]);
    let output = cargo.arg("services").args(words).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("`cargo xtask services {}` failed: stderr says why", words.join(" ")).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).chars().take(300).collect()
}
