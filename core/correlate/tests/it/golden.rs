//! Written scenarios: `tests/golden/*.txt`. Rewrite with `UPDATE=1 cargo test -p faultline-correlate`.
//!
//! `calls a -> b -> c` draws calls; `<seconds> fire|resolve|unknown|import <alert> [<entity>] [since <seconds>]` is a transition; `<seconds>`
//! alone lets time pass; `follow later|between` has incidents from there on explained on, as engines of version 8 and of version 9 do; `answered <revision>` answers the oldest incident's explanation. Between `----` and an empty line stands what it led to.
use crate::{Calls, effect, transition};
use faultline_correlate::Incidents;
use faultline_model::facts::{AlertState, IncidentUpdate};
use faultline_model::{AlertId, Canonical, Millis};
use std::collections::BTreeMap;
use std::fmt::Write as _;

struct Scene {
    incidents: Incidents,
    calls: Calls,
    names: BTreeMap<AlertId, String>,
    offset: u64,
    now: Millis,
    said: String,
    follows: (bool, bool),
}

impl Scene {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["calls", ..] => {
                words[1..].chunks(2).zip(words[3..].chunks(2)).for_each(|(a, b)| self.calls.add(a[0], b[0]));
            }
            ["follow", upto] => self.follows = (true, upto == "between"),
            ["answered", revision] => {
                let id = self.incidents.open().next().expect("an open incident").id();
                self.incidents.answered(id, revision.parse().expect("a revision"));
                self.explain(self.now);
            }
            [at] => self.pass(millis(at)),
            [at, what, alert, ref rest @ ..] => {
                let at = millis(at);
                self.pass(at);
                let entity = rest.first().filter(|word| **word != "since").copied().unwrap_or("");
                let since = rest.iter().position(|word| *word == "since").map_or(at, |i| millis(rest[i + 1]));
                let to = match what {
                    "fire" | "import" => AlertState::Firing,
                    "resolve" => AlertState::Ok,
                    "pending" => AlertState::Pending,
                    "unknown" => AlertState::Unknown,
                    other => panic!("no such word: {other}"),
                };
                let mut transition = transition(alert, entity, to, at, since);
                transition.imported = what == "import";
                self.names.insert(transition.alert, format!("{alert}@{entity}"));
                self.offset += 1;
                let mut out = Vec::new();
                self.incidents.apply(&transition, effect(self.offset), &self.calls, &mut out);
                self.tell(&out);
                self.explain(at);
            }
            _ => panic!("no such line: {line}"),
        }
    }

    /// Fires timers at the instants at which they are due, as the engine does.
    fn pass(&mut self, until: Millis) {
        self.now = until;
        while let Some(at) = self.incidents.due().filter(|&at| at <= until) {
            let mut out = Vec::new();
            self.incidents.advance(at, &mut out);
            self.tell(&out);
            self.explain(at);
        }
    }

    fn tell(&mut self, updates: &[IncidentUpdate]) {
        for update in updates {
            let alerts: Vec<&str> = update.alerts.iter().map(|alert| &*self.names[alert]).collect();
            let mut alerts = alerts.join(" ");
            if let Some(into) = update.merged_into {
                write!(alerts, " -> #{}", into.cause.offset).expect("a string grows");
            }
            let imported = if update.imported { " (imported)" } else { "" };
            let (at, id, phase) = (update.at.0 as f64 / 1e3, update.id.cause.offset, update.phase.word());
            writeln!(self.said, "{at} #{id} {phase}{imported}: {alerts}").expect("a string grows");
        }
    }

    fn explain(&mut self, at: Millis) {
        for (id, revision) in self.incidents.explanations_due(at) {
            writeln!(self.said, "{} #{} explain {revision}", at.0 as f64 / 1e3, id.cause.offset)
                .expect("a string grows");
        }
    }
}

fn millis(seconds: &str) -> Millis {
    Millis((seconds.parse::<f64>().expect("seconds") * 1e3) as i64)
}

/// Plays a file; what it says replaces what is written behind each `----`. State goes through its bytes after each step.
fn play(text: &str) -> String {
    let mut found = String::new();
    let mut scene: Option<Scene> = None;
    let mut expected = false;
    for line in text.lines() {
        match line {
            "----" => {
                let scene = scene.as_mut().expect("a scene begins with `== title`");
                found.push_str("----\n");
                found.push_str(&std::mem::take(&mut scene.said));
                expected = true;
            }
            "" => {
                found.push('\n');
                expected = false;
            }
            _ if expected => {}
            _ => {
                found.push_str(line);
                found.push('\n');
                if line.starts_with("==") {
                    scene = Some(Scene {
                        incidents: Incidents::default(),
                        calls: Calls::default(),
                        names: BTreeMap::new(),
                        offset: 0,
                        now: Millis(0),
                        said: String::new(),
                        follows: (false, false),
                    });
                } else if !line.starts_with('#') {
                    let scene = scene.as_mut().expect("a scene begins with `== title`");
                    scene.line(line);
                    let bytes = scene.incidents.to_bytes();
                    scene.incidents = Incidents::from_bytes(&bytes).expect("it was just written");
                    assert_eq!(scene.incidents.to_bytes(), bytes);
                    // As the engine does: which version decides is not the incidents' own.
                    scene.incidents.follow(scene.follows.0, scene.follows.1);
                }
            }
        }
    }
    found
}

#[test]
fn scenarios() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/incidents.txt");
    let text = std::fs::read_to_string(path).expect("the golden file is there");
    let found = play(&text);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &found).expect("the golden file can be written");
        return;
    }
    assert_eq!(found, text);
}
