//! What our rules make of a drawing, instant by instant.
use crate::alerts::drawing::Drawing;
use crate::alerts::subject::Subject;
use faultline::rules::play::Play;
use faultline_model::facts::{AlertState, Transition};
use faultline_model::{Labels, RuleFile};
use faultline_promql::Element;
use std::collections::BTreeMap;

/// What shows every alert that is pending or firing, and since when.
pub const SHOWN: &str = r#"{__name__=~"ALERTS|ALERTS_FOR_STATE"}"#;

/// Labels and annotations of an alert.
pub type Alert = (Labels, Vec<(String, String)>);

/// One evaluation.
#[derive(Debug)]
pub struct Instant {
    /// How long after the start, in ms.
    pub passed_ms: i64,
    /// What fires, by the alerts' names.
    pub firing: BTreeMap<String, Vec<Alert>>,
    /// The series of [`SHOWN`].
    pub shown: Vec<Element>,
}

/// All evaluations.
#[derive(Debug)]
pub struct Played {
    /// In time order.
    pub instants: Vec<Instant>,
    /// Changes of alerts, in time order.
    pub transitions: Vec<Transition>,
}

/// Plays a drawing to its end.
///
/// Fails where the file does not load or a rule cannot be evaluated.
pub fn play(file: &RuleFile, drawing: &Drawing) -> Result<Played, String> {
    let inputs = drawing.inputs();
    let inputs = inputs.iter().map(|(series, values)| (&**series, &**values));
    let mut play = Play::new(&drawing.setting(), std::slice::from_ref(file), inputs)?;
    let mut played = Played { instants: Vec::new(), transitions: Vec::new() };
    for _ in 0..=drawing.steps {
        let (passed_ms, transitions) = play.step();
        if let Some(broken) = play.broken().first() {
            return Err(broken.to_string());
        }
        let mut firing: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
        for (name, labels, annotations) in play.firing() {
            firing.entry(name.into()).or_default().push((labels.clone(), annotations.to_vec()));
        }
        played.instants.push(Instant { passed_ms, firing, shown: Vec::new() });
        played.transitions.extend(transitions);
    }
    // At the end, as promtool asks: groups that look back append in the past.
    for instant in &mut played.instants {
        instant.shown = play.ask(SHOWN, instant.passed_ms)?;
    }
    Ok(played)
}

impl Played {
    /// Whether some alert of the rule's group and name fires and is over later.
    pub fn fires_and_resolves(&self, subject: &Subject) -> bool {
        let own = |it: &&Transition| it.name == subject.alert && it.group.ends_with(&format!(";{}", subject.group));
        let over = |it: &Transition| it.from == AlertState::Firing && it.to == AlertState::Ok;
        self.transitions.iter().filter(own).any(over)
    }
}
