//! Where a fault can be put: every file call of a reference run, as strace saw it.
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A way in which a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The device refuses.
    Eio,
    /// There is no room.
    Enospc,
    /// A signal came first.
    Eintr,
    /// The process ends before the call.
    Kill,
}
use Fault::{Eintr, Eio, Enospc, Kill};

const FAULTS: [(Fault, &str); 4] = [(Eio, "EIO"), (Enospc, "ENOSPC"), (Eintr, "EINTR"), (Kill, "SIGKILL")];

/// Calls that touch files, each with what its manual page lets it fail with.
/// A call that is not among them and touches the folder ends the test: the list is to be made longer.
const CALLS: &[(&str, &[Fault])] = &[
    ("openat", &[Eio, Enospc, Eintr, Kill]),
    ("read", &[Eio, Eintr, Kill]),
    ("pread64", &[Eio, Eintr, Kill]),
    ("readv", &[Eio, Eintr, Kill]),
    ("preadv", &[Eio, Eintr, Kill]),
    ("write", &[Eio, Enospc, Eintr, Kill]),
    ("pwrite64", &[Eio, Enospc, Eintr, Kill]),
    ("writev", &[Eio, Enospc, Eintr, Kill]),
    ("pwritev", &[Eio, Enospc, Eintr, Kill]),
    ("copy_file_range", &[Eio, Enospc, Kill]),
    ("fsync", &[Eio, Enospc, Eintr, Kill]),
    ("fdatasync", &[Eio, Enospc, Eintr, Kill]),
    ("sync_file_range", &[Eio, Enospc, Kill]),
    ("fallocate", &[Eio, Enospc, Eintr, Kill]),
    ("ftruncate", &[Eio, Eintr, Kill]),
    ("rename", &[Eio, Enospc, Kill]),
    ("renameat", &[Eio, Enospc, Kill]),
    ("renameat2", &[Eio, Enospc, Kill]),
    ("link", &[Eio, Enospc, Kill]),
    ("linkat", &[Eio, Enospc, Kill]),
    ("unlink", &[Eio, Kill]),
    ("unlinkat", &[Eio, Kill]),
    ("mkdir", &[Eio, Enospc, Kill]),
    ("mkdirat", &[Eio, Enospc, Kill]),
    ("chmod", &[Eio, Kill]),
    ("fchmod", &[Eio, Kill]),
    ("fchmodat", &[Eio, Kill]),
    ("getdents64", &[Eio, Kill]),
    ("stat", &[Eio, Kill]),
    ("lstat", &[Eio, Kill]),
    ("fstat", &[Eio, Kill]),
    ("newfstatat", &[Eio, Kill]),
    ("statx", &[Eio, Kill]),
    ("statfs", &[Eio, Eintr, Kill]),
    ("fstatfs", &[Eio, Eintr, Kill]),
    ("lseek", &[Kill]),
    ("flock", &[Eintr, Kill]),
    ("close", &[Eio, Eintr, Kill]),
];
/// Calls of the same sets that read or change no file's content, name or size.
const HARMLESS: &[&str] = &["fcntl", "ioctl", "dup", "poll", "ppoll", "epoll_wait", "epoll_ctl", "fadvise64", "mmap"];

/// One fault at one call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Name of the scene.
    pub scene: String,
    /// Name of the call.
    pub call: String,
    /// The file, from the data folder; `.` is the folder itself.
    pub path: String,
    /// Which of its thread's calls of this name on this file, from 1.
    pub number: usize,
    /// What happens there.
    pub fault: Fault,
}

/// As one types it: `new pwrite64 journal/segment-0000000000000001 3 EIO`.
impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} {}", self.scene, self.call, self.path, self.number, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FAULTS.iter().find(|(fault, _)| fault == self).expect("each has a name").1)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Point, String> {
        let wrong = || format!("`{text}` is no point: it is SCENE CALL PATH NUMBER FAULT");
        let words: Vec<&str> = text.split(' ').collect();
        let &[scene, call, path, number, fault] = &words[..] else { return Err(wrong()) };
        let (fault, _) = *FAULTS.iter().find(|(_, name)| *name == fault).ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        Ok(Point { scene: scene.into(), call: call.into(), path: path.into(), number, fault })
    }
}

impl Point {
    /// Whether this call is one of the first, of the last, or each eighth, of those that its thread makes on this file; `most`
    /// is their count. The others are pieces of one loop: zeros into the next segment, flush after flush.
    pub fn tells(&self, most: usize) -> bool {
        self.number <= 4 || self.number + 4 > most || self.number.is_multiple_of(8)
    }

    /// What strace is told; `path` is the file in full.
    pub fn arguments(&self, path: &str) -> Vec<String> {
        let Point { call, number, fault, .. } = self;
        let how = if *fault == Kill { "signal=SIGKILL".into() } else { format!("error={fault}") };
        let expressions = [format!("trace={call}"), format!("inject={call}:{how}:when={number}")];
        let mut arguments = vec!["-P".into(), path.into()];
        expressions.into_iter().for_each(|expression| arguments.extend(["-e".to_string(), expression]));
        arguments
    }
}

/// Every point of a trace made with `strace -f -y -e trace=%file,%desc`.
///
/// strace counts a call's occurrences in each thread by itself; so the number goes to the most that any thread has.
pub fn points(scene: &str, trace: &str, data: &str) -> Vec<Point> {
    let mut counts: BTreeMap<(&str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, rest)) = rest.trim_start().split_once('(') else { continue };
        let Some(path) = path_in(rest, data) else { continue };
        *counts.entry((call, path)).or_default().entry(thread).or_default() += 1;
    }
    let (mut points, counted) = (Vec::new(), counts.clone());
    for ((call, path), threads) in counts {
        if HARMLESS.contains(&call) {
            continue;
        }
        let folder = counted.contains_key(&("getdents64", path));
        let known = CALLS.iter().find(|(name, _)| *name == call);
        let (_, faults) = known.unwrap_or_else(|| panic!("{call} touches {path}: say what it may fail with"));
        for number in 1..=threads.into_values().max().unwrap_or(0) {
            let point = |&fault| Point { scene: scene.into(), call: call.into(), path: path.into(), number, fault };
            // Closing a folder cannot fail in Linux, and the standard library ends the process where it does.
            let possible = faults.iter().filter(|fault| !(folder && call == "close" && **fault == Eio));
            points.extend(possible.map(point));
        }
    }
    points
}

/// The first file of the data folder that a call names, or has open.
fn path_in<'a>(arguments: &'a str, data: &str) -> Option<&'a str> {
    arguments.match_indices(data).find_map(|(at, _)| {
        let (before, after) = (&arguments[..at], &arguments[at + data.len()..]);
        let end = if before.ends_with('<') { '>' } else { '"' };
        let path = &after[..after.find(end)?];
        let whole = before.ends_with(['<', '"']) && !path.ends_with("(deleted)");
        match path.strip_prefix('/') {
            Some(path) if whole => Some(path),
            None if whole && path.is_empty() => Some("."),
            _ => None,
        }
    })
}

#[test]
fn points_are_the_calls_of_a_trace() {
    let trace = concat!(
        "7 mkdir(\"/d\", 0777) = 0\n",
        "7 openat(AT_FDCWD, \"/d/a\", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0666) = 3</d/a>\n",
        "7 fcntl(3</d/a>, F_GETFD) = 0\n",
        "8 pwrite64(3</d/a>, \"x\\\"/d/b\"..., 5, 0 <unfinished ...>\n",
        "7 pwrite64(3</d/a>, \"y\", 1, 9) = 1\n",
        "8 <... pwrite64 resumed>) = 5\n",
        "8 pwrite64(3</d/a>, \"x\", 1, 5) = 1\n",
        "8 pwrite64(4</d/gone (deleted)>, \"x\", 1, 5) = 1\n",
        "8 openat(AT_FDCWD, \"/dev/null\", O_RDONLY) = 4</dev/null>\n",
    );
    let found = points("new", trace, "/d");
    let of = |call: &str| found.iter().filter(|point| point.call == call).count();
    assert_eq!((of("mkdir"), of("openat"), of("pwrite64"), found.len()), (3, 4, 8, 15));
    assert!(found.iter().all(|point| point.to_string().parse().as_ref() == Ok(point)));
    let point: Point = "new pwrite64 a 2 SIGKILL".parse().expect("it is well formed");
    assert!(found.contains(&point) && !found.iter().any(|point| point.path == "gone"));
    let arguments = ["-P", "/d/a", "-e", "trace=pwrite64", "-e", "inject=pwrite64:signal=SIGKILL:when=2"];
    assert_eq!(point.arguments("/d/a"), arguments);
    assert!("new pwrite64 a x EIO".parse::<Point>().is_err() && "new".parse::<Point>().is_err());
}
