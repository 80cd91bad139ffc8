//! `faultline incidents close`: what the cause of an incident was, for later verdicts to learn from.
use super::{Server, say};
use crate::cli::{CloseArgs, Output};
use serde_json::json;
use std::error::Error;
use std::process::ExitCode;

/// Says it to a running server.
pub fn run(args: &CloseArgs) -> Result<ExitCode, Box<dyn Error>> {
    let CloseArgs { incident, cause, note, by, ask } = args;
    let server = Server::at(&ask.url)?;
    let body = json!({ "incident": incident, "cause": cause, "note": note, "by": by });
    let answer = server.post("/feedback", body.to_string())?;
    say(&match ask.output {
        Output::Json => answer.text,
        Output::Table => {
            format!("incident {incident} is closed, its cause {cause}; what it teaches counts in a moment\n")
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
