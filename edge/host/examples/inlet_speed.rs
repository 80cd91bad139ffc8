//! Measures the inlet: `cargo run --release -p faultline-host --example inlet_speed`.
//!
//! How long a sleeping loop takes to see a record and its sender to see the answer, and how many records per second pass
//! when two threads send without waiting.
use bytes::Bytes;
use faultline_formats::{Decoded, decode};
use faultline_host::{Answer, Limits, inlet};
use faultline_model::{HashSeed, Kind, Payload, Position, TenantId};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let limits = Limits { bytes: 256 << 20, count: 100_000, reading: 0, retry_after: Duration::from_secs(1) };
    let (sender, intake) = inlet(limits);
    let loop_thread = thread::spawn(move || {
        let mut offset = 0;
        while !intake.finished() {
            for submitted in intake.take_group(Duration::from_secs(1), 1 << 20, 10_000) {
                submitted.reply.send(Ok(Answer { at: Position { partition: 0, offset }, rejects: Vec::new() }));
                offset += 1;
            }
        }
    });
    let mut times = Vec::new();
    for _ in 0..5_000 {
        thread::sleep(Duration::from_micros(100));
        let record = record();
        let start = Instant::now();
        sender.offer(record).expect("there is room").wait().expect("it is answered");
        times.push(start.elapsed());
    }
    times.sort();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e6;
    println!("there and back, both asleep: p50 {:.1} p90 {:.1} p99 {:.1} us", at(0.5), at(0.9), at(0.99));

    let (started, each) = (Instant::now(), 500_000u32);
    let refused: u32 = thread::scope(|scope| {
        let send = || {
            let mut refused = 0;
            for _ in 0..each {
                while sender.offer(record()).is_err() {
                    refused += 1;
                    thread::yield_now();
                }
            }
            refused
        };
        let threads = [scope.spawn(send), scope.spawn(send)];
        threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
    });
    let rate = 2.0 * f64::from(each) / started.elapsed().as_secs_f64();
    println!("two senders: {:.2} M records/s, {refused} times refused", rate / 1e6);
    sender.stop();
    loop_thread.join().expect("it ends");
}

fn record() -> Decoded {
    decode(Payload { tenant: TenantId(0), kind: Kind::Tick, body: Bytes::from_static(b"a body") }, HashSeed(1))
}
