//! The verdict as a graph for other programs: who is violated, which causes there are, and the calls between them.
//!
//! Formats: Graphviz' DOT language (<https://graphviz.org/doc/info/lang.html>) and Mermaid's flowcharts
//! (<https://mermaid.js.org/syntax/flowchart.html>). Arrows go from caller to callee, as calls do.
use crate::client::shape::{Shape, percent};
use clap::ValueEnum;
use std::collections::BTreeMap;

/// In which language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Graphviz: `faultline why --graph dot | dot -Tsvg`.
    Dot,
    /// Mermaid, which GitHub, GitLab and Grafana's text panels draw.
    Mermaid,
}

/// Causes with less belief than this are left out, but for the first.
const POSTERIOR_MIN: f64 = 0.05;

/// What is known of a service.
#[derive(Debug, Default)]
struct Service {
    violated: bool,
    /// Place among the causes, from 1, and what is said of it.
    cause: Option<(usize, String)>,
}

/// Services by name, and calls with what is said of each.
#[derive(Debug, Default)]
struct Picture {
    services: BTreeMap<String, Service>,
    calls: BTreeMap<(String, String), String>,
}

/// The graph of an incident: the answer of `/incidents/{id}`.
pub fn graph(incident: Shape<'_>, format: GraphFormat) -> String {
    let picture = Picture::of(incident);
    match format {
        GraphFormat::Dot => picture.dot(&incident.at("id").text()),
        GraphFormat::Mermaid => picture.mermaid(&incident.at("id").text()),
    }
}

impl Picture {
    fn of(incident: Shape<'_>) -> Picture {
        let mut picture = Picture::default();
        for violated in incident.at("entities").texts() {
            picture.services.entry(violated).or_default().violated = true;
        }
        for (place, cause) in (1..).zip(incident.at("verdict").at("causes").list()) {
            let posterior = cause.at("posterior").number().unwrap_or(0.0);
            if place > 1 && posterior < POSTERIOR_MIN {
                continue;
            }
            let said = format!("{}. {}, posterior {}", place, cause.at("kind").text_or("?"), percent(posterior));
            for step in cause.at("path").list() {
                let (client, server) = (step.at("client").text_or("?"), step.at("server").text_or("?"));
                picture.services.entry(client.clone()).or_default();
                picture.services.entry(server.clone()).or_default();
                let explained = step.at("explained").percent();
                let lag = step.at("lag_ms").number().map_or(String::new(), |ms| format!(", {ms:+.0} ms"));
                picture.calls.entry((client, server)).or_insert_with(|| format!("explains {explained}{lag}"));
            }
            let entity = cause.at("entity").text_or("?");
            match entity.split_once(" -> ") {
                // The way between two services is at fault: it is said of the call.
                Some((client, server)) => {
                    picture.services.entry(client.to_string()).or_default();
                    picture.services.entry(server.to_string()).or_default();
                    picture.calls.insert((client.to_string(), server.to_string()), said);
                }
                None => picture.services.entry(entity).or_default().cause = Some((place, said)),
            }
        }
        picture
    }

    /// A name for each service that both languages take.
    fn ids(&self) -> BTreeMap<&str, String> {
        self.services.keys().enumerate().map(|(at, name)| (name.as_str(), format!("s{at}"))).collect()
    }

    fn dot(&self, incident: &str) -> String {
        // Backslash and quote are all that a quoted text has to escape; line ends are none of a name.
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        let ids = self.ids();
        let mut text = format!(
            "// incident {}\ndigraph incident {{\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
            quoted(incident)
        );
        for (name, service) in &self.services {
            let (said, style) = match (&service.cause, service.violated) {
                (Some((1, said)), _) => {
                    (said.as_str(), ", style=\"rounded,filled\", fillcolor=\"#f4b6b0\", penwidth=2")
                }
                (Some((_, said)), _) => (said.as_str(), ", style=\"rounded,filled\", fillcolor=\"#f8dcc4\""),
                (None, true) => ("violated", ", style=\"rounded,filled\", fillcolor=\"#fdf0c0\""),
                (None, false) => ("", ""),
            };
            let line = if said.is_empty() { String::new() } else { format!("\\n{}", quoted(said)) };
            text.push_str(&format!("  {} [label=\"{}{line}\"{style}];\n", ids[&**name], quoted(name)));
        }
        for ((client, server), said) in &self.calls {
            let (client, server) = (&ids[&**client], &ids[&**server]);
            text.push_str(&format!("  {client} -> {server} [label=\"{}\"];\n", quoted(said)));
        }
        text + "}\n"
    }

    fn mermaid(&self, incident: &str) -> String {
        // Quoted labels are HTML with Mermaid's own spelling of entities.
        let escape = |c: char| match c {
            '"' => "#quot;".to_string(),
            '#' => "#35;".to_string(),
            '<' => "#lt;".to_string(),
            '>' => "#gt;".to_string(),
            '&' => "#amp;".to_string(),
            '`' => "#96;".to_string(),
            '\n' | '\r' => " ".to_string(),
            c => c.to_string(),
        };
        let quoted = |text: &str| text.chars().map(escape).collect::<String>();
        let ids = self.ids();
        let mut text = format!("%% incident {}\nflowchart LR\n", incident.replace(['\n', '\r'], " "));
        for (name, service) in &self.services {
            let (said, class) = match (&service.cause, service.violated) {
                (Some((1, said)), _) => (said.as_str(), ":::cause"),
                (Some((_, said)), _) => (said.as_str(), ":::other"),
                (None, true) => ("violated", ":::violated"),
                (None, false) => ("", ""),
            };
            let line = if said.is_empty() { String::new() } else { format!("<br/>{}", quoted(said)) };
            text.push_str(&format!("  {}[\"{}{line}\"]{class}\n", ids[&**name], quoted(name)));
        }
        for ((client, server), said) in &self.calls {
            let (client, server) = (&ids[&**client], &ids[&**server]);
            text.push_str(&format!("  {client} -->|\"{}\"| {server}\n", quoted(said)));
        }
        text + "  classDef cause fill:#f4b6b0,stroke:#8a1c10,stroke-width:2px,color:#222\n  classDef other fill:#f8dcc4,stroke:#8a4b10,color:#222\n  classDef violated fill:#fdf0c0,stroke:#8a7a10,color:#222\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn incident() -> serde_json::Value {
        json!({
            "id": "0/812.3", "entities": ["web \"shop\"", "pay"],
            "verdict": {"causes": [
                {"entity": "db", "kind": "resources", "posterior": 0.97, "path": [
                    {"client": "web \"shop\"", "server": "pay", "explained": 0.5, "lag_ms": -40},
                    {"client": "pay", "server": "db", "explained": 1.0, "lag_ms": null}]},
                {"entity": "pay -> db", "kind": "slow", "posterior": 0.1, "path": []},
                {"entity": "cache", "kind": "slow", "posterior": 0.06, "path": []},
                {"entity": "unlikely", "kind": "slow", "posterior": 0.01, "path": []}
            ]}
        })
    }

    #[test]
    fn causes_and_calls_are_drawn_and_names_cannot_break_out() {
        let incident = incident();
        let dot = graph(Shape::of(&incident), GraphFormat::Dot);
        let mermaid = graph(Shape::of(&incident), GraphFormat::Mermaid);
        for (text, lines) in [
            (
                &dot,
                &[
                    "  s1 [label=\"db\\n1. resources, posterior 97.0 %\", style=\"rounded,filled\", fillcolor=\"#f4b6b0\", penwidth=2];",
                    "  s3 [label=\"web \\\"shop\\\"\\nviolated\", style=\"rounded,filled\", fillcolor=\"#fdf0c0\"];",
                    "  s3 -> s2 [label=\"explains 50.0 %, -40 ms\"];",
                    "  s2 -> s1 [label=\"2. slow, posterior 10.0 %\"];",
                ][..],
            ),
            (
                &mermaid,
                &[
                    "  s1[\"db<br/>1. resources, posterior 97.0 %\"]:::cause",
                    "  s3[\"web #quot;shop#quot;<br/>violated\"]:::violated",
                    "  s3 -->|\"explains 50.0 %, -40 ms\"| s2",
                    "  s2 -->|\"2. slow, posterior 10.0 %\"| s1",
                ],
            ),
        ] {
            for line in lines {
                assert!(text.lines().any(|it| it == *line), "{line}\n{text}");
            }
            assert!(text.contains("cache") && !text.contains("unlikely"), "{text}");
        }
    }

    #[test]
    fn without_a_verdict_the_violated_services_stand_alone() {
        let incident = json!({"id": "0/1.0", "entities": ["web"]});
        let dot = graph(Shape::of(&incident), GraphFormat::Dot);
        assert!(dot.contains("s0 [label=\"web\\nviolated\"") && dot.ends_with("}\n"), "{dot}");
        assert!(graph(Shape::of(&json!({})), GraphFormat::Mermaid).starts_with("%% incident "));
    }
}
