//! Requests to look at: of the first causes the slowest since the onset, and the slowest that failed, by their traces.
use super::section as titled;
use crate::client::Server;
use crate::client::shape::{Shape, shortened};
use crate::render::{Paint, duration};
use serde_json::{Value, json};

/// Causes shown.
const CAUSES: usize = 2;
/// How long before the onset a request may have begun, in ms: it may be what the onset was seen by.
const BEFORE_MS: i64 = 60_000;
/// Requests asked for, all that are kept: where a way between two services is the cause, one that its caller tells of is looked for, and
/// those come behind the service's own.
const ASKED: usize = 240;

/// Asks for requests of the first causes of an incident; null where the onset is not known.
pub(super) fn ask(server: &Server, incident: Shape<'_>) -> Value {
    let Some(onset) = incident.at("onset").time() else { return Value::Null };
    let to = incident.at("resolved_at").time();
    let mut services = Vec::new();
    for cause in incident.at("verdict.causes").list().take(CAUSES) {
        let name = cause.at("entity").text();
        let (client, service) =
            name.split_once(" -> ").map_or((None, &*name), |(client, server)| (Some(client), server));
        let request = |failed: bool| {
            let answer = server.traces(service, onset - BEFORE_MS, to, failed, ASKED).ok()?;
            let mut all = Shape::of(&answer.value).at("traces").list();
            all.find(|it| client.is_none_or(|client| it.at("seen_by").text() == client)).map(Shape::owned)
        };
        let (failed, slowest) = (request(true), request(false));
        if failed.is_some() || slowest.is_some() {
            services.push(json!({ "service": name, "failed": failed, "slowest": slowest }));
        }
    }
    json!(services)
}

/// A line for each request.
pub(super) fn section(services: Shape<'_>, paint: Paint) -> String {
    let mut body = String::new();
    let all: Vec<Shape<'_>> = services.list().collect();
    let name = |it: &Shape<'_>| shortened(&it.at("service").text(), 40);
    let width = all.iter().map(|it| name(it).chars().count()).max().unwrap_or(0);
    for it in &all {
        let (failed, slowest) = (it.at("failed"), it.at("slowest"));
        let same = failed.at("span_id").text() == slowest.at("span_id").text();
        let mut name = name(it);
        for (what, request) in [("failed", failed), ("slowest", slowest)] {
            if request.at("trace_id").text().is_empty() || same && what == "slowest" {
                continue;
            }
            let took = duration(request.at("took_ms").number().unwrap_or(0.0) as i64);
            let seen_by = match request.at("seen_by").text() {
                caller if caller.is_empty() => String::new(),
                caller => format!(", as {} saw it", shortened(&caller, 40)),
            };
            let both = if same { "; the slowest of all" } else { "" };
            let pad = " ".repeat(width - name.chars().count());
            body.push_str(&format!(
                "{name}{pad}  {what:<7} {took:>8}  {}{seen_by}, {}{both}\n{}trace {}\n",
                shortened(&request.at("name").text_or("?"), 60),
                request.at("start").moment(),
                " ".repeat(width + 2),
                request.at("trace_id").text(),
            ));
            name.clear();
        }
    }
    titled("REQUESTS TO LOOK AT", &body, paint)
}
