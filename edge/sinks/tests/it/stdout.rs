//! Lines on standard output.
use crate::ledger::{Ledger, Place, alert};
use faultline_host::ManualClock;
use faultline_model::facts::AlertState::{Firing, Ok as Resolved, Pending};
use faultline_model::facts::{Cause, Decision, IncidentPhase, IncidentUpdate, Verdict};
use faultline_model::{AlertId, EffectId, Millis};
use faultline_sinks::{Form, Runner, Stdout};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

const NOW: Millis = Millis(1_795_000_000_000);

#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>, bool);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.1 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn incident(id: EffectId, phase: IncidentPhase) -> Decision {
    Decision::Incident(IncidentUpdate {
        id,
        phase,
        at: NOW,
        opened_at: NOW,
        alerts: vec![AlertId::default()],
        entities: vec!["pay".to_owned()],
        alert_names: vec!["Slow".to_owned()],
        merged_into: None,
        imported: false,
    })
}

fn verdict(incident: EffectId) -> Decision {
    let cause = Cause {
        entity: "gateway".to_owned(),
        kind: "stopped".to_owned(),
        posterior: 0.937,
        responsibility: 0.9,
        share: 1.0,
        onset: None,
        path: Vec::new(),
        evidence: Vec::new(),
    };
    Decision::Verdict(Verdict {
        incident,
        revision: 1,
        at: NOW,
        unknown: false,
        calibrated: false,
        causes: vec![cause],
        summary: "gateway\u{1b}[2J stopped.".to_owned(),
        why_not_second: String::new(),
        method: String::new(),
        unseen: Vec::new(),
        what_ifs: Vec::new(),
        checks: Vec::new(),
        reliability: None,
        passed: Vec::new(),
    })
}

/// What is printed in `form` of a small story, by a sink that has read up to `place`.
fn printed(form: Form, place: Option<u64>) -> String {
    let ledger = Ledger::default();
    ledger.push(alert("Gone", 1, Pending, Firing, NOW, 0));
    let opened = ledger.push(alert("Slow", 2, Pending, Firing, NOW, 30_000));
    ledger.push(alert("Gone", 1, Firing, Resolved, NOW, 0));
    ledger.push(incident(opened, IncidentPhase::Opened));
    ledger.push(verdict(opened));
    let ended = EffectId { ordinal: 9, ..opened };
    ledger.push(incident(ended, IncidentPhase::Opened));
    ledger.push(verdict(ended));
    ledger.push(incident(ended, IncidentPhase::Resolved));
    let (pipe, clock) = (Pipe::default(), ManualClock::at(NOW));
    let (mut sink, mut cursor) = (Stdout::new(pipe.clone(), form), Place(Arc::new(Mutex::new(place))));
    let mut runner = Runner::begin(&ledger, &mut cursor, &mut sink, &clock).unwrap();
    runner.turn().unwrap();
    clock.advance(std::time::Duration::from_secs(1));
    runner.turn().unwrap();
    assert_eq!(*cursor.0.lock().unwrap(), Some(8));
    String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_new_sink_tells_of_what_is_so_today_and_a_known_one_of_what_it_missed() {
    let today = concat!(
        "2026-11-18T11:06:40.000Z  firing    Slow{severity=\"page\", site=\"eu\"}  value 0.5  since 2026-11-18T11:06:10.000Z  id 0/1.0\n",
        "2026-11-18T11:06:40.000Z  incident  0/1.0 opened  alerts 1: Slow  services 1: pay  id 0/3.0\n",
        "2026-11-18T11:06:40.000Z  verdict   0/1.0 revision 1  gateway (stopped) 93.7 %, uncalibrated  gateway\\u{1b}[2J stopped.  id 0/4.0\n",
    );
    assert_eq!(printed(Form::Plain, None), today);
    let missed = printed(Form::Plain, Some(2));
    assert_eq!(missed.lines().count(), 6, "{missed}");
    assert!(missed.starts_with("2026-11-18T11:06:40.000Z  ok        Gone{"), "{missed}");
    assert!(printed(Form::Coloured, None).contains("  \u{1b}[31mfiring  \u{1b}[0m  Slow{"));
}

#[test]
fn json_lines_carry_ids_and_labels() {
    let lines: Vec<serde_json::Value> =
        printed(Form::Json, None).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let [alert, incident, verdict] = &lines[..] else { unreachable!() };
    assert_eq!((&alert["kind"], &alert["id"], &alert["to"]), (&"alert".into(), &"0/1.0".into(), &"firing".into()));
    assert_eq!((&alert["labels"]["severity"], &alert["occurrence"]), (&"page".into(), &"0/2".into()));
    assert_eq!((&incident["phase"], &incident["incident"]), (&"opened".into(), &"0/1.0".into()));
    assert_eq!(verdict["causes"][0]["posterior"], 0.937);
}

#[test]
fn a_closed_pipe_ends_the_sink_quietly() {
    let ledger = Ledger::default();
    ledger.push(alert("A", 1, Pending, Firing, NOW, 0));
    let (clock, mut sink) = (ManualClock::at(NOW), Stdout::new(Pipe(Arc::default(), true), Form::Plain));
    let mut place = Place::default();
    faultline_sinks::run(&ledger, &mut place, &mut sink, &clock).unwrap();
    assert_eq!(*place.0.lock().unwrap(), None, "what was not printed is not passed over");
}
