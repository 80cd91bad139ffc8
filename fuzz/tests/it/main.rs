//! Every target on stable: its seeds, its corpus, every past finding, and mutations of them all.
//!
//! This is no search: it is the part of fuzzing that runs everywhere and takes a moment. The search is `cargo xtask fuzz`.
use faultline_fuzz::input::{Input, damage};
use faultline_fuzz::{TARGETS, Target};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Mutated inputs of each target.
const MUTATIONS: usize = 400;
/// Bytes of all committed inputs.
const COMMITTED_MAX: u64 = 1 << 20;

/// The files of `kind/<target>`, in name order.
fn files(kind: &str, target: &Target) -> Vec<PathBuf> {
    let folder = folder(kind, target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .map(|list| list.map(|entry| entry.expect("it is listed").path()).collect())
        .unwrap_or_default();
    files.sort();
    files
}

fn folder(kind: &str, target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target.name)
}

/// Runs one input; a panic says which one.
fn check(target: &Target, what: &str, bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| (target.run)(bytes));
    assert!(outcome.is_ok(), "target {}: {what} breaks a promise (above); its bytes: {bytes:?}", target.name);
}

fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let seeds = (target.seeds)().into_iter().enumerate().map(|(number, bytes)| (format!("seed {number}"), bytes));
    let files = ["regressions", "corpus"].into_iter().flat_map(|kind| files(kind, target));
    let files = files.map(|path| (path.display().to_string(), fs::read(&path).expect("it is listed")));
    seeds.chain(files).collect()
}

#[test]
fn seeds_corpus_and_past_findings_keep_every_promise() {
    for target in TARGETS {
        for (what, bytes) in inputs(target) {
            check(target, &what, &bytes);
        }
    }
}

#[test]
fn mutations_keep_every_promise() {
    // A linear congruential generator: the same choices everywhere.
    let mut state = 0x5eed_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for target in TARGETS {
        let inputs = inputs(target);
        for number in 0..MUTATIONS {
            let (what, mut bytes) = inputs[random() as usize % inputs.len()].clone();
            for _ in 0..=random() % 3 {
                let choices: Vec<u8> = (0..40).map(|_| random() as u8).collect();
                damage(&mut bytes, &mut Input(&choices));
            }
            bytes.truncate(target.size_max);
            check(target, &format!("mutation {number} of {what}"), &bytes);
        }
    }
}

/// libFuzzer wants files to begin with. Written anew with: UPDATE=1 cargo test -p faultline-fuzz seeds
#[test]
fn seeds_lie_in_the_corpus() {
    for target in TARGETS {
        let folder = folder("corpus", target);
        for (number, bytes) in (target.seeds)().into_iter().enumerate() {
            let path = folder.join(format!("seed-{number:02}"));
            if env::var_os("UPDATE").is_some() {
                fs::create_dir_all(&folder).and_then(|()| fs::write(&path, &bytes)).expect("the corpus can be written");
            }
            assert!(fs::read(&path).is_ok_and(|found| found == bytes), "{} is not the seed: UPDATE=1", path.display());
            assert!(bytes.len() <= target.size_max, "{} is cut by libFuzzer", path.display());
        }
    }
}

#[test]
fn what_is_committed_stays_small_and_belongs_to_a_target() {
    let mut size = 0;
    for kind in ["corpus", "regressions"] {
        for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(kind)).into_iter().flatten() {
            let name = folder.expect("it is listed").file_name();
            let target = TARGETS.iter().find(|target| *target.name == *name);
            let target = target.unwrap_or_else(|| panic!("{kind}/{} belongs to no target", name.display()));
            size += files(kind, target).iter().map(|path| fs::metadata(path).expect("it is listed").len()).sum::<u64>();
        }
    }
    assert!(size <= COMMITTED_MAX, "{size} bytes are committed; merge the corpus (cargo xtask fuzz --help)");
}
