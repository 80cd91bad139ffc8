//! Tests of the series store.
use super::apply::add_difference;
use super::*;
use crate::histograms;
use crate::replicas::REPLICAS_MAX;
use crate::ring::{LOOKBACK_MS, SAMPLES_MAX};
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use faultline_formats::encode::write_request;
use faultline_formats::{Decoded, NativePoint, PointFlags, decode};
use faultline_model::histogram::{Buckets, Histogram};
use faultline_model::{Clock, Encoding, Format, Kind, Payload, RecalledSeries, SourceId, TenantId};

const SEED: HashSeed = HashSeed(7);
const NOW: Millis = Millis(1_700_000_000_000);

fn body(series: &[(&str, &[(i64, f64)])]) -> Decoded {
    let sets: Vec<(Labels, Vec<Sample>)> = series
        .iter()
        .map(|(name, samples)| {
            // `series replica`, where there is one.
            let (name, replica) = name.split_once(' ').unwrap_or((name, ""));
            let labels = Labels::new([("__name__", "m"), ("s", name), ("__replica__", replica)]);
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

fn state(store: &mut SeriesStore) -> (Vec<u8>, PageBytes) {
    let mut w = Writer::default();
    store.write_rest(&mut w);
    (w.into_bytes(), PageBytes::of(store.tables()))
}

#[test]
fn matchers_find_what_they_accept_in_label_order() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.apply(&body(&[("c", &[(0, 1.0)]), ("a", &[(0, 1.0)]), ("b", &[(0, 1.0)])]), 7, NOW, &mut out);
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
    store.apply(&body(&[("b", &[(0, 1.0)])]), 7, NOW, &mut out);
    let all = store.select(&[matcher("__name__", MatchOp::Equal, "m")], 60_000, true);
    let some = store.select(&[matcher("s", MatchOp::Regex, "a|b")], 0, false);
    out.clear();
    store.apply(&body(&[("a", &[(1, 1.0)]), ("c", &[(1, 1.0), (2, 2.0)])]), 7, NOW, &mut out);
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
            let samples: Vec<(i64, f64)> =
                (0..10).map(|k| (i64::from(i) * 1000 + k * 100 - k % 3 * 250, f64::from(i))).collect();
            body(&names.iter().map(|n| (&**n, &samples[..])).collect::<Vec<_>>())
        })
        .collect();
    let select = |store: &mut SeriesStore| {
        store.samples_max = 400;
        store.clear_selections();
        store.select(&[matcher("s", MatchOp::Regex, "[0-9]")], 0, true);
        store.select(&[matcher("s", MatchOp::Regex, "1.*|2")], 60_000, true);
    };
    for cut in 0..bodies.len() {
        let (mut whole, mut part) = (SeriesStore::new(SEED, 30), SeriesStore::new(SEED, 30));
        let (mut a, mut b) = (Applied::default(), Applied::default());
        select(&mut whole);
        select(&mut part);
        for (i, body) in bodies.iter().enumerate() {
            if i == cut {
                let (rest, mut pages) = state(&mut part);
                part = SeriesStore::read(&mut Reader::new(&rest), &mut pages, SEED).expect("just written");
                select(&mut part);
            }
            a.clear();
            b.clear();
            whole.apply(body, 7, NOW.plus(i as i64 * 1000), &mut a);
            part.apply(body, 7, NOW.plus(i as i64 * 1000), &mut b);
            assert_eq!((&a.samples, &a.created, a.counts), (&b.samples, &b.created, b.counts), "cut {cut}, body {i}");
            assert_eq!((&a.touches, whole.held()), (&b.touches, part.held()), "cut {cut}, body {i}");
        }
        assert_eq!(state(&mut whole), state(&mut part), "cut at {cut}");
        let counts = whole.counts();
        assert!(counts.cardinality > 0 && counts.thinned > 0, "both bounds are reached: {counts:?}");
    }
}

/// Numbers of replicas stand beside keys, which a restored store does not have: it must hear the same all the same, also in the
/// body with which they become too many.
#[test]
fn a_restored_store_hears_the_same_replicas() {
    let names = |i: i64| -> Vec<String> {
        match i {
            20 => (0..2 * REPLICAS_MAX).map(|j| format!("{} {}", j % 20, ["a", &j.to_string()][j % 2])).collect(),
            // One falls silent every minute.
            _ => (0..30)
                .map(|j| match j % 5 {
                    0 => format!("{}", j % 20),
                    _ => format!("{} {}", j % 20, ["a", "b", "c"][(i as usize / 7 + j % 2) % 3]),
                })
                .collect(),
        }
    };
    let bodies: Vec<Decoded> = (0..40)
        .map(|i| {
            let sample = [(i * 9_000, i as f64)];
            body(&names(i).iter().map(|name| (&**name, &sample[..])).collect::<Vec<_>>())
        })
        .collect();
    for cut in [1, 6, 13, 20, 21, 30] {
        let (mut whole, mut part) = (SeriesStore::new(SEED, 100), SeriesStore::new(SEED, 100));
        let (mut a, mut b) = (Applied::default(), Applied::default());
        for (i, body) in bodies.iter().enumerate() {
            if i == cut {
                let (rest, mut pages) = state(&mut part);
                part = SeriesStore::read(&mut Reader::new(&rest), &mut pages, SEED).expect("just written");
            }
            a.clear();
            b.clear();
            whole.apply(body, 7, NOW.plus(i as i64 * 9_000), &mut a);
            part.apply(body, 7, NOW.plus(i as i64 * 9_000), &mut b);
            assert_eq!((&a.samples, a.counts), (&b.samples, b.counts), "cut {cut}, body {i}");
        }
        assert_eq!(state(&mut whole), state(&mut part), "cut at {cut}");
        assert_eq!(whole.len(), 20, "a replica names no series");
        let counts = whole.replicas().counts();
        assert!(counts.unheard > 100 && counts.failovers > 1, "{counts:?}");
    }
}

/// One fast series among slow ones, all read over a range, with far too little room.
#[test]
fn all_rings_together_stay_within_their_bound_and_the_slow_ones_whole() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.samples_max = 1000;
    store.select(&[matcher("__name__", MatchOp::Equal, "m")], 100_000, false);
    let slow: Vec<String> = (0..20).map(|i| format!("slow{i}")).collect();
    let mut first = true;
    for second in 0..300_i64 {
        let now = NOW.plus(second * 1000);
        let fast: Vec<(i64, f64)> = (0..100).map(|k| second * 1000 - 990 + k * 10).map(|t| (t, t as f64)).collect();
        let one = [(second * 1000, second as f64)];
        let mut sets = vec![("fast", &fast[..])];
        if second % 10 == 0 {
            sets.extend(slow.iter().map(|name| (&**name, &one[..])));
        }
        store.apply(&body(&sets), 7, now, &mut out);
        store.sweep(now, &[], &mut out);
        assert_eq!(store.held(), store.iter().map(|view| view.samples.len()).sum::<usize>());
        assert!(store.held() <= store.samples_max, "{} held", store.held());
        let fast = store.view(store.find(&[matcher("s", MatchOp::Equal, "fast")])[0]).samples;
        // The window's ends are where they were, and a counter has grown by as much as it has.
        let (oldest, newest) = (fast[0], fast[fast.len() - 1]);
        assert_eq!(newest.time(), now);
        assert_eq!(newest.value() - oldest.value(), newest.time().since(oldest.time()) as f64);
        let missing = oldest.time().since(NOW.plus(-990).max(now.plus(-100_000)));
        assert!(missing <= 1000, "at {second} s the window begins {missing} ms late");
        first &= out.counts.thinned == 0;
    }
    assert!(!first && store.counts().thinned > 25_000);
    for name in &slow {
        let times: Vec<i64> = store
            .view(store.find(&[matcher("s", MatchOp::Equal, name)])[0])
            .samples
            .iter()
            .map(|s| s.time().since(NOW) / 1000)
            .collect();
        assert_eq!(times, (19..30).map(|i| i * 10).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn a_ring_past_its_own_bound_is_thinned_and_counted() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.select(&[matcher("__name__", MatchOp::Equal, "m")], 3_600_000, false);
    let samples: Vec<(i64, f64)> = (0..SAMPLES_MAX as i64 + 1).map(|t| (t, 0.0)).collect();
    store.apply(&body(&[("a", &samples)]), 7, NOW.plus(SAMPLES_MAX as i64), &mut out);
    let held = store.held();
    assert!(held <= SAMPLES_MAX / 2 + 2, "{held}");
    assert_eq!(out.counts.thinned as usize + held, samples.len());
    assert_eq!((out.counts.accepted as usize, out.samples.len()), (samples.len(), samples.len()));
}

#[test]
fn late_samples_reach_the_recent_store() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    let minutes = 60_000;
    store.apply(&body(&[("a", &[(0, 1.0), (1000, 2.0)])]), 7, NOW.plus(1000), &mut out);
    out.clear();
    let late = [(-1000, 3.0), (-1000, 3.0), (-4 * minutes, 4.0), (-5 * minutes, 5.0), (-50 * minutes, 6.0)];
    store.apply(&body(&[("a", &late)]), 7, NOW.plus(1000), &mut out);
    let times: Vec<i64> = out.samples.iter().map(|(_, sample)| sample.time().since(NOW)).collect();
    assert_eq!(times, [-1000, -1000, -4 * minutes], "the recent store keeps the first of a time");
    assert_eq!((out.counts.accepted, out.counts.too_old, store.held()), (3, 2, 2));
}

#[test]
fn what_nothing_reads_any_more_goes_even_if_the_series_rests() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.select(&[matcher("__name__", MatchOp::Equal, "m")], 60_000, false);
    let samples: Vec<(i64, f64)> = (0..100).map(|t| (t * 100, 0.0)).collect();
    store.apply(&body(&[("a", &samples), ("b", &samples)]), 7, NOW.plus(10_000), &mut out);
    assert_eq!(store.held(), 200);
    for second in 10..=80 + SWEEP_MS / 1000 {
        store.sweep(NOW.plus(second * 1000), &[], &mut out);
    }
    assert_eq!((store.held(), store.len(), store.counts().thinned), (4, 2, 0));
}

#[test]
fn deltas_are_summed_once_each_whenever_they_come() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    let id = store.append(&Labels::new([("__name__", "m")]), Sample::new(NOW, 0.0), NOW, &mut out).expect("room");
    let mut put = |time: i64, value| {
        let before = out.counts;
        store.put(id, NOW.plus(time), value, PointFlags::DELTA, NOW.plus(10_000), &mut out);
        let mut counts = SampleCounts::default();
        add_difference(&mut counts, before, out.counts);
        (counts, store.view(id).samples.last().map_or(0.0, Sample::value))
    };
    let one = SampleCounts::default();
    for (time, value, counts, total) in [
        (1000, 5.0, SampleCounts { accepted: 1, ..one }, 5.0),
        (2000, 2.0, SampleCounts { accepted: 1, ..one }, 7.0),
        (2000, 2.0, SampleCounts { conflicts: 1, ..one }, 7.0),
        (1500, 4.0, SampleCounts { accepted: 1, ..one }, 7.0),
        (11_000 + AHEAD_MAX_MS, 100.0, SampleCounts { future: 1, ..one }, 7.0),
        (10_000 - LOOKBACK_MS, 100.0, SampleCounts { too_old: 1, ..one }, 7.0),
        (3000, 1.0, SampleCounts { accepted: 1, ..one }, 12.0),
    ] {
        assert_eq!(put(time, value), (counts, total), "at {time}");
    }
}

#[test]
fn idle_series_are_forgotten_and_their_keys_with_them() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.apply(&body(&[("a", &[(0, 1.0)]), ("b", &[(0, 1.0)])]), 7, NOW, &mut out);
    let mut now = NOW;
    for second in 1..=2 * IDLE_MS / 1000 {
        now = NOW.plus(second * 1000);
        if second % 60 == 0 {
            store.apply(&body(&[("b", &[(second * 1000, 1.0)])]), 7, now, &mut out);
        }
        store.sweep(now, &[], &mut out);
    }
    assert_eq!((store.len(), out.evicted.len()), (1, 1));
    out.clear();
    store.apply(&body(&[("z", &[(2 * IDLE_MS, 9.0)])]), 7, now, &mut out);
    store.apply(&body(&[("a", &[(2 * IDLE_MS, 5.0)])]), 7, now, &mut out);
    let newest =
        |name| store.view(store.find(&[matcher("s", MatchOp::Equal, name)])[0]).samples.last().map(Sample::value);
    assert_eq!((newest("z"), newest("a")), (Some(9.0), Some(5.0)));
}

/// Found by fuzzing: after a jump of rule time a series of the graph's was gone, and its id led nowhere.
#[test]
fn series_that_are_held_outlast_a_jump_of_time() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    let labels = |name: &str| Labels::new([("__name__", name)]);
    let [held, other] = ["held", "other"].map(|name| store.append(&labels(name), Sample::new(NOW, 1.0), NOW, &mut out));
    let later = NOW.plus(25 * IDLE_MS);
    store.sweep(later, &[u32::MAX, held.expect("there is room")], &mut out);
    assert_eq!((store.len(), &out.evicted[..]), (1, &[other.expect("there is room")][..]));
    store.append_to(held.expect("there is room"), Sample::new(later, 2.0), later, &mut out);
    assert_eq!(store.view(held.expect("there is room")).samples.last().map(Sample::value), Some(2.0));
    store.sweep(later.plus(2 * IDLE_MS), &[], &mut out);
    assert!(store.is_empty(), "what nobody holds any more goes");
}

/// Native histograms of one series, as remote write says them: `None` is a stale marker.
fn native(series: &str, points: &[(i64, Option<f64>)]) -> Decoded {
    let mut decoded = body(&[(series, &[(0, 0.0)])]);
    let key = decoded.events.points.remove(0).key;
    let point = |(&(time, count), place): (&(i64, Option<f64>), u32)| {
        let histogram = count.map(|count| {
            let positive = Buckets::new((0..10).map(|i| (i, count)));
            Arc::new(Histogram { count: 10.0 * count, sum: count, positive, ..Histogram::default() })
        });
        NativePoint { key, time: NOW.plus(time), histogram, place }
    };
    // The body says one point: a new series is named by the place of that.
    decoded.events.histograms = points.iter().zip(core::iter::repeat(0)).map(point).collect();
    decoded
}

fn histograms(store: &SeriesStore) -> Vec<(i64, Option<f64>)> {
    let point = |sample: &HistogramSample| (sample.time.since(NOW), sample.histogram.as_ref().map(|h| h.sum));
    store.view(0).histograms.iter().map(point).collect()
}

#[test]
fn histograms_stand_beside_floats_and_no_time_is_in_both() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    let all = store.select(&[matcher("__name__", MatchOp::Equal, "m")], 60_000, true);
    store.apply(&native("a", &[(0, Some(1.0))]), 7, NOW, &mut out);
    for (time, count) in [(2000, 3.0), (1000, 2.0), (1000, 2.0), (1000, 9.0)] {
        store.apply(&native("a", &[(time, Some(count))]), 7, NOW, &mut out);
    }
    // A float of a time that a histogram has, and the other way round; a stale marker that comes as a float.
    store.apply(&body(&[("a", &[(2000, 7.0), (-5, 7.0)])]), 7, NOW, &mut out);
    store.apply(&native("a", &[(-5, Some(1.0))]), 7, NOW, &mut out);
    store.append_to(0, Sample::stale(NOW.plus(3000)), NOW, &mut out);
    assert_eq!(histograms(&store), [(0, Some(1.0)), (1000, Some(2.0)), (2000, Some(3.0)), (3000, None)]);
    let floats: Vec<i64> = store.view(0).samples.iter().map(|sample| sample.time().since(NOW)).collect();
    assert_eq!(floats, [-5]);
    let counts = store.counts();
    assert_eq!((counts.accepted, counts.duplicates, counts.conflicts), (5, 1, 3));
    assert_eq!((out.histograms.len(), out.samples.len()), (4, 1));
    assert!(out.touches.iter().all(|touch| touch.selection == all) && out.touches.len() == 5);
    // What nothing reads any more goes, but for the newest two and what an instant selector reads at the far end.
    store.apply(&native("a", &[(70_000, Some(4.0))]), 7, NOW.plus(70_000), &mut out);
    assert_eq!(histograms(&store), [(3000, None), (70_000, Some(4.0))]);
    store.apply(&native("a", &[(700_001, Some(4.0)), (-9, Some(1.0))]), 7, NOW.plus(70_000), &mut out);
    assert_eq!((store.counts().future, store.counts().too_old), (1, 0), "late, for queries only");
}

#[test]
fn histograms_keep_within_their_bytes() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    let each = histograms::bytes_of(&HistogramSample {
        time: NOW,
        histogram: native("a", &[(0, Some(1.0))]).events.histograms[0].histogram.clone(),
    });
    store.histogram_bytes_max = 16 * each;
    store.select(&[matcher("__name__", MatchOp::Equal, "m")], 3_600_000, false);
    for i in 0..200 {
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
            store.apply(&native(name, &[(i * 1000, Some(1.0))]), 7, NOW.plus(i * 1000), &mut out);
            assert!(store.histogram_bytes() <= 16 * each);
        }
    }
    let held: usize = store.iter().map(|view| view.histograms.iter().map(histograms::bytes_of).sum::<usize>()).sum();
    assert_eq!(store.histogram_bytes(), held);
    assert!(out.no_room > 0 && store.counts().thinned > 0);
    assert_eq!(store.counts().accepted + out.no_room, 200 * 9);
    store.sweep(NOW.plus(100 * IDLE_MS), &[], &mut out);
    for hour in 0..100 {
        store.sweep(NOW.plus((101 + hour) * IDLE_MS), &[], &mut out);
    }
    assert_eq!((store.len(), store.histogram_bytes(), store.histogram_series), (0, 0, 0));
}

#[test]
fn histograms_survive_a_restore_and_a_frozen_page_is_as_it_was() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    store.select(&[matcher("__name__", MatchOp::Equal, "m")], 60_000, false);
    store.apply(&body(&[("b", &[(0, 1.0)])]), 7, NOW, &mut out);
    for point in [(0, Some(1.0)), (1000, None), (2000, Some(3.0))] {
        store.apply(&native("a", &[point]), 7, NOW, &mut out);
    }
    let (rest, mut pages) = state(&mut store);
    let [(_, table)] = store.tables();
    table.freeze();
    store.apply(&native("a", &[(3000, Some(4.0)), (500, Some(4.0))]), 7, NOW, &mut out);
    let mut w = Writer::default();
    let [(_, table)] = store.tables();
    assert_eq!(table.write_frozen(&mut w), Some(0));
    let mut frozen = PageBytes::default();
    frozen.push("series", w.into_bytes().into());
    let read = |pages: &mut PageBytes| SeriesStore::read(&mut Reader::new(&rest), pages, SEED).expect("just written");
    let (restored, thawed) = (read(&mut pages), read(&mut frozen));
    for store in [&restored, &thawed] {
        let view = store.iter().find(|view| view.labels.get("s") == "a").expect("it is there");
        assert_eq!(view.histograms.len(), 3);
        assert_eq!((store.histogram_bytes, store.histogram_series), (restored.histogram_bytes, 1));
    }
}

/// Nobody read the series, then somebody did: what comes late before a hole does not make the ring whole from there on.
#[test]
fn a_late_sample_before_a_hole_does_not_cover_it() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    let at = |t: i64| NOW.plus(t);
    let mut push = |store: &mut SeriesStore, t: i64, now: i64| {
        store.apply(&body(&[("a", &[(t, t as f64)])]), 7, at(now), &mut out);
    };
    (0..12).for_each(|i| push(&mut store, i * 10_000, i * 10_000));
    let all = [matcher("__name__", MatchOp::Equal, "m")];
    store.select(&all, 60_000, false);
    assert_eq!(store.whole_since(&all), Some(at(100_000)), "the newest two are there");
    push(&mut store, 75_000, 112_000);
    assert_eq!(store.view(0).samples.len(), 3, "it is read");
    assert_eq!(store.whole_since(&all), Some(at(100_000)), "80 and 90 s are missing");
    // As decided by engines of before.
    let mut old = SeriesStore::new(SEED, 100);
    old.note_holes(false);
    (0..12).for_each(|i| push(&mut old, i * 10_000, i * 10_000));
    old.select(&all, 60_000, false);
    push(&mut old, 75_000, 112_000);
    assert_eq!(old.whole_since(&all), Some(at(75_000)));
    // What was kept fills the hole and goes on before it; a state with the hole in it reads back the same.
    let (rest, mut pages) = state(&mut store);
    let mut again = SeriesStore::read(&mut Reader::new(&rest), &mut pages, SEED).expect("just written");
    again.select(&all, 60_000, false);
    let kept = |from: i64, to: i64, off: f64| RecalledSeries {
        labels: Labels::new([("__name__", "m"), ("s", "a")]),
        samples: (from..to).map(|i| Sample::new(at(i * 10_000), (i * 10_000) as f64 + off)).collect(),
        histograms: Vec::new(),
    };
    for store in [&mut store, &mut again] {
        let mut out = Applied::default();
        // Twice, and what is there stays what it is.
        for off in [0.0, 0.0, 7.0] {
            assert!(store.recall(&kept(0, 12, off), at(20_000), at(112_000), &mut out));
        }
        let times: Vec<i64> = store.view(0).samples.iter().map(|s| s.time().since(NOW) / 1_000).collect();
        assert_eq!(times, [50, 60, 70, 75, 80, 90, 100, 110], "as far back as somebody reads");
        assert!(store.view(0).samples.iter().all(|s| s.value() == s.time().since(NOW) as f64));
        assert_eq!(store.whole_since(&all), Some(at(50_000)));
        assert_eq!((store.held(), out.samples.len(), out.touches.len()), (8, 0, 0), "nobody is told");
    }
    assert_eq!(state(&mut store).0, state(&mut again).0);
    // A series that was forgotten is there again, and is forgotten as any other.
    let mut gone = kept(3, 6, 0.0);
    gone.labels = Labels::new([("__name__", "m"), ("s", "b")]);
    let mut out = Applied::default();
    assert!(store.recall(&gone, at(20_000), at(112_000), &mut out));
    assert_eq!((out.created.len(), found(&store, &all)), (1, vec!["a".to_string(), "b".to_string()]));
    store.set_series_max(2);
    gone.labels = Labels::new([("__name__", "m"), ("s", "c")]);
    assert!(!store.recall(&gone, at(20_000), at(112_000), &mut out), "there is no room");
}

/// Histograms in the same way, beside numbers: of one time what is there stays.
#[test]
fn histograms_are_put_back_before_those_that_are_there() {
    let (mut store, mut out) = (SeriesStore::new(SEED, 100), Applied::default());
    let labels = Labels::new([("__name__", "h")]);
    let sample = |t: i64, count: f64| {
        let histogram = Histogram { count, positive: Buckets::new([(0, count)]), ..Histogram::default() };
        HistogramSample { time: NOW.plus(t), histogram: Some(Arc::new(histogram)) }
    };
    (0..12).for_each(|i| store.append_histogram(&labels, sample(i * 10_000, i as f64), NOW.plus(i * 10_000), &mut out));
    let all = [matcher("__name__", MatchOp::Equal, "h")];
    store.select(&all, 60_000, false);
    let kept = RecalledSeries {
        labels: labels.clone(),
        samples: vec![Sample::new(NOW.plus(75_000), 1.0)],
        histograms: (0..12).map(|i| sample(i * 10_000, i as f64 + if i == 11 { 5.0 } else { 0.0 })).collect(),
    };
    for _ in 0..2 {
        assert!(store.recall(&kept, NOW.plus(20_000), NOW.plus(110_000), &mut out));
        let view = store.view(0);
        let counts: Vec<f64> = view.histograms.iter().filter_map(|s| Some(s.histogram.as_ref()?.count)).collect();
        assert_eq!(counts, [5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
        assert_eq!(view.samples.len(), 1);
        let bytes: usize = view.histograms.iter().map(histograms::bytes_of).sum();
        assert_eq!(store.histogram_bytes(), bytes);
    }
    assert_eq!(store.whole_since(&all), Some(NOW.plus(50_000)));
}
