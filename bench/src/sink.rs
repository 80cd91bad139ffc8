//! The null sink: reads bodies and acknowledges them, and answers a crossing with its alert, as fast as it can.
//!
//! It stands where the server would: what the generator reaches against it is the generator's own limit, and the time a
//! crossing takes through it is what sockets and threads alone cost.
use crate::Outcome;
use crate::cli::SinkArgs;
use crate::load::{Answer, Connection, read_message};
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How a point of value 1 begins whose first attribute is a `crossing` of six digits, from its value (field 4 of
/// `NumberDataPoint`) up to the digits (field 7, a `KeyValue` of an `AnyValue` of a string).
const CROSSING: &[u8] = b"\x21\0\0\0\0\0\0\xf0\x3f\x3a\x14\x0a\x08crossing\x12\x08\x0a\x06";
/// Crossings stand behind everything else of a body, this near to its end.
const CROSSINGS_AT: usize = 1024;

/// Runs until it is killed.
pub fn run(args: &SinkArgs) -> Outcome<()> {
    let Some(alerts) = args.alertmanager.strip_prefix("http://").and_then(|host| host.parse().ok()) else {
        return Err(format!("{} is not http://ADDRESS:PORT", args.alertmanager));
    };
    let cannot = |error: std::io::Error| format!("cannot listen on a free port of 127.0.0.1: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    eprintln!("  OTLP HTTP      http://{address}\n  API            http://{address}");
    let (fire, fired) = channel();
    thread::spawn(move || tell(alerts, &fired));
    let pace = Arc::new(Mutex::new(Pace { per_second: args.slow_to, free_at: Instant::now() }));
    for stream in listener.incoming().flatten() {
        let (fire, pace) = (fire.clone(), pace.clone());
        thread::spawn(move || take(stream, &fire, &pace));
    }
    Ok(())
}

/// When a server of a given speed would be done with what it has.
struct Pace {
    per_second: Option<f64>,
    free_at: Instant,
}

impl Pace {
    /// How long a body of `events` events, which comes now, has to wait until it is done.
    fn wait(&mut self, events: f64) -> Duration {
        let (now, Some(per_second)) = (Instant::now(), self.per_second) else { return Duration::ZERO };
        self.free_at = self.free_at.max(now) + Duration::from_secs_f64(events / per_second);
        self.free_at.duration_since(now)
    }
}

fn take(stream: TcpStream, fire: &Sender<String>, pace: &Mutex<Pace>) {
    let _best_effort = stream.set_nodelay(true);
    let Ok(mut answers) = stream.try_clone() else { return };
    let mut requests = BufReader::with_capacity(64 << 10, stream);
    while let Ok((line, body)) = read_message(&mut requests) {
        let events = if line.contains("/v1/metrics") { 2000.0 } else { 512.0 };
        let wait = pace.lock().expect("no holder panics").wait(events);
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        for crossing in crossings(&body) {
            let _teller_outlives_us = fire.send(crossing);
        }
        if answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// Labels of the crossings at the end of a body, uncompressed.
fn crossings(body: &[u8]) -> Vec<String> {
    let end = &body[body.len().saturating_sub(CROSSINGS_AT)..];
    let starts = end.windows(CROSSING.len()).enumerate().filter(|(_, window)| *window == CROSSING);
    let digits = starts.filter_map(|(at, _)| end.get(at + CROSSING.len()..)?.get(..6));
    digits.map(|digits| String::from_utf8_lossy(digits).into_owned()).collect()
}

/// Sends an alert for each crossing.
fn tell(alerts: SocketAddr, fired: &Receiver<String>) {
    let Ok(mut connection) = Connection::open(alerts) else { return };
    for crossing in fired {
        let body = format!("[{{\"labels\":{{\"crossing\":\"{crossing}\"}}}}]");
        let sent = connection.send("/api/v2/alerts", None, [body.as_bytes(), &[]]);
        if !matches!(sent.and_then(|()| connection.answer()), Ok(Answer { status: 200, .. })) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::crossing_body;

    #[test]
    fn sees_crossings_behind_a_body_and_none_at_rest() {
        let mut body = vec![7; 100_000];
        body.extend(crossing_body(41..45, 1.0, 1_800_000_000_000));
        assert_eq!(crossings(&body), ["000041", "000042", "000043", "000044"]);
        assert!(crossings(&crossing_body(0..2000, 0.0, 1_800_000_000_000)).is_empty());
        assert!(crossings(b"").is_empty());
    }
}
