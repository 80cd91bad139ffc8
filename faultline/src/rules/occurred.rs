//! `faultline rules history`: each time that an alert was active, as the ledger tells it, with what late samples made of it since
//! and with the rules that were in force.
//!
//! No engine runs: leaves are read, the newest first among those that there are too many of.
use super::explain::named;
use crate::cli::{HistoryArgs, Output};
use crate::keys;
use crate::render::{Paint, duration, table};
use faultline_host::RealDisk;
use faultline_ledger::{Fact, LedgerEntry};
use faultline_model::facts::{AlertState, Decision, Revision, RulesInForce, Stretch, Transition, Unrevised};
use faultline_model::{AlertId, Canonical, EffectId, Labels, Millis, Occurrence, Position};
use faultline_promql::Matcher;
use faultline_rules::agree;
use faultline_sinks::stdout::visible;
use faultline_storage::LedgerReader;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

/// Most leaves that are read, the newest: some seconds.
const LEAVES_MAX: u64 = 1_000_000;
/// Leaves that are read at once.
const PAGE: usize = 10_000;
/// Most occurrences that are told, the newest.
const OCCURRENCES_MAX: usize = 10_000;

/// One time that an alert was active.
#[derive(Debug, PartialEq)]
struct Occurred {
    alert: AlertId,
    occurrence: Option<Occurrence>,
    group: String,
    labels: Labels,
    /// As it was decided; nothing where it was missed.
    told: Option<Stretch>,
    /// Value of the expression when it was last told of.
    value: f64,
    state: AlertState,
    dry_run: bool,
    /// Record of the rules in force when it began, as far as the ledger was read.
    rules: Option<Position>,
    /// What late samples made of it, the newest last.
    revisions: Vec<(EffectId, Revision)>,
}

/// What the ledger tells of the alerts of a name.
#[derive(Debug, Default)]
struct Told {
    occurred: VecDeque<Occurred>,
    /// Occurrences that there were more than are told.
    left_out: u64,
    /// Each set of rules that came into force, by the record that brought it.
    rules: Vec<(EffectId, RulesInForce)>,
    /// Stretches of which nobody can say what late samples changed.
    unrevised: Vec<(EffectId, Unrevised)>,
}

impl Told {
    fn take(&mut self, id: EffectId, decision: Decision, asked: &(String, Vec<Matcher>)) {
        let (name, matchers) = asked;
        let is_asked = |it: &str, labels: &Labels| it == name && agree(matchers, labels);
        match decision {
            Decision::Alert(it) if is_asked(&it.name, &it.labels) => self.transition(it),
            Decision::Revision(it) if is_asked(&it.name, &it.labels) => self.revision(id, *it),
            Decision::Unrevised(it) if it.name == *name => self.unrevised.push((id, it)),
            Decision::Rules(it) => self.rules.push((id, it)),
            _ => {}
        }
    }

    fn find(&mut self, alert: AlertId, occurrence: Option<Occurrence>) -> Option<&mut Occurred> {
        self.occurred.iter_mut().rev().find(|it| it.alert == alert && it.occurrence == occurrence)
    }

    fn push(&mut self, it: Occurred) -> &mut Occurred {
        if self.occurred.len() == OCCURRENCES_MAX {
            self.occurred.pop_front();
            self.left_out += 1;
        }
        self.occurred.push_back(it);
        self.occurred.back_mut().expect("just put in")
    }

    fn transition(&mut self, it: Transition) {
        let rules = self.rules.last().map(|(id, _)| id.cause);
        if self.find(it.alert, Some(it.occurrence)).is_none() {
            self.push(Occurred {
                alert: it.alert,
                occurrence: Some(it.occurrence),
                group: it.group.clone(),
                labels: it.labels.clone(),
                told: Some(Stretch { active_at: it.active_at, fired_at: None, resolved_at: None }),
                value: it.value,
                state: it.to,
                dry_run: it.dry_run,
                rules,
                revisions: Vec::new(),
            });
        }
        let Some(held) = self.find(it.alert, Some(it.occurrence)) else { return };
        held.state = it.to;
        if it.to != AlertState::Ok {
            held.value = it.value;
        }
        if let Some(stretch) = &mut held.told {
            match it.to {
                AlertState::Firing => drop(stretch.fired_at.get_or_insert(it.at)),
                AlertState::Ok => stretch.resolved_at = Some(it.at),
                AlertState::Pending | AlertState::Unknown => {}
            }
        }
    }

    fn revision(&mut self, id: EffectId, it: Revision) {
        if it.occurrence.is_none() || self.find(it.alert, it.occurrence).is_none() {
            // It was missed, or began below what was read.
            self.push(Occurred {
                alert: it.alert,
                occurrence: it.occurrence,
                group: it.group.clone(),
                labels: it.labels.clone(),
                told: it.before,
                value: f64::NAN,
                state: AlertState::Ok,
                dry_run: it.dry_run,
                rules: None,
                revisions: vec![(id, it)],
            });
        } else if let Some(held) = self.find(it.alert, it.occurrence) {
            held.revisions.push((id, it));
        }
    }
}

/// Tells; exit code 0 whether or not there is anything.
pub fn run(args: &HistoryArgs) -> Result<ExitCode, Box<dyn Error>> {
    let asked = named(&args.alert)?;
    let (disk, data) = (Arc::new(RealDisk), &args.folder.data);
    let ledger = LedgerReader::new(disk, &data.join(keys::LEDGER_FOLDER), keys::read_verifier(data)?);
    let Some(head) = ledger.head()? else {
        return Err(format!("{} has no ledger yet: start a server on it first", data.display()).into());
    };
    let (mut told, first) = (Told::default(), head.size.saturating_sub(LEAVES_MAX));
    let mut next = first;
    while next < head.size {
        let leaves = ledger.leaves(head, next, PAGE)?;
        if leaves.is_empty() {
            break;
        }
        next += leaves.len() as u64;
        for leaf in leaves {
            if let Ok(LedgerEntry { fact: Fact::Decided { id, decision }, .. }) = LedgerEntry::from_bytes(&leaf) {
                told.take(id, decision, &asked);
            }
        }
    }
    match args.folder.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&shape(&asked.0, &told, first, head.size))?),
        Output::Table => print!("{}", text(&asked.0, &told, first)),
    }
    Ok(ExitCode::SUCCESS)
}

/// For people.
fn text(name: &str, told: &Told, first: u64) -> String {
    let paint = Paint::stdout();
    let mut out = String::new();
    let fired = told.occurred.iter().filter(|it| it.told.is_some_and(|it| it.fired_at.is_some())).count();
    let active = told.occurred.len();
    out += &format!("{}  active {active} times, fired {fired} of them\n", paint.bold(&visible(name)));
    if first > 0 {
        out += &format!("  as told by leaf {first} of the ledger and later ones; older leaves were not read\n");
    }
    if told.left_out > 0 {
        out += &format!("  {} older occurrences are left out\n", told.left_out);
    }
    let row = |it: &Occurred| {
        let time = |at: Option<Millis>| at.map_or("-".to_string(), |at| at.to_string());
        let after = |it: &Stretch| it.fired_at.map(|at| format!("after {}", duration(at.since(it.active_at))));
        let lasted = match it.told {
            Some(Stretch { active_at, resolved_at: Some(end), .. }) => duration(end.since(active_at)),
            Some(_) => it.state.word().to_string(),
            None => "missed".to_string(),
        };
        let fired = it.told.as_ref().and_then(after).unwrap_or_else(|| "-".into());
        let value = if it.value.is_nan() { "-".to_string() } else { it.value.to_string() };
        let later = it.revisions.last().map_or(String::new(), |(_, it)| it.outcome.word().to_string());
        let tried = if it.dry_run { " (tried only)" } else { "" };
        let labels = format!("{}{tried}", visible(&it.labels.to_string()));
        let rules = it.rules.map_or("-".to_string(), |at| at.to_string());
        vec![time(it.told.map(|it| it.active_at)), fired, lasted, value, later, rules, labels]
    };
    if active > 0 {
        let rows: Vec<Vec<String>> = told.occurred.iter().map(row).collect();
        let headings = ["active since", "fired", "lasted", "value", "late samples", "rules of record", "labels"];
        out += &table(&headings, &rows);
    } else {
        out += "  nothing was decided of an alert of this name; `faultline rules explain` says why it does not fire\n";
    }
    for (id, it) in &told.unrevised {
        let reason = visible(&it.reason);
        out += &format!("what late samples change from {} to {} is unknown: {reason}  effect {id}\n", it.from, it.to);
    }
    if told.rules.len() > 1 {
        out += &paint.bold("rules that came into force");
        out.push('\n');
        for (id, it) in &told.rules {
            let RulesInForce { digest, alerts, records, .. } = it;
            let digest = &digest.hex()[..16];
            out += &format!("  record {}  SHA-256 {digest}  {alerts} alerts, {records} recording rules\n", id.cause);
        }
    }
    out
}

/// For programs.
fn shape(name: &str, told: &Told, first: u64, size: u64) -> Value {
    let stretch = |it: &Stretch| json!({ "active_at": it.active_at.to_string(), "fired_at": it.fired_at.map(|at| at.to_string()), "resolved_at": it.resolved_at.map(|at| at.to_string()) });
    let labels = |it: &Labels| it.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect::<BTreeMap<_, _>>();
    let revision = |(id, it): &(EffectId, Revision)| json!({ "effect": id.to_string(), "outcome": it.outcome.word(), "after": it.after.as_ref().map(stretch), "late_samples": it.late.samples });
    let occurred = |it: &Occurred| {
        json!({
            "labels": labels(&it.labels), "group": it.group, "told": it.told.as_ref().map(stretch), "state": it.state.word(),
            "value": if it.value.is_nan() { Value::Null } else { it.value.into() }, "dry_run": it.dry_run,
            "occurrence": it.occurrence.map(|it| it.began.to_string()), "rules_record": it.rules.map(|at| at.to_string()),
            "revisions": it.revisions.iter().map(revision).collect::<Vec<_>>(),
        })
    };
    let unrevised = |(id, it): &(EffectId, Unrevised)| json!({ "effect": id.to_string(), "from": it.from.to_string(), "to": it.to.to_string(), "reason": it.reason });
    let rules = |(id, it): &(EffectId, RulesInForce)| json!({ "record": id.cause.to_string(), "sha256": it.digest.hex(), "alerts": it.alerts, "records": it.records });
    json!({
        "alert": name, "leaves": { "first": first, "size": size }, "left_out": told.left_out,
        "occurrences": told.occurred.iter().map(occurred).collect::<Vec<_>>(),
        "unrevised": told.unrevised.iter().map(unrevised).collect::<Vec<_>>(),
        "rules": told.rules.iter().map(rules).collect::<Vec<_>>(),
    })
}
