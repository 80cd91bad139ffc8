//! The store keeps to its maxima whatever it is fed.
use super::served::*;
use faultline_host::{AwayReason, TurnedAway};
use faultline_model::facts::{AlertState, Decision, IncidentPhase};
use faultline_model::histogram::Buckets;
use faultline_model::{Histogram, HistogramSample, Labels, Millis, Sample};
use faultline_serve::Store;
use faultline_serve::recent::Limits;
use std::net::{IpAddr, Ipv4Addr};

fn count(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn incidents_transitions_changes_and_rejects_are_bounded() {
    let served = small_book();
    for n in 0..11_000_u64 {
        let decide = |ordinal, decision| served.store.decided(effect(1_000 + n, ordinal), n, None, &decision);
        decide(0, Decision::Alert(transition((n % 250) as u8, AlertState::Firing, n as i64)));
        if n % 10 == 0 {
            let id = effect(1_000 + n, 1);
            decide(1, Decision::Incident(incident(id, IncidentPhase::Opened, &[(n % 250) as u8], n as i64)));
            decide(2, Decision::Incident(incident(id, IncidentPhase::Resolved, &[], n as i64)));
            decide(3, Decision::Change(change("gateway", n as i64)));
        }
        served.store.refused(at(n), None, "cardinality", 2);
    }
    let get = |path: &str| run(served.get(path)).text;
    assert_eq!(count(&get("/api/faultline/v1/incidents?limit=1000"), r#""onset""#), 1_000);
    assert!(
        get("/api/faultline/v1/incidents?state=open").contains(r#""id":"0/11.2""#),
        "open ones outlive resolved ones"
    );
    assert_eq!(count(&get("/api/faultline/v1/changes?limit=1000"), r#""leaf""#), 1_000);
    let rejects = get("/api/faultline/v1/rejects?limit=1000");
    assert_eq!((count(&rejects, r#""position""#), rejects.contains(r#""cardinality":22003"#)), (1_000, true));
    let (mut seen, mut after) = (0, String::new());
    loop {
        let page = get(&format!("/api/faultline/v1/transitions?limit=1000{after}"));
        let on_page = count(&page, r#""occurrence""#);
        if seen == 0 {
            assert!(page.contains(r#""incomplete":true"#));
        }
        seen += on_page;
        if on_page == 0 {
            break;
        }
        let next = page.split(r#""next":""#).nth(1).unwrap().split('"').next().unwrap();
        after = format!("&after={next}");
    }
    assert_eq!(seen, 10_000);
}

#[test]
fn senders_turned_away_are_bounded_and_no_count_is_lost() {
    let served = small_book();
    for n in 0..5_000_u32 {
        served.store.turned_away(
            Millis(NOW + i64::from(n)),
            TurnedAway {
                listener: "remote-write",
                peer: IpAddr::V4(Ipv4Addr::from_bits(n % 2_500)),
                reason: AwayReason::Busy,
                detail: String::new(),
                size: Some(7),
                start: Default::default(),
            },
        );
    }
    let text = run(served.get("/api/faultline/v1/rejects?limit=1000&reason=busy")).text;
    assert_eq!(count(&text, r#""journalled":false"#), 1_000);
    assert!(text.contains(r#""busy":5000"#), "{text}");
    assert_eq!(count(&text, r#""count":1,"#), 1_000, "rows that went and came back begin anew");
    assert!(text.contains(r#""peer":"0.0.9.195""#) && !text.contains(r#""peer":"0.0.0.1""#), "the newest stay");
    let metrics = run(served.get("/metrics")).text;
    assert!(
        metrics.contains("faultline_turned_away_total{listener=\"remote-write\",reason=\"busy\"} 5000\n"),
        "{metrics}"
    );
}

#[test]
fn histograms_keep_within_the_memory() {
    let memory = 1 << 20;
    let store = Store::within(Limits { memory, ..Limits::default() });
    let served = served(store.clone());
    let created = (0..60).map(|id| (id, Labels::new([("__name__", "h".to_owned()), ("i", id.to_string())])));
    store.accepted(created.collect(), Vec::new(), Vec::new(), Vec::new());
    for time in 0..400_i64 {
        let histogram = |id: u32| {
            // All buckets change each time, which is the worst for what is told from one to the next.
            let count = |i: i32| (time * 7_919 + i64::from(i) * 104_729 + i64::from(id)) as f64 / 3.0;
            let positive = Buckets::new((0..50).map(|i| (i, count(i))));
            let histogram = Some(Histogram { schema: 2, positive, ..Histogram::default() }.into());
            (id, HistogramSample { time: Millis(time * 1_000), histogram })
        };
        store.accepted(Vec::new(), Vec::new(), (0..60).map(histogram).collect(), Vec::new());
        let fill = store.recent().fill();
        assert!(fill.bytes <= memory + memory / 8, "{time}: {fill:?}");
    }
    let fill = store.recent().fill();
    assert!(fill.dropped > 1_000 && fill.bytes > memory / 2, "{fill:?}");
    let metrics = run(served.get("/metrics")).text;
    assert_eq!(number(&metrics, "faultline_recent_bytes"), fill.bytes as u64);
}

#[test]
fn rejected_bodies_are_cut() {
    let text = run(small_book().get("/api/faultline/v1/rejects?reason=bad-encoding")).text;
    assert!(text.contains(r#""body_size":9000"#), "{text}");
    assert_eq!(count(&text, "ff"), 4_096);
}

/// Feeds steps of `(series, samples of each)` and checks the bytes held after each.
fn check(memory: usize, steps: &[(u32, i64)]) {
    let store = Store::within(Limits { memory, ..Limits::default() });
    let served = served(store.clone());
    let (mut next, mut time) = (0_u32, 0);
    for (series, each) in steps {
        let created =
            (next..next + series).map(|id| (id, Labels::new([("__name__", "m".to_owned()), ("i", id.to_string())])));
        store.accepted(created.collect(), Vec::new(), Vec::new(), Vec::new());
        next += series;
        for _ in 0..*each {
            time += 1_000;
            let value = (time % 7_919) as f64 / 3.0;
            store.accepted(
                Vec::new(),
                (0..next).map(|id| (id, Sample::new(Millis(time), value))).collect(),
                Vec::new(),
                Vec::new(),
            );
        }
        let bytes = number(&run(served.get("/metrics")).text, "faultline_recent_bytes");
        // What is over is given up after it came; an open chunk below 32 bytes is left to each series.
        let most = (memory + memory / 8).max(next as usize * 64) as u64;
        assert!(bytes <= most, "{memory} {steps:?}: {bytes} > {most}");
        assert!(bytes >= u64::from(next), "{memory} {steps:?}: {bytes}");
    }
    store.accepted(Vec::new(), vec![(next, Sample::new(Millis(0), 1.0))], Vec::new(), (0..next).collect());
    store.recent().keep().expect("without a folder nothing is written");
    let metrics = run(served.get("/metrics")).text;
    assert_eq!(number(&metrics, "faultline_recent_live_series"), 0);
    assert_eq!(number(&metrics, "faultline_recent_refused_samples_total{reason=\"orphan\"}"), 1);
}

#[test]
fn samples_stay_within_their_budget() {
    check(16_000, &[(10, 200), (10, 100), (80, 50), (400, 20), (600, 5)]);
    check(1_000_000, &[(3, 600)]);
    check(0, &[(5, 10)]);
}

#[test]
fn series_beyond_the_bound_are_refused_and_counted() {
    let store = Store::within(Limits { series: 3, ..Limits::default() });
    let created = (0..5).map(|id| (id, Labels::new([("__name__", "m".to_owned()), ("i", id.to_string())]))).collect();
    let sample = |id| (id, Sample::new(Millis(NOW), 1.0));
    store.accepted(created, (0..5).map(sample).collect(), Vec::new(), Vec::new());
    store.publish(view(1));
    let served = served(store);
    let metrics = run(served.get("/metrics")).text;
    assert_eq!(number(&metrics, "faultline_recent_series"), 3);
    assert_eq!(number(&metrics, "faultline_recent_refused_samples_total{reason=\"cardinality\"}"), 2);
    assert!(run(served.get("/api/v1/query?query=count(m)")).text.contains("\"3\""));
}

#[test]
fn ids_may_be_used_again() {
    let store = Store::default();
    let labels = |name: &str| Labels::new([("__name__", name)]);
    store.accepted(vec![(0, labels("old"))], vec![(0, Sample::new(Millis(NOW), 1.0))], vec![], vec![0]);
    store.accepted(vec![(0, labels("new"))], vec![(0, Sample::new(Millis(NOW), 2.0))], vec![], vec![]);
    store.publish(view(1));
    let served = served(store);
    // What the engine forgets has been all the same.
    for (name, value) in [("old", 1), ("new", 2)] {
        let answer = run(served.get(&format!("/api/v1/query?query={name}"))).text;
        let expected = format!(r#""result":[{{"metric":{{"__name__":"{name}"}},"value":[1795222456.050,"{value}"]}}]"#);
        assert!(answer.contains(&expected), "{answer}");
    }
}
