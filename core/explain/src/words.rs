//! Evidence in words, with figures: `self time 12 ms -> 410 ms (z 38)`.
use crate::channels::{FAR, LOGS, OWN_ERRORS, RESOURCE, SELF_TIME, STOPPED, Symptom, WITHHELD, latency_z};
use crate::clean::{Edge, Quantity, Scene};
use crate::reliability::is_enough;
use crate::resources;
use alloc::format;
use alloc::string::{String, ToString};
use faultline_model::facts::{Reliability, Resource, ResourceEvidence, Telemetry};
use faultline_model::float;

/// Three figures that matter, without trailing zeros.
pub(crate) fn figure(x: f64) -> String {
    let size = float::abs(x);
    let text = if size >= 100.0 {
        return format!("{x:.0}");
    } else if size >= 10.0 {
        format!("{x:.1}")
    } else if size >= 1.0 {
        format!("{x:.2}")
    } else {
        format!("{x:.3}")
    };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

/// `12.3 %` of a share; near certainty keeps a digit, for 100 % is promised to nobody.
pub(crate) fn percent(share: f64) -> String {
    let percent = if share < 1.0 { float::min(share * 100.0, 99.9) } else { 100.0 };
    format!("{} %", figure(float::floor(percent * 10.0 + 0.5) / 10.0))
}

fn times(quantity: &Quantity) -> String {
    format!("{} ms -> {} ms (z {})", figure(quantity.expected), figure(quantity.seen), figure(quantity.z))
}

fn shares(quantity: &Quantity) -> String {
    format!("{} -> {} (z {})", percent(quantity.expected), percent(quantity.seen), figure(quantity.z))
}

fn rates(quantity: &Quantity) -> String {
    format!("{} -> {} a second", figure(quantity.expected), figure(quantity.seen))
}

/// A call, or the way that it takes: `client -> server`.
pub(crate) fn way(scene: &Scene, edge: usize) -> String {
    let edge = &scene.edges[edge];
    format!("{} -> {}", scene.nodes[edge.client].name, scene.nodes[edge.server].name)
}

/// One sign of a service's own fault; `kind` as in [`crate::channels`].
pub(crate) fn own(scene: &Scene, node: usize, kind: usize) -> String {
    let it = &scene.nodes[node];
    match kind {
        SELF_TIME if it.self_time.measured() => format!("self time {}", times(&it.self_time)),
        SELF_TIME => format!("latency {}, less what its calls explain", times(&it.latency)),
        FAR => match worst(scene, node, |edge| latency_z(&edge.gap)) {
            Some(edge) => format!("time between {} and it {}", scene.nodes[edge.client].name, times(&edge.gap)),
            None => "most of its calls take long on the way".to_string(),
        },
        OWN_ERRORS if it.own_errors.measured() => format!("errors of its own {}", shares(&it.own_errors)),
        OWN_ERRORS => format!("errors {}, less what its calls explain", shares(&it.errors)),
        STOPPED => work(scene, node),
        WITHHELD => {
            let calls = it.calls.iter().map(|&edge| &scene.edges[edge]).filter(|edge| edge.traffic.known);
            let least = calls.fold(None, |least: Option<&Edge>, edge| match least {
                Some(other) if other.traffic.z <= edge.traffic.z => Some(other),
                _ => Some(edge),
            });
            match least {
                Some(edge) => format!("its calls to {}: {}", scene.nodes[edge.server].name, rates(&edge.traffic)),
                None => "it passes no work on".to_string(),
            }
        }
        LOGS if it.missing_logs.expected > 0.0 && it.error_logs.rise() <= 0.0 => {
            let new = format!("{} kinds of log records that are new, ", figure(it.new_logs.count));
            let new = if it.new_logs.count > 0.0 { &*new } else { "" };
            format!("{new}a line of its log of which {} records stay away", figure(it.missing_logs.expected))
        }
        LOGS if it.error_logs.rise() > 0.0 || it.new_logs.count <= 0.0 => {
            format!("error logs {} (z {})", rates(&it.error_logs), figure(it.error_logs.z))
        }
        RESOURCE => resources::strongest(it).map_or_else(String::new, resource),
        LOGS => format!("{} kinds of log records that are new", figure(it.new_logs.count)),
        _ => String::new(),
    }
}

/// What an instance uses: `CPU of cart-0 0.12 -> 0.97 cores of 1 (z 40)`.
fn resource(it: &ResourceEvidence) -> String {
    let used = &it.used;
    let (scale, unit) = match it.resource {
        Resource::Cpu => (1.0, " cores"),
        Resource::Memory => (1.0 / 1_048_576.0, " MiB"),
        Resource::CpuShare | Resource::MemoryShare => (100.0, " % of its limit"),
        Resource::Throttled => (1.0, " s per s"),
        Resource::Restarts => (1.0, " a window"),
    };
    let limit = if it.limit > 0.0 { format!(" of {}", figure(it.limit * scale)) } else { String::new() };
    let of = if it.instance.is_empty() { String::new() } else { format!(" of {}", it.instance) };
    let (before, now) = (figure(used.expected * scale), figure(used.seen * scale));
    format!("{}{of} {before} -> {now}{unit}{limit} (z {})", it.resource.name(), figure(used.z))
}

/// The symptom by which a service looks degraded most.
pub(crate) fn degraded(scene: &Scene, node: usize, symptom: Symptom) -> String {
    let it = &scene.nodes[node];
    match symptom {
        Symptom::Slow => format!("latency {}", times(&it.latency)),
        Symptom::Failing => format!("errors {}", shares(&it.errors)),
        Symptom::CalledSlow => match worst(scene, node, |edge| latency_z(&edge.latency)) {
            Some(edge) => format!("its caller {} waits {}", scene.nodes[edge.client].name, times(&edge.latency)),
            None => "its callers wait".to_string(),
        },
        Symptom::CalledFailing => match worst(scene, node, |edge| crate::channels::errors_z(&edge.errors)) {
            Some(edge) => format!("failed calls of {} to it {}", scene.nodes[edge.client].name, shares(&edge.errors)),
            None => "calls to it fail".to_string(),
        },
        Symptom::Unserved => work(scene, node),
    }
}

/// What a service finishes of what is asked.
fn work(scene: &Scene, node: usize) -> String {
    let it = &scene.nodes[node];
    let asked = it.called.iter().map(|&edge| &scene.edges[edge].traffic).filter(|traffic| traffic.known);
    let (before, now) =
        asked.fold((0.0, 0.0), |(before, now), traffic| (before + traffic.expected, now + traffic.seen));
    let silent = if it.telemetry == Telemetry::Silent { "stopped sending, " } else { "" };
    let served = format!("{silent}serves {}", rates(&it.traffic));
    if before > 0.0 { format!("{served} of {} -> {} asked", figure(before), figure(now)) } else { served }
}

fn worst<'a>(scene: &'a Scene, node: usize, score: impl Fn(&Edge) -> Option<f64>) -> Option<&'a Edge> {
    let called = scene.nodes[node].called.iter().map(|&edge| &scene.edges[edge]);
    let scored = called.filter_map(|edge| Some((score(edge)?, edge)));
    let worst = scored.fold(None, |worst: Option<(f64, &Edge)>, next| match worst {
        Some((score, _)) if score >= next.0 => worst,
        _ => Some(next),
    });
    worst.map(|(_, edge)| edge)
}

/// A duration in the unit that people would use.
pub(crate) fn duration(ms: i64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", figure(ms as f64 / 1e3)),
        120_000..7_200_000 => format!("{} min", figure(float::floor(ms as f64 / 6e4))),
        _ => format!("{} h", figure(float::floor(ms as f64 / 3.6e6))),
    }
}

/// Names in a sentence, the first few of many.
pub(crate) fn names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let count = names.len();
    let shown: alloc::vec::Vec<&str> = names.take(SHOWN).collect();
    let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// How far a posterior can be trusted.
pub(crate) fn trust(reliability: Option<&Reliability>) -> String {
    let Some(it) = reliability.filter(|it| is_enough(it)) else { return "not calibrated".to_string() };
    let (cases, right) = (it.elsewhere.cases + it.here.cases, it.elsewhere.right + it.here.right);
    match it.here.cases {
        0 => format!("right in {right} of {cases} such cases elsewhere"),
        here => format!("right in {right} of {cases} such cases, {here} of them here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (x, expected) in [
            (410.4, "410"),
            (12.04, "12"),
            (12.35, "12.3"),
            (1.5, "1.5"),
            (0.0421, "0.042"),
            (0.0, "0"),
            (-0.0001, "0"),
            (-38.0, "-38"),
            (1e12, "1000000000000"),
            (100.0, "100"),
            (20.0, "20"),
        ] {
            assert_eq!(figure(x), expected, "{x}");
        }
        for (share, expected) in [(0.0, "0 %"), (0.99999, "99.9 %"), (1.0, "100 %"), (0.123, "12.3 %"), (0.42, "42 %")]
        {
            assert_eq!(percent(share), expected, "{share}");
        }
        for (ms, expected) in
            [(20, "20 ms"), (1_500, "1.5 s"), (30_000, "30 s"), (600_000, "10 min"), (90_000_000, "25 h")]
        {
            assert_eq!(duration(ms), expected);
        }
    }
}
