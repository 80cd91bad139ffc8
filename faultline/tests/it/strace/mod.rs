//! Faults in the real binary: strace makes one file call of a run fail, or kills the process at it, and then everything
//! that was acknowledged is there, the next start works, and `verify` agrees.
//!
//! The idea is Tessera's (transparency-dev/tessera, `integration/fault/posix`). A reference run of each scene counts the
//! file calls on the data folder; each of them, with each way to fail, is a point. `cargo xtask strace --help` says how to
//! run all points, or one again.
mod points;
mod scene;

use crate::kill::{Journalled, journalled, verify};
use faultline_host::Random;
use points::{Fault, Point, points};
use scene::{CHECKPOINT, PATIENCE, Process, Scene, scenes};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

/// Which points: `sample`, `most` (of long loops some), a part of most such as `2/8`, `all`, or one point's words.
const WHICH: &str = "FAULTLINE_STRACE";
/// Points of a sample, spread over scenes, calls and faults.
const SAMPLE: usize = 60;
const SEED: u64 = 20_261_121;
/// Runs at once: most of a run is waiting.
const AT_ONCE: usize = 4;
/// How long strace may take to write its last line.
const TRACED: Duration = Duration::from_secs(10);

/// What a fault led to, where nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The process was killed there.
    Killed,
    /// The process ended by itself, and said why.
    Ended,
    /// The process went on.
    WentOn,
    /// This time the run did not come to that call: other threads came first, or the process did less.
    NotReached,
}

#[test]
fn what_was_acknowledged_survives_a_fault_at_any_file_call() {
    let which = env::var(WHICH);
    if !strace_works() {
        let what = "strace is missing or may not trace here: apt-get install strace";
        assert!(env::var_os("CI").is_none() && which.is_err(), "{what}");
        // Past the harness, which would keep it to itself.
        let _seen = writeln!(std::io::stderr(), "NOT RUN: faults in the real binary: {what}");
        return;
    }
    // In memory where that is possible: what a disk keeps through a loss of power is the simulator's matter.
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let base = base.expect("a temporary folder");
    let scenes = scenes(base.path());
    let all: Vec<Point> = scenes.iter().flat_map(|scene| reference(scene, base.path())).collect();
    let chosen = choose(&all, which.as_deref().unwrap_or("sample"));
    let (next, found) = (AtomicUsize::new(0), Mutex::new((BTreeMap::new(), Vec::new())));
    thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(point) = chosen.get(place) else { break };
                    let scene = scenes.iter().find(|scene| scene.name == point.scene).expect("points are of scenes");
                    let dir = base.path().join(format!("run-{place}"));
                    let outcome = check(scene, point, &dir);
                    fs::remove_dir_all(&dir).expect("it was made here");
                    let mut found = found.lock().expect("no holder panics");
                    match outcome {
                        Ok(outcome) => *found.0.entry((point.fault, outcome)).or_insert(0) += 1,
                        Err(wrong) => {
                            // At once: what is found last may be far off.
                            let wrong = format!("{point}: {wrong}");
                            let _seen = writeln!(std::io::stderr(), "FOUND {wrong}");
                            found.1.push(wrong);
                        }
                    }
                }
            });
        }
    });
    let (outcomes, wrong) = found.into_inner().expect("no holder panics");
    for scene in &scenes {
        let count = all.iter().filter(|point| point.scene == scene.name).count();
        println!("scene {}: {count} points", scene.name);
    }
    println!("{} points but those in the midst of a loop", most(&all).len());
    println!("{} of {} points run, {} findings", chosen.len(), all.len(), wrong.len());
    for ((fault, outcome), count) in &outcomes {
        println!("  {fault:<8} {outcome:?}: {count}");
    }
    let repeat = "each again with: cargo xtask strace POINT";
    assert!(wrong.is_empty(), "{} findings; {repeat}\n{}", wrong.len(), wrong.join("\n"));
    let reached: usize = outcomes.iter().filter(|((_, o), _)| *o != Outcome::NotReached).map(|(_, count)| count).sum();
    assert!(2 * reached >= chosen.len(), "only {reached} of {} faults came to pass: nothing is shown", chosen.len());
}

/// Whether strace is there and allowed to trace.
fn strace_works() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-e", "inject=sync:error=EIO", "true"]);
    strace.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Every point of a scene, from a run in which nothing fails.
fn reference(scene: &Scene, base: &Path) -> Vec<Point> {
    let dir = base.join(format!("reference-{}", scene.name));
    scene.set(&dir);
    let arguments = ["-y", "-e", "trace=%file,%desc"].map(String::from);
    let (seen, mut process) = scene.run(&dir, &arguments, PATIENCE);
    let trace = traced(&dir, &process);
    let ended = process.status().is_some_and(|status| status.success());
    assert!(ended && seen.wrong.is_none(), "nothing is injected: {seen:?}\n{}", process.said());
    after(scene, &dir, &seen.acknowledged).unwrap_or_else(|wrong| panic!("nothing is injected: {wrong}"));
    let points = points(scene.name, &trace, &dir.join("data").display().to_string());
    let happens =
        |call: &str, path: &str| points.iter().any(|point| point.call == call && point.path.starts_with(path));
    let (_, said) = verify(&dir.join("data"));
    assert!(
        said.lines().any(|line| line.starts_with("explanations") && !line.contains(" 0 ")),
        "nothing fires: {said}"
    );
    match scene.name {
        "new" => assert!(happens("rename", "checkpoints/"), "no checkpoint is written"),
        "full" => assert!(happens("pwrite64", "journal/segment-0000000000000002"), "no segment is full"),
        _ => {}
    }
    fs::remove_dir_all(&dir).expect("it was made here");
    points
}

/// The trace, once strace has written its end.
fn traced(dir: &Path, process: &Process) -> String {
    let end = format!("{} +++ ", process.id());
    let until = Instant::now() + TRACED;
    loop {
        let trace = fs::read(dir.join("trace")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let trace = trace.unwrap_or_default();
        let ends = trace.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(&end));
        if ends || Instant::now() > until {
            return trace;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The points that the words ask for.
fn choose(all: &[Point], which: &str) -> Vec<Point> {
    if which == "all" {
        return all.to_vec();
    }
    let most = most(all);
    if which == "most" {
        return most;
    }
    if which == "sample" {
        return sample(&most);
    }
    if let Some((part, parts)) = which.split_once('/').filter(|_| !which.contains(' ')) {
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
        let (Some(part), Some(parts)) = (number(part), number(parts)) else { panic!("`{which}` is no part") };
        return most.iter().skip(part - 1).step_by(parts).cloned().collect();
    }
    vec![which.parse().unwrap_or_else(|wrong| panic!("{wrong}"))]
}

/// All points but those in the midst of a long loop.
fn most(all: &[Point]) -> Vec<Point> {
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for Point { scene, call, path, number, .. } in all {
        let most = counts.entry((scene, call, path)).or_default();
        *most = (*most).max(*number);
    }
    let most = |point: &Point| counts[&(&*point.scene, &*point.call, &*point.path)];
    all.iter().filter(|point| point.tells(most(point))).cloned().collect()
}

/// Some points of each scene, call and fault in turn, the same each time.
fn sample(all: &[Point]) -> Vec<Point> {
    let mut random = Random::seeded(SEED);
    let mut kinds: BTreeMap<(&str, &str, Fault), Vec<&Point>> = BTreeMap::new();
    for point in all {
        kinds.entry((&point.scene, &point.call, point.fault)).or_default().push(point);
    }
    let mut kinds: Vec<Vec<&Point>> = kinds.into_values().collect();
    for at in (1..kinds.len()).rev() {
        kinds.swap(at, random.below(at as u64 + 1) as usize);
    }
    let mut chosen = Vec::new();
    while chosen.len() < SAMPLE && kinds.iter().any(|kind| !kind.is_empty()) {
        for kind in kinds.iter_mut().filter(|kind| !kind.is_empty()).take(SAMPLE - chosen.len()) {
            chosen.push(kind.swap_remove(random.below(kind.len() as u64) as usize).clone());
        }
    }
    chosen
}

/// One run with one fault, and what must hold after it.
fn check(scene: &Scene, point: &Point, dir: &Path) -> Result<Outcome, String> {
    scene.set(dir);
    let data = dir.join("data");
    let file = if point.path == "." { data } else { data.join(&point.path) };
    let (seen, mut process) = scene.run(dir, &point.arguments(&file.display().to_string()), CHECKPOINT);
    let (trace, said) = (traced(dir, &process), process.said());
    let killed = trace.contains("killed by SIGKILL");
    if let Some(wrong) = seen.wrong {
        return Err(format!("{wrong}\n{said}"));
    }
    if said.contains("panicked at") {
        return Err(format!("a refusal of the disk is no reason to panic\n{said}"));
    }
    after(scene, dir, &seen.acknowledged).map_err(|wrong| format!("{wrong}\nthe run before: {said}"))?;
    if killed && point.fault == Fault::Kill {
        return Ok(Outcome::Killed);
    }
    if !trace.contains("(INJECTED)") {
        return Ok(Outcome::NotReached);
    }
    match process.status() {
        Some(status) if status.success() => Ok(Outcome::WentOn),
        _ if said.lines().count() == 0 => Err("it ends without a word".into()),
        _ if point.fault == Fault::Eintr => Err(format!("it ends where it was only to try again\n{said}")),
        _ => Ok(Outcome::Ended),
    }
}

/// What must hold of a folder after any run: `verify` agrees, another start works, and after it nothing acknowledged is gone
/// and `verify` still agrees.
fn after(scene: &Scene, dir: &Path, acknowledged: &[i64]) -> Result<(), String> {
    let data = dir.join("data");
    let acknowledged: Vec<i64> = scene.before.iter().chain(acknowledged).copied().collect();
    if !acknowledged.is_empty() {
        verified(&data).map_err(|wrong| format!("before another start, {wrong}"))?;
    }
    Process::start(dir, &[]).answers_and_ends(2_000)?;
    kept(&data, &acknowledged)?;
    verified(&data)
}

fn verified(data: &Path) -> Result<(), String> {
    let (agrees, said) = verify(data);
    if agrees { Ok(()) } else { Err(format!("verify does not agree:\n{said}")) }
}

/// Whether every acknowledged body is in the journal, less those below what was trimmed.
fn kept(data: &Path, acknowledged: &[i64]) -> Result<(), String> {
    let Journalled { values, trimmed, .. } = journalled(data);
    let oldest = if trimmed { values.first().copied().unwrap_or(i64::MAX) } else { i64::MIN };
    // The newest is above any anchor that a trim may have gone to.
    let newest = acknowledged.last().copied();
    let asked = acknowledged.iter().filter(|&&first| first >= oldest || Some(first) == newest);
    let lost: Vec<i64> = asked.copied().filter(|first| !(*first..first + 5).all(|n| values.contains(&n))).collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("acknowledged and gone: {lost:?}")) }
}

#[test]
fn a_body_that_is_gone_is_noticed() {
    let base = tempfile::tempdir().expect("a temporary folder");
    let scene = Scene::new();
    let dir = base.path().join("run");
    scene.set(&dir);
    let (first, mut process) = scene.run(&dir, &[], PATIENCE);
    assert_eq!((first.acknowledged.len(), &first.wrong), (6, &None), "{}", process.said());
    let older = base.path().join("older");
    fs::rename(dir.join("data"), &older).expect("it ended");
    after(&scene, &dir, &[]).expect("a new folder has lost nothing");
    // The whole folder as it was in another run: `verify` agrees, and only who was answered can know.
    let lost = after(&scene, &dir, &first.acknowledged).expect_err("none of the first run's bodies is there");
    assert!(lost.contains(&format!("gone: {:?}", first.acknowledged)), "{lost}");
    fs::remove_dir_all(dir.join("data")).and_then(|()| fs::rename(&older, dir.join("data"))).expect("it ended");
    after(&scene, &dir, &first.acknowledged).expect("all of them are there");
}
