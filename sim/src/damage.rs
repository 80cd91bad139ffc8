//! Damage: a byte of the disk that is not what was written. It need not be healed, it must be noticed.
//!
//! Noticed is what a start refuses or `verify` names. What is neither must be harmless: every acknowledged record is there,
//! with its bytes, and every decision follows. One thing cannot be noticed on one disk: the groups written last, of which
//! nothing written later says that they were durable, look like a tail that a crash tore.
use crate::disk::SimDisk;
use crate::node::{DATA, Node, signer};
use crate::oracle::{Broken, broken};
use crate::run::Sim;
use faultline::verify::check_on;
use faultline_host::{Disk, MemoryDisk};
use std::path::Path;
use std::sync::Arc;

/// Groups that nothing written later may vouch for: those that may wait for the disk at once, and the one before.
const UNVOUCHED: usize = 5;

/// While the process is down, a bit of a file of a copy of the disk turns.
pub fn rot(sim: &mut Sim, file: u64, byte: u64, bit: u64) -> Result<(), Broken> {
    let memory = sim.disk.memory.copy();
    let report = check_on(Arc::new(memory.clone()), Path::new(DATA), signer().verifier());
    if !report.ok {
        return broken("verify", format!("of a machine that is whole: {}", report.difference.unwrap_or_default()));
    }
    let mut files = memory.files();
    files.retain(|path| memory.content(path).is_some_and(|content| !content.is_empty()));
    if files.is_empty() {
        return Ok(());
    }
    let path = &files[file as usize % files.len()];
    let mut content = memory.content(path).expect("it is listed");
    // Most bytes of a segment are empty: those that hold something are worth more.
    let used: Vec<usize> = (0..content.len()).filter(|&at| content[at] != 0).collect();
    let at = if byte.is_multiple_of(8) || used.is_empty() {
        byte as usize % content.len()
    } else {
        used[byte as usize % used.len()]
    };
    content[at] ^= 1 << (bit % 8);
    memory.set_content(path, &content);
    sim.coverage.add("faults", "bit rot at rest", 1);
    let what = format!("bit {} of byte {at} of {}", bit % 8, path.display());
    examine(sim, memory, &what)
}

/// Whether damage on `memory` is noticed, or harmless.
pub fn examine(sim: &mut Sim, memory: MemoryDisk, what: &str) -> Result<(), Broken> {
    memory.kill();
    let disk: Arc<dyn Disk> = Arc::new(memory.clone());
    if !check_on(disk, Path::new(DATA), signer().verifier()).ok {
        sim.coverage.add("states", "damage named by verify", 1);
        return Ok(());
    }
    let disk = SimDisk::over(memory);
    let node = match Node::start(&disk, sim.plan.options.settings(), &sim.clock, 0) {
        Ok(node) => node,
        Err(_) => {
            sim.coverage.add("states", "damage refused at a start", 1);
            return Ok(());
        }
    };
    let missing = match sim.oracle.missing(&mut *node.reader()) {
        Ok(missing) => missing,
        Err(_) => {
            sim.coverage.add("states", "damage refused at a read", 1);
            return Ok(());
        }
    };
    let vouched = sim.marks.len().checked_sub(UNVOUCHED).and_then(|at| sim.marks[at]);
    match missing.first() {
        None => {
            sim.coverage.add("states", "damage without consequence", 1);
            Ok(())
        }
        Some(first) if Some(*first) > vouched => {
            sim.coverage.add("states", "damage that looks like a torn tail", 1);
            Ok(())
        }
        Some(first) => {
            broken("silent", format!("{what}: record {first} was acknowledged, is gone, and nobody says so"))
        }
    }
}
