//! Programs of other people, built once into the cache folder.
//!
//! A Go module is copied out of Go's module cache and built as the main module, so that its own `replace` lines hold,
//! as they do for its authors. What the builds download and compile is removed at the end: 3 GB become 50 MB.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::catalog::{Install, Service};
use crate::Outcome;

/// Written last: a folder without it is a build that was cut short.
const COMPLETE: &str = "complete";

/// The folder of one version of one service.
fn folder(service: &Service, cache: &Path) -> PathBuf {
    cache.join(format!("{}-{}", service.name, service.version))
}

/// Where the program of `service` lies once installed.
pub fn program(service: &Service, cache: &Path) -> PathBuf {
    folder(service, cache).join("bin").join(service.install.program())
}

pub fn is_installed(service: &Service, cache: &Path) -> bool {
    folder(service, cache).join(COMPLETE).is_file()
}

/// Installs each of `services` unless it is; waits while another call installs something. What one build compiles the
/// next ones find: most of the standard library, and modules that they share.
pub fn install(services: &[&Service], cache: &Path) -> Outcome {
    if services.iter().all(|service| is_installed(service, cache)) {
        return Ok(());
    }
    let said = |error: std::io::Error| format!("cannot write to the cache folder {}: {error}", cache.display());
    fs::create_dir_all(cache).map_err(said)?;
    let lock = File::create(cache.join("lock")).map_err(said)?;
    if lock.try_lock().is_err() {
        eprintln!("services: another call is installing, waiting for it");
        lock.lock().map_err(said)?;
    }
    let build = cache.join("build");
    remove(&build)?; // Left by a call that was cut short.
    fs::create_dir_all(&build).map_err(said)?;
    for service in services {
        if is_installed(service, cache) {
            continue;
        }
        let (target, started) = (folder(service, cache), Instant::now());
        remove(&target)?;
        fs::create_dir_all(&target).map_err(said)?;
        eprintln!("services: installing {} {} once, into {}", service.name, service.version, target.display());
        match service.install {
            Install::Go { .. } => go(service, &target, &build)?,
            Install::Python { packages, .. } => python(service, packages, &target)?,
        }
        File::create(target.join(COMPLETE)).map_err(said)?;
        eprintln!("services: {} installed in {:.0} s", service.name, started.elapsed().as_secs_f64());
    }
    remove(&build)
}

fn remove(folder: &Path) -> Outcome {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn go(service: &Service, target: &Path, build: &Path) -> Outcome {
    let Install::Go { module, tags, program: (package, name), missing, inlined } = &service.install else {
        unreachable!("only Go modules come here")
    };
    let version = service.version;
    let go = || {
        let mut command = Command::new("go");
        command.current_dir(build).env("GOPATH", build.join("path")).env("GOCACHE", build.join("cache"));
        // Without cgo the program runs wherever it is copied to; without a workspace only the module itself counts.
        command.env("GOFLAGS", "-modcacherw -buildvcs=false").env("GOWORK", "off").env("CGO_ENABLED", "0");
        command
    };
    let remedy =
        format!("{} is built from source: install Go (1.26 or newer) so that `go version` answers", service.name);
    let found = output(go().args(["mod", "download", "-json", &format!("{module}@{version}")]), &remedy)?;
    let found: serde_json::Value =
        serde_json::from_str(&found).map_err(|error| format!("`go mod download -json`: {error}"))?;
    let source = found["Dir"].as_str().ok_or_else(|| format!("Go's module proxy has no {module} {version}"))?;
    let copy = build.join(service.name);
    output(Command::new("cp").arg("-R").arg(source).arg(&copy), "cp is needed to copy the module's source")?;
    if let Some(missing) = missing.map(|path| copy.join(path)) {
        let written =
            fs::create_dir_all(missing.parent().expect("a file in a folder")).and_then(|()| fs::write(&missing, ""));
        written.map_err(|error| format!("cannot write {}: {error}", missing.display()))?;
    }
    let link = format!("-s -w -X github.com/prometheus/common/version.Version={}", version.trim_start_matches('v'));
    let mut command = go();
    command.current_dir(&copy).args(["build", "-trimpath", "-tags", tags, "-ldflags", &link]);
    if !inlined {
        command.arg("-gcflags=all=-l");
    }
    output(command.arg("-o").arg(target.join("bin").join(name)).arg(package), &remedy).map(drop)
}

fn python(service: &Service, packages: &[&str], target: &Path) -> Outcome {
    let remedy = format!("{} needs Python 3 with venv (Debian: apt-get install python3-venv)", service.name);
    output(Command::new("python3").args(["-m", "venv"]).arg(target), &remedy)?;
    let mut pip = Command::new(target.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(packages.iter().map(|package| format!("{package}=={}", service.version)));
    output(&mut pip, "pip reads PyPI: is it reachable?").map(drop)
}

/// Runs a program to its end and returns what it printed; `remedy` says what to do when it cannot be started or fails.
fn output(command: &mut Command, remedy: &str) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{name}` cannot be started: {error}\n  {remedy}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // The last lines name the cause; Go prints hundreds about downloads before them.
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("go: downloading")).collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n  ");
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
    Err(format!("`{name} {}` failed ({}):\n  {last}\n  {remedy}", arguments.join(" "), output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_what_to_install() {
        let error = output(&mut Command::new("no-such-tool"), "install it").unwrap_err();
        assert!(error.starts_with("`no-such-tool` cannot be started") && error.ends_with("\n  install it"), "{error}");
    }

    #[test]
    fn a_failing_tool_is_quoted_without_its_chatter() {
        let script = "echo 'go: downloading x' >&2; echo 'cause' >&2; exit 2";
        let error = output(Command::new("sh").args(["-c", script]), "remedy").unwrap_err();
        assert!(error.ends_with("failed (exit status: 2):\n  cause\n  remedy"), "{error}");
    }
}
