//! A Prometheus of `cargo xtask services`, which is installed where it is missing: the build for measurements, as its authors build it.
use crate::Outcome;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The service's name.
const NAME: &str = "prometheus-measured";

/// The server; stopped when dropped.
pub struct Prometheus {
    folder: PathBuf,
    pub pid: u32,
    /// Where it answers and takes samples.
    pub api: SocketAddr,
}

impl Prometheus {
    /// Starts one in a folder, whose `prometheus-data` is its storage where there is one, with a rule file or without.
    pub fn start(folder: &Path, rules: Option<&Path>) -> Outcome<Prometheus> {
        let failed =
            |error: &dyn std::fmt::Display| format!("cannot set Prometheus up in {}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        let mut configuration = String::from("global:\n  evaluation_interval: 15s\n");
        if let Some(rules) = rules {
            configuration += &format!("rule_files: [{:?}]\n", rules.display().to_string());
        }
        std::fs::write(folder.join("prometheus.yml"), configuration).map_err(|error| failed(&error))?;
        let shown = folder.to_str().ok_or_else(|| failed(&"its path is no text"))?;
        services(&["install", NAME])?;
        let started = services(&["start", NAME, "--dir", shown, "--", "--log.level=warn"])?;
        let words: Vec<&str> = started.split_whitespace().collect();
        let [_, url, pid] = words[..] else { return Err(failed(&"`services start` prints `NAME URL PID`")) };
        let api = url.trim_start_matches("http://").trim_end_matches('/').parse();
        Ok(Prometheus {
            folder: folder.to_owned(),
            pid: pid.parse().map_err(|error| failed(&error))?,
            api: api.map_err(|error| failed(&error))?,
        })
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Err(error) = services(&["stop", NAME, "--dir", &self.folder.to_string_lossy()]) {
            eprintln!("{error}");
        }
    }
}

/// Runs `cargo xtask services ...` and returns what it printed; what it says on stderr goes to the terminal.
fn services(words: &[&str]) -> Outcome<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", "--quiet", "--locked", "--package", "xtask", "--"]);
    let output = cargo.arg("services").args(words).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot run `cargo xtask services`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo xtask services {}` failed: stderr says why", words.join(" ")));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
