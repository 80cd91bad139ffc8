//! What our rules made of a drawing, written as a unit test, and what promtool says of it.
use crate::alerts::drawing::Drawing;
use crate::alerts::played::{Played, SHOWN};
use crate::promql::prometheus::services;
use faultline_model::Number;
use faultline_rules::print_duration_ms;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most files of one call.
const FILES_MAX: usize = 40;

/// The program, as `cargo xtask services` installs it.
#[derive(Debug)]
pub struct Promtool {
    program: PathBuf,
}

impl Promtool {
    /// Installs it if need be.
    pub fn install() -> Result<Promtool, Box<dyn Error>> {
        let line = services(&["install", "promtool"])?;
        let program = line.trim().split_once(' ').ok_or("`services install` prints `PROGRAM PATH`")?.1.into();
        Ok(Promtool { program })
    }

    /// The test files that do not pass, each with what promtool says.
    pub fn failing(&self, files: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Box<dyn Error>> {
        let mut failing = Vec::new();
        for some in files.chunks(FILES_MAX) {
            if self.test(some)?.is_none() {
                continue;
            }
            // It says on two streams which file it is about and what is wrong with it.
            for file in some {
                failing.extend(self.test(std::slice::from_ref(file))?.map(|words| (file.clone(), words)));
            }
        }
        Ok(failing)
    }

    /// What is wrong; nothing where all is well.
    fn test(&self, files: &[PathBuf]) -> Result<Option<String>, Box<dyn Error>> {
        let mut command = Command::new(&self.program);
        // A short life with memory to spare: a quarter less time.
        command.env("GOGC", "400").args(["test", "rules"]).args(files);
        let output = command.output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => Ok(None),
            Some(1) if text.contains("FAILED") => Ok(Some(text)),
            _ => Err(format!("{} test rules: {}: {text}", self.program.display(), output.status).into()),
        }
    }
}

/// The unit test: at each instant what fires, and what is pending or firing since when. JSON, which is YAML.
pub fn unit_test(name: &str, rules: &Path, drawing: &Drawing, played: &Played) -> String {
    let inputs: Vec<Value> =
        drawing.inputs().into_iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
    let ever: BTreeSet<&String> = played.instants.iter().flat_map(|it| it.firing.keys()).collect();
    let (mut alerts, mut values) = (Vec::new(), Vec::new());
    for instant in &played.instants {
        let time = print_duration_ms(instant.passed_ms);
        for &name in &ever {
            let firing = instant.firing.get(name).map_or(&[][..], |firing| firing);
            let expected = firing.iter().map(|(labels, annotations)| {
                let labels = labels.iter().filter(|(name, _)| *name != "alertname");
                json!({"exp_labels": object(labels), "exp_annotations": object(annotations.iter().map(|(n, v)| (&**n, &**v)))})
            });
            alerts.push(json!({"eval_time": time, "alertname": name, "exp_alerts": expected.collect::<Vec<_>>()}));
        }
        let samples = instant.shown.iter().map(|element| {
            let Number::Float(value) = element.value else { unreachable!("these series are of floats") };
            json!({"labels": element.labels.to_string(), "value": value})
        });
        values.push(json!({"expr": SHOWN, "eval_time": time, "exp_samples": samples.collect::<Vec<_>>()}));
    }
    let test = json!({
        "name": name,
        "interval": print_duration_ms(drawing.sample_ms),
        "start_timestamp": (drawing.start.0 / 1000).to_string(),
        "input_series": inputs,
        "alert_rule_test": alerts,
        "promql_expr_test": values,
    });
    let step = print_duration_ms(drawing.step_ms);
    json!({"rule_files": [rules], "evaluation_interval": step, "tests": [test]}).to_string()
}

fn object<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Map<String, Value> {
    pairs.map(|(name, value)| (name.to_string(), value.into())).collect()
}
