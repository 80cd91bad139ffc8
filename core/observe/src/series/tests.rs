//! Tests of the series store.
use super::*;
use alloc::format;
use alloc::string::ToString;
use faultline_formats::decode;
use faultline_formats::encode::write_request;
use faultline_model::{Clock, Encoding, Format, Kind, Payload, SourceId, TenantId};

const SEED: HashSeed = HashSeed(7);
const NOW: Millis = Millis(1_700_000_000_000);

fn body(series: &[(&str, &[(i64, f64)])]) -> Decoded {
    let sets: Vec<(Labels, Vec<Sample>)> = series
        .iter()
        .map(|(name, samples)| {
            let labels = Labels::new([("__name__", "m"), ("s", *name)]);
            (labels, samples.iter().map(|&(t, v)| Sample::new(NOW.plus(t), v)).collect())
        })
        .collect();
    let plain = write_request(sets.iter().map(|(labels, samples)| (labels, &samples[..])));
    let source = SourceId([0; 16]);
    let (format, encoding, clock) = (Format::RemoteWrite1, Encoding::Identity, Clock::Live);
    let kind = Kind::Telemetry { source, format, encoding, clock };
    decode(Payload { tenant: TenantId(0), kind, body: plain.into() }, SEED)
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).expect("a good matcher")
}

fn found(store: &SeriesStore, matchers: &[Matcher]) -> Vec<String> {
    store.find(matchers).into_iter().map(|id| store.view(id).labels.get("s").to_string()).collect()
}

fn state(store: &SeriesStore) -> Vec<u8> {
    let mut w = Writer::default();
    (0..store.page_count()).for_each(|page| store.write_page(page, &mut w));
    store.write_rest(&mut w);
    w.into_bytes()
}

#[test]
fn matchers_find_what_they_accept_in_label_order() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.apply(&body(&[("c", &[(0, 1.0)]), ("a", &[(0, 1.0)]), ("b", &[(0, 1.0)])]), NOW, &mut out);
    let name = matcher("__name__", MatchOp::Equal, "m");
    for (op, value, expected) in [
        (MatchOp::Equal, "b", &["b"][..]),
        (MatchOp::NotEqual, "b", &["a", "c"]),
        (MatchOp::Regex, "[ab]", &["a", "b"]),
        (MatchOp::NotRegex, "a.*", &["b", "c"]),
        (MatchOp::Equal, "", &[]),
        (MatchOp::Regex, ".*", &["a", "b", "c"]),
    ] {
        assert_eq!(found(&store, &[name.clone(), matcher("s", op, value)]), expected, "{op:?} {value}");
        assert_eq!(found(&store, &[matcher("s", op, value)]), expected, "{op:?} {value} alone");
    }
    assert!(found(&store, &[matcher("__name__", MatchOp::Equal, "other")]).is_empty());
}

#[test]
fn selections_follow_series_and_touches_name_them() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.apply(&body(&[("b", &[(0, 1.0)])]), NOW, &mut out);
    let all = store.select(&[matcher("__name__", MatchOp::Equal, "m")], 60_000, true);
    let some = store.select(&[matcher("s", MatchOp::Regex, "a|b")], 0, false);
    out.clear();
    store.apply(&body(&[("a", &[(1, 1.0)]), ("c", &[(1, 1.0), (2, 2.0)])]), NOW, &mut out);
    let members = |selection| {
        let mut names = Vec::new();
        store.members(selection, &mut |view| names.push(view.labels.get("s").to_string()));
        names
    };
    assert_eq!(
        (members(all), members(some)),
        (["a", "b", "c"].map(String::from).to_vec(), ["a", "b"].map(String::from).to_vec())
    );
    assert!(out.touches.iter().all(|touch| touch.selection == all));
    assert_eq!(out.touches.len(), 3);
}

#[test]
fn a_restored_store_goes_on_as_the_one_that_wrote_it() {
    let bodies: Vec<Decoded> = (0..20)
        .map(|i| {
            let names: Vec<String> = (0..10).map(|j| format!("{}", (i * 7 + j * 3) % 40)).collect();
            let samples = [(i64::from(i) * 1000, f64::from(i)), (i64::from(i) * 1000 + 500, 0.5)];
            body(&names.iter().map(|n| (&**n, &samples[..])).collect::<Vec<_>>())
        })
        .collect();
    for cut in 0..bodies.len() {
        let (mut whole, mut part) = (SeriesStore::new(SEED, 30), SeriesStore::new(SEED, 30));
        let (mut a, mut b) = (Applied::default(), Applied::default());
        for (i, body) in bodies.iter().enumerate() {
            if i == cut {
                let bytes = state(&part);
                let mut r = Reader::new(&bytes);
                part = SeriesStore::read(&mut r, part.page_count(), SEED).expect("just written");
            }
            a.clear();
            b.clear();
            whole.apply(body, NOW.plus(i as i64 * 1000), &mut a);
            part.apply(body, NOW.plus(i as i64 * 1000), &mut b);
            assert_eq!((&a.samples, &a.created, a.counts), (&b.samples, &b.created, b.counts), "cut {cut}, body {i}");
        }
        assert_eq!(state(&whole), state(&part), "cut at {cut}");
        assert!(whole.counts().cardinality > 0, "the bound is reached");
    }
}

#[test]
fn idle_series_are_forgotten_and_their_keys_with_them() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.apply(&body(&[("a", &[(0, 1.0)]), ("b", &[(0, 1.0)])]), NOW, &mut out);
    let mut now = NOW;
    for second in 1..=2 * IDLE_MS / 1000 {
        now = NOW.plus(second * 1000);
        if second % 60 == 0 {
            store.apply(&body(&[("b", &[(second * 1000, 1.0)])]), now, &mut out);
        }
        store.sweep(now, &mut out);
    }
    assert_eq!((store.len(), out.evicted.len()), (1, 1));
    out.clear();
    store.apply(&body(&[("z", &[(2 * IDLE_MS, 9.0)])]), now, &mut out);
    store.apply(&body(&[("a", &[(2 * IDLE_MS, 5.0)])]), now, &mut out);
    let newest =
        |name| store.view(store.find(&[matcher("s", MatchOp::Equal, name)])[0]).samples.last().map(Sample::value);
    assert_eq!((newest("z"), newest("a")), (Some(9.0), Some(5.0)));
}
