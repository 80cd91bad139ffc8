//! What would be without a cause, and what to look at next.
use super::section;
use crate::client::shape::{Shape, percent, shortened};
use crate::render::Paint;

/// Services that would be violated all the same, by name, and how likely they must be.
const STILL_SHOWN: usize = 3;
const STILL_MIN: f64 = 0.5;

/// Both sections; neither where the verdict has none.
pub(super) fn sections(incident: Shape<'_>, paint: Paint) -> [String; 2] {
    let verdict = incident.at("verdict");
    let what_ifs: String = verdict.at("what_ifs").list().map(what_if).collect();
    let checks: String = (1..).zip(verdict.at("checks").list()).map(|(place, it)| check(place, it)).collect();
    [section("WHAT IF", &what_ifs, paint), section("CHECK NEXT, most telling first", &checks, paint)]
}

fn what_if(it: Shape<'_>) -> String {
    let still = it.at("services").list().filter(|service| service.at("degraded").number() >= Some(STILL_MIN));
    let named: Vec<String> = still.take(STILL_SHOWN).map(violated).collect();
    let (all, well) = (it.at("violated").count(), it.at("well").count());
    let rest = match named.is_empty() {
        true => String::new(),
        false => format!("; all the same violated: {}", named.join(", ")),
    };
    let services = if all == 1 { "service" } else { "services" };
    let name = shortened(&it.at("entity").text_or("?"), 40);
    format!("were {name} healthy, {well} of {all} violated {services} would be well{rest}\n")
}

fn violated(service: Shape<'_>) -> String {
    format!("{} ({})", shortened(&service.at("entity").text_or("?"), 40), service.at("degraded").percent())
}

fn check(place: usize, it: Shape<'_>) -> String {
    let leader = |answer: &str| {
        let leader = it.at(answer);
        format!("{} {}", shortened(&leader.at("entity").text_or("?"), 40), leader.at("posterior").percent())
    };
    let likely = percent(it.at("likely").number().unwrap_or(0.0));
    format!(
        "{place}  {}: {}\n   yes ({likely}): {}; no: {}; expected to settle {} of what is open\n",
        shortened(&it.at("entity").text_or("?"), 60),
        it.at("question").text_or("?"),
        leader("yes"),
        leader("no"),
        it.at("cut").percent()
    )
}
