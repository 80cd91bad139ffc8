//! Tests of the ring.
use super::*;
use alloc::collections::BTreeMap;
use alloc::vec;
use faultline_promql::Options;

fn times(ring: &Ring) -> Vec<i64> {
    ring.samples().iter().map(|s| s.time().0).collect()
}

fn ring(times: impl IntoIterator<Item = i64>) -> Ring {
    let mut ring = Ring::default();
    for time in times {
        ring.push(Sample::new(Millis(time), time as f64), Millis(time), 1 << 40);
    }
    ring
}

/// SplitMix64.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % below
}

#[test]
fn the_lookback_is_that_of_the_language() {
    assert_eq!(Options::default().lookback_ms, LOOKBACK_MS);
}

#[test]
fn samples_stay_in_order_whatever_order_they_come_in() {
    use Pushed::*;
    const NOW: i64 = 1_000_000;
    let check = |keep: i64, offered: &[(i64, f64)], outcomes: &[Pushed], kept: &[i64]| {
        let mut ring = Ring::default();
        let pushed: Vec<Pushed> =
            offered.iter().map(|&(t, v)| ring.push(Sample::new(Millis(NOW + t), v), Millis(NOW), keep)).collect();
        assert_eq!(pushed, outcomes, "keep {keep}");
        assert_eq!(times(&ring), kept.iter().map(|t| NOW + t).collect::<Vec<_>>(), "keep {keep}");
    };
    // A range of 90 ms: whatever lies within it finds its place, in front of all others too.
    let offered = [(-50, 1.0), (-30, 3.0), (-40, 2.0), (-30, 3.0), (-30, 4.0), (-80, 0.0), (-100, 0.0), (-110, 0.0)];
    let outcomes = [Newest, Newest, Inserted, Duplicate, Conflict, Inserted, Inserted, Late];
    check(90, &offered, &outcomes, &[-100, -80, -50, -40, -30]);
    // Read by nobody: the newest two, and what comes late goes elsewhere unless it is very late.
    let offered = [(-50, 1.0), (-30, 3.0), (-40, 2.0), (1 - LOOKBACK_MS, 2.0), (-LOOKBACK_MS, 2.0), (-30, 3.0)];
    check(UNREAD, &offered, &[Newest, Newest, Late, Late, TooOld, Duplicate], &[-40, -30]);
    // Read at an instant by a sender whose clock is ahead: the newest at or before now must be there.
    let offered = [(10, 1.0), (20, 2.0), (30, 3.0), (-5, 4.0), (-6, 5.0), (0, 6.0)];
    check(0, &offered, &[Newest, Newest, Newest, Inserted, Late, Inserted], &[0, 10, 20, 30]);
    // One that never dropped any shows it by having no second.
    check(UNREAD, &[(-50, 1.0), (-70, 3.0), (-60, 2.0)], &[Newest, Late, Late], &[-60, -50]);
}

#[test]
fn a_range_is_kept_and_no_more() {
    let mut ring = Ring::default();
    for t in 1..=1000 {
        ring.push(Sample::new(Millis(t), 0.0), Millis(t), 50);
        assert_eq!(ring.len() as i64, t.min(51), "the window is open on the left, and one is kept before it");
    }
    for keep in [UNREAD, 0] {
        let mut small = Ring::default();
        for t in 1..=1000 {
            small.push(Sample::new(Millis(t), 0.0), Millis(t), keep);
        }
        assert_eq!((times(&small), small.samples.capacity()), (vec![999, 1000], 2));
    }
    let copy = Ring::from_bytes(&ring.to_bytes()).expect("just written");
    assert_eq!(copy.samples(), ring.samples());
}

/// Against a map of everything ever offered: what a rule may read is all there, room is bounded, and a ring read from its
/// bytes, which has other room, goes on as the one that wrote them.
#[test]
fn what_may_be_read_is_what_was_offered() {
    for seed in 0..200_u64 {
        let mut state = seed;
        let keep = [UNREAD, 0, 1, 40, 1000][seed as usize % 5];
        let (ahead, late) = (1 + draw(&mut state, 50), 1 + draw(&mut state, 2 * LOOKBACK_MS as u64));
        let (mut ring, mut offered, mut now) = (Ring::default(), BTreeMap::new(), 1_000_000_i64);
        for step in 0..400 {
            now += draw(&mut state, 60) as i64 / 20 * (1 + i64::from(step % 97 == 0) * 500);
            let back = if draw(&mut state, 5) == 0 { draw(&mut state, late) } else { draw(&mut state, 20) };
            let time = now + draw(&mut state, ahead) as i64 - back as i64;
            let sample = Sample::new(Millis(time), draw(&mut state, 3) as f64);
            let mut copy = Ring::from_bytes(&ring.to_bytes()).expect("just written");
            let pushed = ring.push(sample, Millis(now), keep);
            assert_eq!((copy.push(sample, Millis(now), keep), copy.samples()), (pushed, ring.samples()));
            offered.entry(time).or_insert(sample);
            if draw(&mut state, 10) == 0 {
                ring.trim(Millis(now), keep);
            }
            assert!(
                ring.samples.capacity() <= 2 * ring.len() + SLACK,
                "{} for {}",
                ring.samples.capacity(),
                ring.len()
            );
            assert!(ring.samples().is_sorted_by(|a, b| a.time() < b.time()));
            // Nothing is missing behind its oldest sample; where there are not two, nothing is missing at all.
            let oldest = ring.samples().first().filter(|_| ring.len() >= 2).map_or(i64::MIN, |s| s.time().0);
            let since: Vec<Sample> = offered.range(oldest..).map(|(_, s)| *s).collect();
            assert_eq!(ring.samples(), since, "seed {seed}, step {step}, keep {keep}");
            if keep == UNREAD {
                assert!(ring.len() <= 2);
                continue;
            }
            let horizon = now - keep;
            let within: Vec<Sample> = offered.range(horizon + 1..).map(|(_, s)| *s).collect();
            let held = ring.samples();
            let first = held.partition_point(|s| s.time().0 <= horizon);
            assert_eq!(&held[first..], within, "seed {seed}, step {step}, keep {keep}");
            let added = matches!(pushed, Pushed::Newest | Pushed::Inserted);
            assert!(first <= 2 || !added, "no more than the newest before, or the newest two");
            // What an instant selector finds at the far end.
            if let Some((_, before)) = offered.range(horizon - LOOKBACK_MS + 1..=horizon).next_back() {
                assert_eq!(held[..first].last(), Some(before), "seed {seed}, step {step}, keep {keep}");
            }
        }
    }
}

/// Frozen, a ring does what it would do anyway, and can still be written as it was.
#[test]
fn a_frozen_ring_is_written_as_it_was() {
    for seed in 0..400_u64 {
        let mut state = seed;
        let keep = [UNREAD, 0, 1, 40, 1000][seed as usize % 5];
        let (ahead, late) = (1 + draw(&mut state, 50), 1 + draw(&mut state, 2 * LOOKBACK_MS as u64));
        let (mut ring, mut other, mut now) = (Ring::default(), Ring::default(), 1_000_000_i64);
        let mut image: Option<(Stood, Vec<u8>)> = None;
        for _ in 0..600 {
            now += draw(&mut state, 60) as i64 / 20;
            match draw(&mut state, 40) {
                0 if image.is_none() => {
                    let bytes = ring.to_bytes();
                    image = Some((ring.freeze(), bytes));
                }
                1 => {
                    image = None;
                    ring.thaw();
                    assert!(ring.samples.capacity() <= 2 * ring.len() + SLACK);
                }
                2 => assert_eq!(ring.thin(), other.thin()),
                3 => assert_eq!(ring.trim(Millis(now), keep), other.trim(Millis(now), keep)),
                _ => {
                    let back = if draw(&mut state, 5) == 0 { draw(&mut state, late) } else { draw(&mut state, 20) };
                    let time = now + draw(&mut state, ahead) as i64 - back as i64;
                    let sample = Sample::new(Millis(time), draw(&mut state, 3) as f64);
                    assert_eq!(ring.push(sample, Millis(now), keep), other.push(sample, Millis(now), keep));
                }
            }
            assert_eq!(ring.samples(), other.samples(), "seed {seed}, keep {keep}");
            if let Some((stood, bytes)) = &image {
                let mut w = Writer::default();
                ring.write_image(stood, &mut w);
                assert!(w.into_bytes() == *bytes, "seed {seed}, keep {keep}");
            }
        }
    }
}

/// Whatever way they came, and however they are kept: a counter that seldom falls and is seldom stale.
#[test]
fn marks_are_those_of_the_samples() {
    let mut marked = 0;
    for seed in 0..60_u64 {
        let (mut state, mut ring, mut now) = (seed, Ring::default(), 1_000_000_i64);
        for _ in 0..1_500 {
            now += draw(&mut state, 4) as i64 + if draw(&mut state, 400) == 0 { 1_500 } else { 0 };
            let back = if draw(&mut state, 5) == 0 { draw(&mut state, 900) } else { 0 };
            let time = Millis(now - back as i64);
            let value = if draw(&mut state, 60) == 0 { 0.0 } else { time.0 as f64 };
            let sample = if draw(&mut state, 150) == 0 { Sample::stale(time) } else { Sample::new(time, value) };
            ring.push(sample, Millis(now), 1_000);
            match draw(&mut state, 200) {
                0 => drop(ring.freeze()),
                1 => ring.thaw(),
                2 => drop(ring.thin()),
                3 => drop(ring.trim(Millis(now), 1_000)),
                4 => ring = Ring::from_bytes(&ring.to_bytes()).expect("just written"),
                _ => {}
            }
            if let Some(marks) = ring.marks() {
                assert_eq!(*marks, Marks::of(ring.samples()), "seed {seed}");
                marked += 1;
            }
            assert!(ring.len() < MARKED || ring.marks().is_some());
            assert!(ring.len() >= MARKED / 2 || ring.marks().is_none());
        }
    }
    assert!(marked > 20_000, "{marked}");
}

#[test]
fn thinning_halves_and_keeps_span_and_ends() {
    let check = |before: Vec<i64>, after: &[i64]| {
        let mut thinned = ring(before.iter().copied());
        assert_eq!(thinned.thin(), before.len() - after.len());
        assert_eq!(times(&thinned), after, "{before:?}");
    };
    check(vec![], &[]);
    check(vec![1, 2], &[1, 2]);
    check(vec![1, 2, 3], &[1, 3]);
    check(vec![0, 100, 200, 300], &[0, 200, 300]);
    check((0..10).collect(), &[0, 2, 4, 6, 8, 9]);
    // What came thick goes first; what stands alone stays.
    check(vec![0, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 2000], &[0, 1000, 2000]);
    for seed in 0..200 {
        let mut state = seed;
        let count = 3 + draw(&mut state, 300) as usize;
        let mut time = 0;
        let times: Vec<i64> = (0..count)
            .map(|_| {
                time += 1 + draw(&mut state, [2, 50, 10_000][seed as usize % 3]) as i64;
                time
            })
            .collect();
        let full = ring(times);
        let mut thinned = full.clone();
        let gone = thinned.thin();
        assert!(gone > 0 && thinned.len() <= (full.len() / 2 + 2).max(full.len() - 1).max(2));
        assert!(count < 8 || thinned.len() <= full.len() / 2 + 2, "{} of {count}", thinned.len());
        assert_eq!((thinned.samples()[0], thinned.samples().last()), (full.samples()[0], full.samples().last()));
        assert!(thinned.samples().iter().all(|sample| full.samples().contains(sample)));
        assert!(thinned.samples().is_sorted_by(|a, b| a.time() < b.time()));
        assert!(thinned.samples.capacity() <= 2 * thinned.len() + SLACK);
    }
}
