//! What the bodies say, by the server's own decoder: counts, series, differences, the Zipf shape, and what rules select.
use super::metrics::{self, OCCURRENCES_MAX, POINTS};
use super::population::Population;
use super::random::Random;
use super::requests;
use super::template::{GAUGE_END, Stamp, Template};
use super::{CROSSING_LANE, CROSSING_METRIC, crossing_body};
use bytes::Bytes;
use faultline_formats::{Decoded, SpanKind, decode, label_sets};
use faultline_model::{
    Clock, Encoding, Evaluation, Format, HashSeed, Kind, Labels, Payload, RuleFile, RuleFiles, SourceId, TenantId,
};
use std::collections::{BTreeMap, BTreeSet};

const NOW: i64 = 1_795_000_000_000;

fn decoded(format: Format, body: &[u8]) -> Decoded {
    let kind = Kind::Telemetry { source: SourceId([0; 16]), format, encoding: Encoding::Identity, clock: Clock::Live };
    let payload = Payload { tenant: TenantId(0), kind, body: Bytes::copy_from_slice(body) };
    let decoded = decode(payload, HashSeed(7));
    assert_eq!(decoded.rejects, [], "all that is sent can be taken");
    decoded
}

fn stamped(template: &mut Template, format: Format, ms: i64, sequence: u64) -> Decoded {
    template.stamp(&mut Stamp { ms, sequence, random: &mut Random(sequence) });
    decoded(format, &template.bytes)
}

fn labels(decoded: &Decoded) -> Vec<Labels> {
    label_sets(decoded, &(0..decoded.events.points.len() as u32).collect::<Vec<_>>())
}

/// All series of a population, as the server names them.
fn everything(population: &Population) -> Vec<Labels> {
    let own = population.of_sender(0, 1);
    let bodies = metrics::each_once(population, &own);
    bodies.flat_map(|mut body| labels(&stamped(&mut body, Format::OtlpMetrics, NOW, 1))).collect()
}

#[test]
fn filling_names_as_many_series_as_asked_for() {
    for series in [1000, 12_345] {
        let population = Population::new(series);
        let all: BTreeSet<_> = everything(&population).into_iter().collect();
        assert_eq!(all.len(), series as usize);
        let parts: usize = (0..3)
            .flat_map(|s| metrics::each_once(&population, &population.of_sender(s, 3)).collect::<Vec<_>>())
            .map(|body| body.events as usize)
            .sum();
        assert_eq!(parts, series as usize);
    }
}

#[test]
fn bodies_of_points_differ_and_no_series_says_two_things_at_one_time() {
    let population = Population::new(10_000);
    let own = population.of_sender(1, 2);
    let mut templates = metrics::chosen(&population, &own, 3, &mut Random(1));
    let mut seen: BTreeMap<_, (i64, f64)> = BTreeMap::new();
    let mut digests = BTreeSet::new();
    for round in 0..6 {
        // The shortest time that a sender leaves between two bodies.
        let ms = NOW + round * i64::from(OCCURRENCES_MAX);
        let template = &mut templates[round as usize % 3];
        let decoded = stamped(template, Format::OtlpMetrics, ms, round as u64);
        assert_eq!((decoded.events.points.len(), template.events as usize), (POINTS, POINTS));
        assert!(digests.insert(decoded.digest));
        let names = labels(&decoded);
        for (point, labels) in decoded.events.points.iter().zip(names) {
            assert!(point.time.0 <= ms && point.time.0 > ms - i64::from(OCCURRENCES_MAX));
            let counter = labels.name().ends_with("_total");
            let before = seen.insert(point.key, (point.time.0, point.value));
            if let Some((time, value)) = before {
                assert!(point.time.0 > time, "{labels} goes back in time");
                assert!(!counter || point.value > value, "{labels} counts down");
            }
            assert!(counter || (0.0..GAUGE_END).contains(&point.value));
        }
    }
}

#[test]
fn series_are_chosen_by_zipf_up_to_the_cap() {
    let population = Population::new(10_000);
    let own = population.of_sender(0, 1);
    let bodies = 40;
    let templates = metrics::chosen(&population, &own, bodies, &mut Random(2));
    let mut counts: BTreeMap<Labels, u32> = BTreeMap::new();
    for mut template in templates {
        let decoded = stamped(&mut template, Format::OtlpMetrics, NOW, 1);
        labels(&decoded).into_iter().for_each(|labels| *counts.entry(labels).or_default() += 1);
    }
    let mut counts: Vec<u32> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    // The most popular are at the cap in each body; below it, ten times the rank is chosen 10^1.05 = 11.2 times less.
    assert_eq!(counts[0], u32::from(OCCURRENCES_MAX) * bodies as u32);
    let mean = |range: std::ops::Range<usize>| {
        let size = range.len() as f64;
        f64::from(counts[range].iter().sum::<u32>()) / size
    };
    let ratio = mean(180..220) / mean(1800..2200);
    assert!((9.0..14.0).contains(&ratio), "ranks 200 and 2000: {ratio}");
    let distinct = counts.len();
    assert!((5_000..10_000).contains(&distinct), "{distinct}");
}

#[test]
fn bodies_of_logs_differ_and_hold_what_they_should() {
    let population = Population::new(100_000);
    let mut template = requests::logs(&population, &mut Random(3));
    let first = stamped(&mut template, Format::OtlpLogs, NOW, 1);
    let second = stamped(&mut template, Format::OtlpLogs, NOW, 513);
    assert_ne!(first.digest, second.digest, "two bodies of one millisecond");
    assert_eq!(first.events.logs.len(), 512);
    assert!(first.events.logs.iter().all(|log| (log.time.0 / 1_000_000 - NOW).abs() <= 1));
    let errors = first.events.logs.iter().filter(|log| log.severity == 17).count();
    assert!((1..30).contains(&errors), "{errors}");
    assert!(first.events.resources.len() > 250, "{}", first.events.resources.len());
}

#[test]
fn spans_form_whole_traces_between_services() {
    let population = Population::new(100_000);
    let mut template = requests::spans(&population, &mut Random(4));
    let mut ids = BTreeSet::new();
    for sequence in [1, 513] {
        let decoded = stamped(&mut template, Format::OtlpTraces, NOW, sequence);
        let spans = &decoded.events.spans;
        assert_eq!(spans.len(), 512);
        let by_id: BTreeMap<u64, _> = spans.iter().map(|span| (span.id, span)).collect();
        assert_eq!(spans.iter().map(|span| span.trace).collect::<BTreeSet<_>>().len(), 64);
        assert_eq!(spans.iter().filter(|span| span.parent == 0).count(), 64);
        for span in spans {
            assert!(ids.insert((span.trace, span.id)), "a span comes twice");
            assert!(span.start < span.end && span.end.0 <= NOW * 1_000_000);
            let service = |resource: u32| decoded.text(decoded.events.resources[resource as usize].service);
            if span.parent != 0 {
                let parent = by_id[&span.parent];
                assert_eq!(parent.trace, span.trace);
                assert!(parent.start <= span.start && span.end <= parent.end, "a call outlives its caller");
                if span.kind == SpanKind::Server {
                    assert_eq!(parent.kind, SpanKind::Client);
                    assert_eq!(decoded.text(parent.peer), service(span.resource));
                } else {
                    assert_eq!(service(parent.resource), service(span.resource));
                }
            }
        }
    }
}

#[test]
fn crossings_join_a_body_as_points_of_series_of_their_own() {
    let population = Population::new(2000);
    let mut template = metrics::chosen(&population, &population.of_sender(0, 1), 1, &mut Random(5)).remove(0);
    let alone = stamped(&mut template, Format::OtlpMetrics, NOW, 1).events.points.len();
    let body = [&template.bytes[..], &crossing_body(99..101, 1.0, NOW)].concat();
    let joined = decoded(Format::OtlpMetrics, &body);
    assert_eq!(joined.events.points.len(), alone + 2);
    let names: Vec<String> = labels(&joined)[alone..].iter().map(Labels::to_string).collect();
    let name =
        |crossing, lane| format!("{CROSSING_METRIC}{{crossing=\"{crossing}\", job=\"bank/svc-000\", lane=\"{lane}\"}}");
    assert_eq!(names, [name("000099", 0), name("000100", 1)]);
    assert_eq!(100 / CROSSING_LANE, 1);
    assert!(joined.events.points[alone..].iter().all(|point| point.value == 1.0 && point.time.0 == NOW));
    // The same series at rest before.
    let rest = decoded(Format::OtlpMetrics, &crossing_body(0..200, 0.0, NOW));
    assert_eq!(rest.events.points[99].key, joined.events.points[alone].key);
}

#[test]
fn every_rule_is_taken_and_selects_what_is_sent() {
    let population = Population::new(100_000);
    let text = crate::rules::file(&population, 250);
    let files = RuleFiles {
        files: vec![RuleFile { name: "rules.yml".into(), text }],
        default_evaluation: Evaluation::Stream,
        ..RuleFiles::default()
    };
    let set = faultline_rules::parse(&files).unwrap();
    let rules: Vec<_> = set.groups.iter().flat_map(|group| &group.rules).collect();
    assert_eq!(rules.len(), crate::rules::COUNT as usize + 3);
    assert_eq!(crate::rules::COUNT, 1360);
    let mut by_name: BTreeMap<String, Vec<Labels>> = BTreeMap::new();
    everything(&population).into_iter().for_each(|l| by_name.entry(l.name().to_owned()).or_default().push(l));
    let mut watched = 0;
    let mut sizes = BTreeSet::new();
    for rule in rules.iter().filter(|rule| !rule.name.starts_with("Crossing")) {
        for selector in rule.expr.selectors() {
            let series = &by_name[selector.metric().expect("all name their metric")];
            let hit = |labels: &&Labels| selector.matchers.iter().all(|m| m.matches(labels.get(&m.name)));
            let size = series.iter().filter(hit).count();
            assert!((1..=1000).contains(&size), "{} selects {size}", rule.text);
            watched += size;
            sizes.insert(size);
        }
    }
    assert!(sizes.contains(&1) && sizes.contains(&1000), "{sizes:?}");
    assert!((60_000..160_000).contains(&watched), "{watched} watched of 100,000 series");
}
