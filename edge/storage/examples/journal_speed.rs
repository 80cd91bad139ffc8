//! Measures the journal on the real disk: `cargo run --release -p faultline-storage --example journal_speed -- FOLDER`.
//!
//! Groups of several sizes are appended and flushed one after another (the latency of one sender), then as fast as they
//! go with the flush on another thread (group commit under load), then read back twice.
use bytes::Bytes;
use faultline_formats::decode;
use faultline_host::{Flush, Item, Journal, RealDisk, SystemClock};
use faultline_model::{Clock, Encoding, Format, HashSeed, Kind, Payload, SourceId, TenantId};
use faultline_storage::{DataFolder, SegmentJournal, Settings};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: PathBuf = std::env::args().nth(1).ok_or("name a folder that does not exist yet")?.into();
    let folder = DataFolder::open(Arc::new(RealDisk), &path, [1; 16])?;
    let started = Instant::now();
    let (mut journal, _) =
        SegmentJournal::open(&folder, Settings::within(8 << 30), Arc::new(SystemClock::default()), None)?;
    println!("open a new journal: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let preparer = journal.preparer();
    thread::spawn(move || while preparer.prepare(Duration::from_millis(50)).is_ok() {});

    for (name, bodies, size, rounds) in
        [("4 KiB", 1, 4 << 10, 3_000), ("64 KiB", 1, 64 << 10, 2_000), ("1 MiB", 16, 64 << 10, 600)]
    {
        let body = body(size);
        let (mut times, started) = (Vec::new(), Instant::now());
        for _ in 0..rounds {
            let group = group(&body, bodies);
            let start = Instant::now();
            journal.append(group)?;
            let written = start.elapsed();
            journal.flush().wait()?;
            times.push((start.elapsed(), written));
        }
        let total = started.elapsed().as_secs_f64();
        times.sort();
        let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].0.as_secs_f64() * 1e3;
        let mut written: Vec<Duration> = times.iter().map(|time| time.1).collect();
        written.sort();
        println!(
            "append + flush, {name}: p50 {:.3} p99 {:.3} p99.9 {:.3} ms (append alone p50 {:.3}); {:.0} MB/s",
            at(0.5),
            at(0.99),
            at(0.999),
            written[written.len() / 2].as_secs_f64() * 1e3,
            (bodies * size * rounds) as f64 / total / 1e6,
        );
    }

    let (sender, flushes) = mpsc::sync_channel::<Box<dyn Flush>>(4);
    let flusher = thread::spawn(move || flushes.into_iter().for_each(|flush| flush.wait().expect("the disk works")));
    let (body, started, rounds) = (body(64 << 10), Instant::now(), 1_500);
    for _ in 0..rounds {
        journal.append(group(&body, 16))?;
        sender.send(journal.flush())?;
    }
    drop(sender);
    flusher.join().expect("the flusher ends");
    println!(
        "1 MiB groups, flushed beside: {:.0} MB/s durable",
        rounds as f64 * 1.048_576 / started.elapsed().as_secs_f64()
    );

    for pass in ["first", "second"] {
        let (mut reader, mut after, mut bytes, mut records, started) =
            (journal.reader(), None, 0, 0u64, Instant::now());
        loop {
            let items = reader.read(after, 4 << 20)?;
            if items.is_empty() {
                break;
            }
            for item in &items {
                if let Item::Record(record) = item {
                    (after, bytes, records) = (Some(record.at), bytes + record.payload.body.len(), records + 1);
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("read, {pass} pass: {:.2} GB/s ({records} records, {bytes} bytes)", bytes as f64 / seconds / 1e9);
    }
    journal.close()?;
    drop(folder);
    let folder = DataFolder::open(Arc::new(RealDisk), &path, [1; 16])?;
    let started = Instant::now();
    SegmentJournal::open(&folder, Settings::within(8 << 30), Arc::new(SystemClock::default()), None)?;
    println!("open it again: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn body(size: usize) -> Bytes {
    Bytes::from((0..size).map(|index| ((index * 131) >> 3) as u8).collect::<Vec<u8>>())
}

fn group(body: &Bytes, count: usize) -> Vec<faultline_formats::Decoded> {
    let source = SourceId([1; 16]);
    let kind =
        Kind::Telemetry { source, format: Format::OtlpMetrics, encoding: Encoding::Identity, clock: Clock::Live };
    let payload = || Payload { tenant: TenantId(0), kind, body: body.clone() };
    // Decoding is not measured here: a tick's body is not looked at, and on disk it is a body like any other.
    (0..count)
        .map(|_| faultline_formats::Decoded {
            payload: payload(),
            ..decode(Payload { kind: Kind::Tick, ..payload() }, HashSeed(1))
        })
        .collect()
}
