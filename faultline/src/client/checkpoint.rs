//! `faultline checkpoint`: the state as it is now, kept, so that the next start has little to replay.
use super::{Answer, AskError, Server, Shape, say};
use crate::cli::{Ask, Output};
use faultline_model::Position;
use serde_json::json;
use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// How long the state may take.
const LONGEST: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// Asks for an anchor and waits for it: exit code 1 where none comes in two minutes.
pub fn run(ask: &Ask) -> Result<ExitCode, Box<dyn Error>> {
    let server = Server::at(&ask.url)?;
    let wanted = place(&server, &server.post("/anchors", "{}")?, "position")?;
    let until = Instant::now() + LONGEST;
    while Instant::now() < until {
        let status = server.get("/status")?;
        let newest = place(&server, &status, "ledger.newest_anchor.position").ok().filter(|at| *at >= wanted);
        let Some(at) = newest else {
            thread::sleep(POLL);
            continue;
        };
        let state = Shape::of(&status.value).at("ledger.newest_anchor.state").text();
        say(&match ask.output {
            Output::Json => format!("{}\n", json!({ "position": at.to_string(), "state": state })),
            Output::Table => format!("the state after record {at} is kept ({state}); a start goes on from there\n"),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = LONGEST.as_secs();
    Err(format!(
        "no state was kept within {seconds} s; the server's log says why, and what was kept before is still there"
    )
    .into())
}

fn place(server: &Server, answer: &Answer, key: &str) -> Result<Position, AskError> {
    let text = Shape::of(&answer.value).at(key).text();
    Position::parse(&text)
        .ok_or_else(|| AskError::NotOurs { url: server.shown(), what: format!("`{key}` is `{text}`") })
}
