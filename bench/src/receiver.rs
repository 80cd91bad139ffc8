//! A tiny Alertmanager: takes alerts, and remembers when each crossing's first one came.
use crate::Outcome;
use crate::load::read_message;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

/// Alerts received so far.
#[derive(Debug, Default)]
struct Received {
    /// When the first alert of each crossing came, by the crossing's label.
    crossings: BTreeMap<String, Instant>,
    /// Alerts of other rules, each sending counted.
    others: u64,
}

/// The receiver's address and what it received. Its threads end with the process.
#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    /// Listens on a free port of the loopback.
    pub fn start() -> Outcome<Receiver> {
        let cannot = |error| format!("cannot listen for alerts on a free port of 127.0.0.1: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let received = Arc::new(Mutex::new(Received::default()));
        let all = received.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let received = all.clone();
                thread::spawn(move || serve(stream, &received));
            }
        });
        Ok(Receiver { address, received })
    }

    /// When the first alert of a crossing came.
    pub fn arrival(&self, crossing: &str) -> Option<Instant> {
        self.received.lock().expect("no holder panics").crossings.get(crossing).copied()
    }

    /// How many crossings were told of.
    pub fn count(&self) -> usize {
        self.received.lock().expect("no holder panics").crossings.len()
    }

    /// How many alerts of other rules came.
    pub fn others(&self) -> u64 {
        self.received.lock().expect("no holder panics").others
    }
}

/// Answers requests on a connection until it closes or sends what is no HTTP.
fn serve(stream: TcpStream, received: &Mutex<Received>) {
    let Ok(mut answers) = stream.try_clone() else { return };
    let _best_effort = stream.set_nodelay(true);
    let mut requests = BufReader::new(stream);
    while let Ok((_, body)) = read_message(&mut requests) {
        // Taken before parsing: the alert is here, however long we take to read it.
        let now = Instant::now();
        take(&body, now, received);
        if answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

fn take(body: &[u8], now: Instant, received: &Mutex<Received>) {
    let Ok(Value::Array(alerts)) = serde_json::from_slice(body) else { return };
    let mut received = received.lock().expect("no holder panics");
    for alert in alerts {
        match alert["labels"]["crossing"].as_str() {
            Some(crossing) => {
                received.crossings.entry(crossing.to_owned()).or_insert(now);
            }
            None => received.others += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_alert_of_a_crossing_counts_over_one_connection() {
        let receiver = Receiver::start().unwrap();
        let mut stream = TcpStream::connect(receiver.address).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        let mut post = |body: &str| {
            write!(stream, "POST /api/v2/alerts HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            read_message(&mut answers).unwrap().0
        };
        assert!(post(r#"[{"labels":{"crossing":"000001"}},{"labels":{"alertname":"Other"}}]"#).contains("200"));
        let first = receiver.arrival("000001").unwrap();
        assert!(post(r#"[{"labels":{"crossing":"000001"}},{"labels":{"crossing":"000002"}}]"#).contains("200"));
        assert!(post("nonsense").contains("200"));
        assert_eq!(receiver.arrival("000001"), Some(first));
        assert!(receiver.arrival("000002").unwrap() >= first);
        assert_eq!((receiver.count(), receiver.others()), (2, 1));
    }
}
