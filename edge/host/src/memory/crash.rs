//! What a power cut leaves of the changes that no sync had made durable.
use super::file::{Change, Node};
use super::{Inner, MemoryDisk};
use crate::random::Random;

/// Which waiting changes survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPolicy {
    /// None.
    LoseAll,
    /// All.
    KeepAll,
    /// Those up to a point drawn from the seed, of all files and folders in the order they were made; the write at that
    /// point is torn at a sector.
    Prefix(u64),
    /// Each sector of each write, and each name change, or not, by the seed.
    Subset(u64),
    /// All but one write drawn from the seed, which is torn at a sector: its start or its end survives.
    Torn(u64),
}

impl MemoryDisk {
    /// Cuts the power: what was synced stays, of the rest what `policy` says. Open files are dead, locks are free,
    /// a stopped machine runs again; the next user starts on what survived.
    pub fn crash(&self, policy: CrashPolicy) {
        let mut inner = self.lock_inner();
        inner.surviving(policy);
        let durable = inner.durable.clone();
        inner.live = durable;
        inner.waiting.clear();
        let named: Vec<u64> = inner.live.values().copied().collect();
        inner.nodes.retain(|id, _| named.contains(id));
        for node in inner.nodes.values_mut() {
            node.live = node.durable.clone();
            node.waiting.clear();
        }
        inner.end_process();
    }

    /// Ends the process only: what was written waits on in the kernel, and the next user sees it.
    pub fn kill(&self) {
        self.lock_inner().end_process();
    }
}

impl Inner {
    fn end_process(&mut self) {
        self.process += 1;
        self.locks.clear();
        if self.running().is_err() {
            self.stop_at = None;
        }
    }

    /// Moves the surviving changes into the durable picture.
    fn surviving(&mut self, policy: CrashPolicy) {
        let mut order: Vec<u64> = self.waiting.iter().map(|&(sequence, _)| sequence).collect();
        let writes: Vec<u64> =
            self.nodes.values().flat_map(|node| node.waiting.iter().map(|&(sequence, _)| sequence)).collect();
        order.extend(&writes);
        order.sort_unstable();
        let mut random = match policy {
            CrashPolicy::Prefix(seed) | CrashPolicy::Subset(seed) | CrashPolicy::Torn(seed) => Random::seeded(seed),
            CrashPolicy::LoseAll | CrashPolicy::KeepAll => Random::seeded(0),
        };
        let sector = self.sector;
        // The change at which a prefix ends, or the write that is torn.
        let from = if matches!(policy, CrashPolicy::Torn(_)) { &writes } else { &order };
        let point = if from.is_empty() { None } else { Some(from[random.below(from.len() as u64) as usize]) };
        for (sequence, change) in &self.waiting {
            let keep = match policy {
                CrashPolicy::LoseAll => false,
                CrashPolicy::KeepAll | CrashPolicy::Torn(_) => true,
                CrashPolicy::Prefix(_) => point.is_some_and(|point| *sequence < point),
                CrashPolicy::Subset(_) => random.below(2) == 0,
            };
            if keep {
                change.apply(&mut self.durable);
            }
        }
        for node in self.nodes.values_mut() {
            let Node { durable, waiting, .. } = node;
            for (sequence, change) in waiting.iter() {
                let at_point = point == Some(*sequence);
                match policy {
                    CrashPolicy::LoseAll => {}
                    CrashPolicy::KeepAll => change.apply(durable),
                    CrashPolicy::Prefix(_) if at_point => {
                        keep_sectors(change, durable, &mut random, End::Start, sector)
                    }
                    CrashPolicy::Prefix(_) if point.is_some_and(|point| *sequence < point) => change.apply(durable),
                    CrashPolicy::Prefix(_) => {}
                    CrashPolicy::Torn(seed) if at_point => {
                        let end = if seed % 2 == 0 { End::Start } else { End::Rest };
                        keep_sectors(change, durable, &mut random, end, sector);
                    }
                    CrashPolicy::Torn(_) => change.apply(durable),
                    CrashPolicy::Subset(_) => keep_sectors(change, durable, &mut random, End::Each, sector),
                }
            }
        }
    }
}

/// Which sectors of a write survive.
#[derive(Clone, Copy)]
enum End {
    /// Those before a drawn one.
    Start,
    /// Those from a drawn one on.
    Rest,
    /// Each by the toss of a coin.
    Each,
}

fn keep_sectors(change: &Change, durable: &mut Vec<u8>, random: &mut Random, end: End, sector_size: u64) {
    let Change::Write { at, bytes } = change else {
        if random.below(2) == 0 {
            change.apply(durable);
        }
        return;
    };
    let sectors = (at + bytes.len() as u64).div_ceil(sector_size) - at / sector_size;
    let drawn = random.below(sectors + 1);
    // Half of all subsets keep or lose a write whole: the likelier case on a real disk.
    let whole = (random.below(2) == 0).then(|| random.below(2) == 0);
    for sector in 0..sectors {
        let keep = match end {
            End::Start => sector < drawn,
            End::Rest => sector >= drawn,
            End::Each => whole.unwrap_or_else(|| random.below(2) == 0),
        };
        let start = ((at / sector_size + sector) * sector_size).max(*at);
        let stop = ((at / sector_size + sector + 1) * sector_size).min(at + bytes.len() as u64);
        if keep {
            let piece = bytes[(start - at) as usize..(stop - at) as usize].to_vec();
            Change::Write { at: start, bytes: piece }.apply(durable);
        }
    }
}
