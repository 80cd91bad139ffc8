//! What is to be imported: which blocks, and which days each has something of.
use super::Failure;
use crate::render::chain;
use faultline_host::Disk;
use faultline_tsdb::{Block, Meta, TsdbError};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Length of what is read and written at once, in ms.
pub const DAY_MS: i64 = 86_400_000;
/// Most days from the first to the last: times further apart are somebody's mistake.
const DAYS_MAX: i64 = 100_000;
/// Length of a block's name.
const ULID: usize = 26;

/// What is to be done.
#[derive(Default)]
pub struct Plan {
    /// Those to be read, oldest first: of two samples of one time the first counts.
    pub blocks: Vec<Block>,
    /// Days with chunks: number since 1970, and numbers of the blocks that they are in.
    pub days: Vec<(i64, Vec<usize>)>,
    /// How many chunks there are.
    pub chunks: u64,
    /// Times of the first and the last sample.
    pub span: (i64, i64),
    /// Blocks that cannot be read, and why.
    pub left_out: Vec<(PathBuf, String)>,
    /// What is left out as it should be, and what else is to be known.
    pub notes: Vec<String>,
}

/// A block that may be read.
struct Candidate {
    block: Block,
    days: BTreeSet<i64>,
    chunks: u64,
    span: (i64, i64),
}

impl Plan {
    /// Looks for blocks and reads their indexes.
    pub fn of(disk: &Arc<dyn Disk>, from: &[PathBuf], interrupted: &AtomicBool) -> Result<Plan, Box<dyn Error>> {
        let (mut plan, mut candidates) = (Plan::default(), BTreeMap::new());
        for folder in from {
            let blocks = blocks_in(&**disk, folder)?;
            if blocks.is_empty() {
                let hint = "name the folder of --storage.tsdb.path, a snapshot, or a block";
                return Err(format!("no blocks of Prometheus are in {}: {hint}", folder.display()).into());
            }
            for path in blocks {
                if interrupted.load(Ordering::Relaxed) {
                    return Err("interrupted: nothing was written".into());
                }
                match surveyed(disk, &path) {
                    Ok(candidate) => {
                        let name = candidate.block.meta().ulid.clone();
                        if let Some(Candidate { block, .. }) = candidates.insert(name, candidate) {
                            plan.notes.push(format!("{} is there twice: read once", block.folder().display()));
                        }
                    }
                    Err(error) => plan.left_out.push((path, chain(&*error))),
                }
            }
            plan.tell_of_log(&**disk, folder);
        }
        plan.choose(candidates)?;
        Ok(plan)
    }

    /// Takes the blocks that no other has been made of.
    fn choose(&mut self, candidates: BTreeMap<String, Candidate>) -> Result<(), Box<dyn Error>> {
        let parents = candidates.values().flat_map(|it| &it.block.meta().compaction.parents);
        let parents: BTreeSet<String> = parents.map(|parent| parent.ulid.clone()).collect();
        let mut chosen: Vec<Candidate> = Vec::new();
        for (name, candidate) in candidates {
            if parents.contains(&name) {
                let path = candidate.block.folder().display();
                self.notes.push(format!("{path} is not read: another block was made of it"));
            } else {
                chosen.push(candidate);
            }
        }
        let mut writers: Vec<_> = chosen.iter().map(|it| &it.block.meta().thanos.labels).collect();
        writers.sort();
        writers.dedup();
        if let [one, other, ..] = writers[..] {
            let told = |labels: &BTreeMap<String, String>| {
                labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(", ")
            };
            let why = "these blocks are of more than one Prometheus, whose series would be mixed up";
            let hint = "import those of one at a time";
            return Err(format!("{why}: {{{}}} and {{{}}}; {hint}", told(one), told(other)).into());
        }
        chosen.sort_by(|a, b| (a.span, &a.block.meta().ulid).cmp(&(b.span, &b.block.meta().ulid)));
        let mut days: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        self.span = (i64::MAX, i64::MIN);
        for (number, candidate) in chosen.into_iter().enumerate() {
            candidate.days.iter().for_each(|day| days.entry(*day).or_default().push(number));
            self.chunks += candidate.chunks;
            self.span = (self.span.0.min(candidate.span.0), self.span.1.max(candidate.span.1));
            self.blocks.push(candidate.block);
        }
        self.days = days.into_iter().collect();
        if self.days.is_empty() { Err(format!("there is nothing to import{}", self.why_less()).into()) } else { Ok(()) }
    }

    /// Says that what Prometheus has not written to blocks is left out, where there is such.
    fn tell_of_log(&mut self, disk: &dyn Disk, folder: &Path) {
        let has = |name: &str| disk.list(&folder.join(name)).is_ok_and(|names| !names.is_empty());
        if has("wal") || has("chunks_head") {
            self.notes.push(format!(
                "what is only in {} is left out: the newest hours, up to three; a snapshot has them \
                 (curl -XPOST http://localhost:9090/api/v1/admin/tsdb/snapshot)",
                folder.join("wal").display()
            ));
        }
    }

    /// What could not be read, for an error that there is too little.
    pub fn why_less(&self) -> String {
        self.left_out.iter().map(|(path, why)| format!("; {}: {why}", path.display())).collect()
    }
}

/// Folders of blocks in a folder, or itself.
fn blocks_in(disk: &dyn Disk, folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    if disk.open_read(&folder.join("meta.json")).is_ok() {
        return Ok(vec![folder.to_path_buf()]);
    }
    let names = disk.list(folder).map_err(|error| format!("cannot read {}: {}", folder.display(), chain(&error)))?;
    // Unfinished and removed blocks have names that go on.
    let is_block = |name: &String| name.len() == ULID && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Ok(names.iter().filter(|name| is_block(name)).map(|name| folder.join(name)).collect())
}

/// Opens a block and reads its index.
fn surveyed(disk: &Arc<dyn Disk>, path: &Path) -> Result<Candidate, Failure> {
    let meta = Meta::read(&**disk, path).map_err(|error| match error {
        TsdbError::Io(error) if error.kind() == io::ErrorKind::NotFound => "it has no meta.json".into(),
        error => Failure::from(error),
    })?;
    let resolution = meta.thanos.downsample.resolution;
    if resolution != 0 {
        return Err(format!("Thanos has left out samples of it, down to one in {} s", resolution / 1000).into());
    }
    let stated = meta.stats;
    let block = Block::open(disk.clone(), path, meta)?;
    let (mut days, mut span, mut far) = (BTreeSet::new(), (i64::MAX, i64::MIN), false);
    let (survey, read) = block.survey(|first, last| {
        span = (span.0.min(first), span.1.max(last));
        let (from, to) = (first.div_euclid(DAY_MS), last.div_euclid(DAY_MS));
        far |= to - from > DAYS_MAX;
        // Most chunks lie in days that are known.
        let known = to - from <= 1 && days.contains(&from) && days.contains(&to);
        if !(far || known) {
            days.extend(from..=to);
            far |= days.len() as i64 > DAYS_MAX;
        }
    });
    read?;
    if far {
        return Err(format!("its times are more than {DAYS_MAX} days apart").into());
    }
    if stated.num_series != 0 && (stated.num_series, stated.num_chunks) != (survey.series, survey.chunks) {
        let (series, chunks) = (stated.num_series, stated.num_chunks);
        let has = format!("{} and {}", survey.series, survey.chunks);
        return Err(format!("its meta.json tells of {series} series and {chunks} chunks, its index of {has}").into());
    }
    Ok(Candidate { block, days, chunks: survey.chunks, span })
}
