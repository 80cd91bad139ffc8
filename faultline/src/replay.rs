//! `faultline replay`: the journal once more, without side effects, and what was decided.
use crate::cli::{FolderArgs, Output};
use crate::replayed::{Replay, Watch, in_words};
use crate::start::beginning;
use faultline_engine::Effects;
use faultline_formats::Record;
use faultline_host::{Disk, RealDisk};
use faultline_storage::{DataFolder, SegmentJournal};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Prints each decision as it is taken again; nothing leaves, nothing is written.
pub fn run(args: &FolderArgs) -> Result<ExitCode, Box<dyn Error>> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = DataFolder::inspect(disk, &args.data)?;
    let mut reader = SegmentJournal::inspect(&folder, None)?.reader;
    let start = beginning(&folder, &mut *reader)?;
    let mut replay = Replay::new(start.engine, start.leaves);
    let began = Instant::now();
    let result = replay.run(&mut *reader, &mut Print { output: args.output });
    let seconds = began.elapsed().as_secs_f64();
    eprintln!(
        "replayed {} records, {} events, {} decisions in {seconds:.1} s ({:.0} events/s)",
        replay.records,
        replay.events,
        replay.leaves - start.leaves - replay.sealed,
        replay.events as f64 / seconds.max(1e-9)
    );
    result?;
    Ok(ExitCode::SUCCESS)
}

struct Print {
    output: Output,
}

impl Watch for Print {
    fn stepped(&mut self, _: &Record, _: Effects) {}

    fn leaves(&mut self, first: u64, leaves: &[Box<[u8]>]) {
        for (number, leaf) in (first..).zip(leaves) {
            match self.output {
                Output::Table => println!("{number:>8}  {}", in_words(leaf)),
                Output::Json => println!("{}", serde_json::json!({ "leaf": number, "decision": in_words(leaf) })),
            }
        }
    }
}
