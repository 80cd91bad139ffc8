//! `faultline diff-state`: the engine's state in two folders, or at two positions, page by page and row by row.
mod value;

use crate::cli::{DiffArgs, Output};
use crate::replayed::{Mode, Replay, Watch};
use crate::start::Origin;
use faultline_engine::{Checkpoint, Effects, core_field};
use faultline_formats::Record;
use faultline_host::{Disk, RealDisk};
use faultline_model::table::PAGE_ROWS;
use faultline_model::{Canonical, Hlc, Labels, Position, Sample, Writer};
use faultline_observe::ring::Ring;
use faultline_sinks::stdout::visible;
use faultline_storage::{DataFolder, SegmentJournal};
use serde::Serialize;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use value::Value;

/// Most characters of a value that are shown.
const SHOWN: usize = 300;

/// The first difference between two states.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The page: `core`, `retries`, `rules`, `graph`, `sources`, `incidents`, `series`, or `<table>/<page>`.
    pub page: String,
    /// What differs on it: a series, or the way to a value.
    pub place: String,
    /// What the first state has there.
    pub first: String,
    /// What the second has.
    pub second: String,
    /// Pages that differ in all.
    pub pages: u64,
}

/// Runs the command.
pub fn run(args: &DiffArgs) -> Result<ExitCode, Box<dyn Error>> {
    let [first, second] = sides(args)?;
    let (a, b) = (first.state()?, second.state()?);
    let difference = compare(&a, &b)?;
    let at = [first.at.to_string(), second.at.to_string()];
    match args.output {
        Output::Json => println!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({
                "equal": difference.is_none(),
                "at": at,
                "state": [a.digest().hex(), b.digest().hex()],
                "difference": difference,
            }))?
        ),
        Output::Table => {
            println!("{} after {}: state {}", first.path.display(), at[0], a.digest().hex());
            println!("{} after {}: state {}", second.path.display(), at[1], b.digest().hex());
            match &difference {
                None => println!("equal"),
                Some(Difference { page, place, first, second, pages }) => {
                    println!("different: {pages} pages; the first is {page}\n{}", visible(place));
                    println!("  first   {}\n  second  {}", visible(first), visible(second));
                }
            }
        }
    }
    Ok(if difference.is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A folder and the record after which its state is asked for.
struct Side<'a> {
    path: &'a Path,
    at: Position,
}

/// What is to be compared.
fn sides(args: &DiffArgs) -> Result<[Side<'_>; 2], Box<dyn Error>> {
    let paths: [&Path; 2] = match &args.folders[..] {
        [one] => [one, one],
        [one, other] => [one, other],
        _ => return Err("give one data folder or two".into()),
    };
    let at = match (&args.at[..], args.folders.len()) {
        (&[first, second], _) => [first, second],
        (&[at], 2) => [at, at],
        (&[], 2) => [last(paths[0])?.min(last(paths[1])?); 2],
        (_, 1) => return Err("one folder is compared at two positions: give --at twice".into()),
        _ => return Err("give --at twice at most".into()),
    };
    Ok([Side { path: paths[0], at: at[0] }, Side { path: paths[1], at: at[1] }])
}

/// The last record of a folder's journal.
fn last(path: &Path) -> Result<Position, Box<dyn Error>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let next = SegmentJournal::inspect(&DataFolder::inspect(disk, path)?, None)?.recovered.next;
    match next.offset.checked_sub(1) {
        Some(offset) => Ok(Position { offset, ..next }),
        None => Err(format!("the journal in {} is empty", path.display()).into()),
    }
}

impl Side<'_> {
    /// Brings the state to the position: from the newest checkpoint before it, or from the oldest record.
    fn state(&self) -> Result<Checkpoint, Box<dyn Error>> {
        struct UpTo(Position);
        impl Watch for UpTo {
            fn next(&mut self, at: Position, _: Hlc) -> ControlFlow<()> {
                if at > self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            fn stepped(&mut self, _: &Record, _: Effects) {}
            fn leaves(&mut self, _: u64, _: &[Box<[u8]>]) {}
        }
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let folder = DataFolder::inspect(disk, self.path)?;
        let segments = SegmentJournal::inspect(&folder, None)?.segments;
        let reader = || segments.reader();
        let after = Position { offset: self.at.offset.saturating_add(1), ..self.at };
        let origin = Origin::before(&folder, &reader, after);
        // Whether the leaves are what is decided is for `verify` to say: the states are wanted where they are not, too.
        let mut replay = Replay::of(&origin, Mode::Records)?;
        replay.run(&origin, &mut UpTo(self.at))?;
        match replay.last {
            Some(last) if last == self.at => Ok(replay.engine.checkpoint()),
            Some(last) if last > self.at => {
                Err(format!("{}: the oldest state there is after record {last}", self.path.display()).into())
            }
            _ => Err(format!("{}: the journal ends before record {}", self.path.display(), self.at).into()),
        }
    }
}

/// The first difference between two states; none where they are equal.
pub fn compare(first: &Checkpoint, second: &Checkpoint) -> Result<Option<Difference>, Box<dyn Error>> {
    let longest = first.pages.len().max(second.pages.len());
    let differ: Vec<usize> = (0..longest).filter(|&i| first.pages.get(i) != second.pages.get(i)).collect();
    let Some(&at) = differ.first() else { return Ok(None) };
    let (mine, theirs) = (first.pages.get(at), second.pages.get(at));
    let page = mine.or(theirs).expect("one of them is this long").name.clone();
    let read = |page: Option<&faultline_engine::Page>| match page {
        Some(page) => Value::from_bytes(&page.bytes),
        // Of a table that is shorter in one of the states, all rows are new.
        None => Ok(Value::Array(Vec::new())),
    };
    let (mine, theirs) = (read(mine)?, read(theirs)?);
    let Some((way, a, b)) = mine.first_difference(&theirs) else {
        return Err(format!("page {page} differs in its bytes and not in its value").into());
    };
    let shown = |value: Option<&Value>| cut(&value.map_or("nothing".to_string(), Value::to_string));
    let mut found =
        Difference { place: String::new(), first: shown(a), second: shown(b), pages: differ.len() as u64, page };
    let index = |way: &[usize]| way.iter().map(|at| format!("[{at}]")).collect::<String>();
    let rows = found.page.split_once('/').and_then(|(table, number)| Some((table, number.parse::<usize>().ok()?)));
    match (rows, &way[..]) {
        (Some(("series", number)), [row, ..]) => {
            let of = |page: &Value| page.items().get(*row).cloned();
            let (mine, theirs) = (of(&mine), of(&theirs));
            let id = number * PAGE_ROWS + row;
            let field = match way.get(1) {
                Some(0) => "labels",
                Some(1) => "samples",
                Some(2) => "time of the last sample",
                Some(3) => "running total",
                _ => "the whole row",
            };
            let name = mine.as_ref().or(theirs.as_ref()).and_then(series).unwrap_or("a free row".to_string());
            found.place = format!("row {id}, series {name}: {field}");
            if matches!(way.get(1), None | Some(1)) {
                let rings = [mine.as_ref(), theirs.as_ref()].map(samples);
                // Bits, not values: a NaN is not equal to itself.
                let sample = |ring: &Option<Vec<Sample>>, at: usize| {
                    let sample = ring.as_ref()?.get(at)?;
                    Some((sample.time(), sample.is_stale(), sample.value().to_bits()))
                };
                let same = |at: &usize| sample(&rings[0], *at) == sample(&rings[1], *at);
                let at = (0..).find(|at| !same(at) || sample(&rings[0], *at).is_none()).unwrap_or_default();
                [found.first, found.second] = rings.map(|ring| said(ring.as_deref(), at));
            }
        }
        // A row a page.
        (Some(("retries" | "rules", number)), [_, rest @ ..]) => {
            found.place = format!("row {number}{}", index(rest));
        }
        (Some((_, number)), [row, rest @ ..]) => {
            found.place = format!("row {}{}", number * PAGE_ROWS + row, index(rest));
        }
        (_, [field, rest @ ..]) if found.page == "core" => {
            found.place = format!("{}{}", core_field(*field).unwrap_or("?"), index(rest));
        }
        (_, way) => found.place = format!("at {}{}", found.page, index(way)),
    }
    Ok(Some(found))
}

/// A series' labels, as Prometheus writes them.
fn series(row: &Value) -> Option<String> {
    let labels = row.items().first()?;
    let texts = labels.items().iter().map(|item| match item {
        Value::Text(text) => text.as_str(),
        _ => "?",
    });
    let texts: Vec<&str> = texts.collect();
    Some(Labels::new(texts.chunks_exact(2).map(|pair| (pair[0], pair[1]))).to_string())
}

/// The samples of a series' row; nothing where there is no such row.
fn samples(row: Option<&Value>) -> Option<Vec<Sample>> {
    let Value::Bytes(packed) = row?.items().get(1)? else { return None };
    let mut w = Writer::default();
    w.bytes(packed);
    Ring::from_bytes(&w.into_bytes()).ok().map(|ring| ring.samples().to_vec())
}

/// Samples for people: how many, and the one at `at`.
fn said(samples: Option<&[Sample]>, at: usize) -> String {
    let Some(samples) = samples else { return "no such series".to_string() };
    let count = samples.len();
    match samples.get(at) {
        None => format!("{count} samples"),
        Some(it) if it.is_stale() => {
            format!("{count} samples, number {at} is the end of the series at {}", it.time())
        }
        Some(it) => format!("{count} samples, number {at} is {} at {}", it.value(), it.time()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_string(),
        Some((end, _)) => format!("{} ... ({} characters)", &text[..end], text.chars().count()),
    }
}
