//! The laws of streams, on random expressions over random series.
use faultline_model::{Histogram, HistogramSample, Labels, Millis, Number, Reader, Sample, Writer};
use faultline_promql::{
    Batch, Change, EvalError, Expr, Features, Options, SeriesView, Stream, StreamImage, Value, evaluate, parse,
    parse_with,
};
use faultline_promqltest::random::Random;
use faultline_promqltest::store::{Store, selects};
use std::collections::BTreeMap;

/// A stream, and its result as its changes tell it.
#[derive(Clone)]
struct Follower {
    stream: Stream,
    result: BTreeMap<Labels, Number>,
}

impl Follower {
    fn apply(&mut self, changes: &[Change]) {
        assert!(changes.is_sorted_by(|a, b| a.labels < b.labels), "changes in label order: {changes:?}");
        for change in changes {
            let before = self.result.get(&change.labels);
            assert_ne!(before, change.value.as_ref(), "a change that changes nothing: {change:?}");
            match &change.value {
                Some(x) => self.result.insert(change.labels.clone(), x.clone()),
                None => self.result.remove(&change.labels),
            };
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_at(None)
    }

    fn bytes_at(&self, image: Option<&StreamImage>) -> Vec<u8> {
        let mut w = Writer::default();
        self.stream.write(image, &mut w);
        w.into_bytes()
    }
}

fn elements(expr: &Expr, at: Millis, store: &Store) -> Result<BTreeMap<Labels, Number>, EvalError> {
    Ok(match evaluate(expr, at, store, &Options::default())? {
        Value::Vector(elements) => elements.into_iter().map(|e| (e.labels, e.value)).collect(),
        Value::Scalar(x) => BTreeMap::from([(Labels::default(), x.into())]),
        other => panic!("{other:?}"),
    })
}

fn random_labels(random: &mut Random) -> Labels {
    let name = *random.pick(&["a", "b", "c"]);
    let (i, j) = (random.below(3).to_string(), random.below(3).to_string());
    let j = if random.chance(15) { "" } else { &*j };
    Labels::new([("__name__", name), ("i", &*i), ("j", j), ("k", *random.pick(&["", "", "x", "y"]))])
}

fn touch_all(
    follower: &mut Follower,
    expr: &Expr,
    at: Millis,
    store: &Store,
    labels: &[Labels],
) -> (Result<(), EvalError>, Vec<Change>) {
    let (mut last, mut all) = (Ok(()), Vec::new());
    for series in labels {
        for (index, _) in expr.selectors().iter().enumerate().filter(|(_, s)| selects(s, series)) {
            let mut changes = Vec::new();
            let view = store.view(series).expect("a series of the store");
            last = follower.stream.touch(expr, at, index, view, &Options::default(), &mut changes);
            assert!(last.is_ok() || changes.is_empty(), "an error that changes the result");
            follower.apply(&changes);
            all.extend(changes);
        }
    }
    (last, all)
}

/// New samples of series, one selector after the other: of each selector one series after the other, or all as a batch.
fn touch_by_selector(
    follower: &mut Follower,
    expr: &Expr,
    at: Millis,
    store: &Store,
    labels: &[Labels],
    batch: bool,
) -> String {
    let (options, mut told) = (Options::default(), String::new());
    for (index, selector) in expr.selectors().iter().enumerate() {
        let series = labels.iter().filter(|series| selects(selector, series));
        let views: Vec<SeriesView<'_>> =
            series.map(|series| store.view(series).expect("a series of the store")).collect();
        let numbers: Vec<u32> = views.iter().map(|view| view.id).collect();
        let view = |number| *views.iter().find(|view| view.id == number).expect("one of the batch");
        let (mut batched, mut next) = (Batch::new(&numbers, &view), 0);
        while next < views.len() {
            let (mut changes, mut result) = (Vec::new(), Ok(()));
            if batch {
                let (taken, told) =
                    follower.stream.touch_some(expr, at, index, &mut batched, next, &options, &mut changes);
                (next, result) = (next + taken, told);
            }
            if changes.is_empty() && result.is_ok() && next < views.len() {
                result = follower.stream.touch(expr, at, index, views[next], &options, &mut changes);
                next += 1;
            }
            follower.apply(&changes);
            if !changes.is_empty() || result.is_err() {
                told += &format!("{index} {next} {changes:?} {result:?}\n");
            }
        }
    }
    told
}

/// One random expression: a few rounds of samples, touches and refreshes, a checkpoint somewhere.
/// Says whether the expression could be compiled, and whether it ever had a result and an error.
fn run(seed: u64) -> Option<(bool, bool)> {
    let mut random = Random::new(seed);
    let timed = random.chance(30);
    let depth = 1 + random.below(3);
    let text = random.vector(depth, timed);
    let timed = text.contains("time()") || text.contains("timestamp(");
    let expr = parse_with(&text, Features::additions()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let stream = Stream::compile(&expr).ok()?;
    let mut follower = Follower { stream, result: BTreeMap::new() };
    let mut store = Store::default();
    let (mut some, mut failed) = (false, false);
    let mut at = Millis(1_000_000);
    // Some streams come to series that are there already.
    let late = random.chance(30);
    // Bytes and image of a moment at which the stream was frozen.
    let mut frozen: Option<(Vec<u8>, StreamImage)> = None;
    for round in 0..6 {
        if let Some((then, image)) = &frozen {
            assert_eq!(follower.bytes_at(Some(image)), *then, "seed {seed}: {text}: as it was when it was frozen");
        }
        if random.chance(30) {
            follower.stream.thaw();
            frozen = random.chance(80).then(|| (follower.bytes(), follower.stream.freeze()));
        }
        let mut touched = Vec::new();
        for _ in 0..random.below(14) {
            let labels = random_labels(&mut random);
            at = at.plus(random.below(15_000) as i64);
            // Some senders' clocks are ahead.
            let ahead = if random.chance(10) { random.below(60_000) as i64 } else { 0 };
            store.add(labels.clone(), vec![random.sample(at.plus(ahead))]);
            if late && round == 0 {
                continue;
            }
            touched.push(labels.clone());
            if random.chance(30) {
                // Some more at once: as a batch, and one by one.
                let mut all = vec![labels];
                for _ in 0..random.below(6) {
                    let labels = random_labels(&mut random);
                    if !all.contains(&labels) {
                        store.add(labels.clone(), vec![random.sample(at)]);
                        all.push(labels);
                    }
                }
                touched.extend_from_slice(&all[1..]);
                let mut copy = follower.clone();
                let one = touch_by_selector(&mut follower, &expr, at, &store, &all, false);
                let other = touch_by_selector(&mut copy, &expr, at, &store, &all, true);
                assert_eq!(one, other, "seed {seed}: {text}: a batch tells something else");
                assert_eq!(copy.bytes(), follower.bytes(), "seed {seed}: {text}: after a batch");
                (follower, frozen) = if random.chance(50) { (copy, None) } else { (follower, frozen) };
                continue;
            }
            let (result, _) = touch_all(&mut follower, &expr, at, &store, std::slice::from_ref(&labels));
            failed |= result.is_err();
        }
        if random.chance(30) && !(late && round == 0) {
            // Everything that is known at one instant, one series after the other: as if on the grid.
            let all = store.labels();
            let (result, _) = touch_all(&mut follower, &expr, at, &store, &all);
            if !timed
                && !all.is_empty()
                && round > 0
                && expr.selectors().iter().any(|s| all.iter().any(|l| selects(s, l)))
            {
                match elements(&expr, at, &store) {
                    Ok(expected) => {
                        assert_eq!(follower.result, expected, "seed {seed}: {text} after touches at {at:?}")
                    }
                    Err(error) => assert!(result.is_err(), "seed {seed}: {text}: {error}, but not of the stream"),
                }
            }
        }
        if random.chance(30) {
            let bytes = follower.bytes();
            let mut r = Reader::new(&bytes);
            let stream = Stream::read(&expr, &mut r).unwrap_or_else(|error| panic!("seed {seed}: {text}: {error}"));
            let mut copy = Follower { stream, result: follower.result.clone() };
            assert_eq!(copy.bytes(), bytes, "seed {seed}: {text}");
            let one = touch_all(&mut follower, &expr, at, &store, &touched);
            let other = touch_all(&mut copy, &expr, at, &store, &touched);
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "seed {seed}: {text}: the restored stream differs");
            assert_eq!(copy.bytes(), follower.bytes(), "seed {seed}: {text}");
            if random.chance(50) {
                (follower, frozen) = (copy, None);
            }
        }
        if random.chance(20) {
            let all = store.labels();
            if !all.is_empty() {
                let come = random_labels(&mut random);
                store.replace(random.pick(&all), come);
            }
        }
        at = at.plus(random.below(100_000) as i64);
        let before = follower.result.clone();
        let mut changes = Vec::new();
        let refreshed = follower.stream.refresh(&expr, at, &store, &Options::default(), &mut changes);
        follower.apply(&changes);
        match (elements(&expr, at, &store), refreshed) {
            (Ok(expected), Ok(())) => {
                some |= !expected.is_empty();
                assert_eq!(follower.result, expected, "seed {seed}: {text} at {at:?}");
            }
            (Err(expected), Err(error)) => {
                failed = true;
                assert_eq!(error, expected, "seed {seed}: {text}");
                assert_eq!(follower.result, before, "seed {seed}: {text}: an error changes nothing");
            }
            (expected, found) => panic!("seed {seed}: {text}: {expected:?} on the grid, {found:?} of the stream"),
        }
    }
    Some((some, failed))
}

#[test]
fn streams_obey_their_laws_on_random_expressions() {
    let (mut compiled, mut some, mut failed) = (0, 0, 0);
    for seed in 0..10_000 {
        if let Some((had_some, had_failed)) = run(seed) {
            compiled += 1;
            some += usize::from(had_some);
            failed += usize::from(had_failed);
        }
    }
    eprintln!("{compiled} compiled, {some} with results, {failed} with errors");
    assert!(compiled >= 8000 && some >= 4000 && failed >= 500, "{compiled} compiled, {some} results, {failed} errors");
}

#[test]
fn what_is_not_incremental_is_named() {
    for (text, why, at) in [
        ("a and b", "operator \"and\"", 2..5),
        ("1 + topk(1, a)", "topk()", 4..14),
        ("sum(quantile(0.5, a))", "quantile()", 4..20),
        ("histogram_quantile(0.9, a)", "histogram_quantile()", 0..26),
        ("count_values(\"v\", a)", "count_values()", 0..20),
        ("sort(a)", "sort()", 0..7),
        ("label_replace(a, \"b\", \"c\", \"d\", \"e\")", "label_replace()", 0..36),
        ("a > scalar(b)", "scalar()", 4..13),
        ("rate(a[5m:1m])", "a subquery", 5..13),
        ("rate({job=\"x\"}[5m])", "dropping the names of several metrics", 0..19),
        ("a[5m]", "a range vector", 0..5),
    ] {
        let expr = parse(text).expect(text);
        let error = Stream::compile(&expr).expect_err(text);
        assert_eq!((&*error.why, error.at.clone()), (why, at), "{text}");
    }
}

/// A threshold: only crossings and changes above it are told.
#[test]
fn a_threshold_tells_what_crosses_it() {
    let expr = parse("m > 5").expect("an expression");
    let mut stream = Stream::compile(&expr).expect("incremental");
    let labels = Labels::new([("__name__", "m"), ("i", "1")]);
    let mut store = Store::default();
    let mut at = Millis(0);
    for (x, expected) in [(1.0, None), (6.0, Some(Some(6.0))), (6.0, None), (7.0, Some(Some(7.0))), (2.0, Some(None))] {
        at = at.plus(1000);
        store.add(labels.clone(), vec![Sample::new(at, x)]);
        let mut out = Vec::new();
        let series = store.view(&labels).expect("just added");
        stream.touch(&expr, at, 0, series, &Options::default(), &mut out).expect("no error");
        let expected: Vec<_> = expected
            .into_iter()
            .map(|value| Change { labels: labels.clone(), value: value.map(Number::Float) })
            .collect();
        assert_eq!(out, expected, "{x}");
    }
}

#[test]
fn bounds_hold() {
    let labels = |i: usize| Labels::new([("__name__", "m"), ("i", &*i.to_string())]);
    let mut store = Store::default();
    for i in 0..10 {
        store.add(labels(i), (0..30).map(|t| Sample::new(Millis(t * 1000), 1.0)).collect());
    }
    let at = Millis(30_000);
    let few = Options { samples_max: 100, ..Options::default() };
    for text in ["rate(m[1m])", "max_over_time(m[1m:1ms])", "absent(m)[100y:1ms]", "m[1m]", "vector(1)[100y:1ms]"] {
        let expr = parse(text).expect(text);
        assert_eq!(evaluate(&expr, at, &store, &few), Err(EvalError::TooManySamples { limit: 100 }), "{text}");
    }
    let expr = parse("m").expect("an expression");
    let small = Options { elements_max: 5, ..Options::default() };
    let mut stream = Stream::compile(&expr).expect("incremental");
    let mut out = Vec::new();
    let refused = Err(EvalError::TooManyElements { limit: 5 });
    assert_eq!(stream.refresh(&expr, at, &store, &small, &mut out), refused);
    let results: Vec<_> =
        (0..10).map(|i| stream.touch(&expr, at, 0, store.view(&labels(i)).expect("added"), &small, &mut out)).collect();
    assert_eq!((results.iter().filter(|r| r.is_ok()).count(), out.len()), (5, 5));
    assert_eq!(results[9], refused);
}

/// The deepest trees that are parsed go through everything else without running out of stack.
#[test]
fn deep_expressions_fit_the_stack() {
    let mut store = Store::default();
    store.add(Labels::new([("__name__", "a")]), vec![Sample::new(Millis(0), 1.0)]);
    let nested = |open: &str, close: &str| format!("{}a{}", open.repeat(245), close.repeat(245));
    for text in [
        nested("(", ")"),
        nested("sum(", ")"),
        nested("abs(", ")"),
        nested("-(", ")").replace("-(a)", "-a").replacen("-(", "", 123).replacen(')', "", 123),
        "a".to_string() + &" + a".repeat(245),
        "1 + ".repeat(245) + "a",
        "a ^ ".repeat(245) + "a",
        format!("{}a{}", "max_over_time(".repeat(3), "[2ms:1ms])".repeat(3)),
    ] {
        let expr = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(evaluate(&expr, Millis(0), &store, &Options::default()).is_ok(), "{text}");
        assert_eq!(parse(&expr.to_string()).as_ref(), Ok(&expr));
        if let Ok(mut stream) = Stream::compile(&expr) {
            let mut out = Vec::new();
            stream.refresh(&expr, Millis(0), &store, &Options::default(), &mut out).expect(&text);
            assert_eq!(out.len(), 1, "{text}");
        }
    }
}

#[test]
fn bytes_of_another_stream_are_refused() {
    let store = {
        let mut store = Store::default();
        for i in 0..4 {
            store.add(Labels::new([("__name__", "a"), ("i", &*i.to_string())]), vec![Sample::new(Millis(0), 1.0)]);
        }
        store
    };
    let expr = parse("sum by (i) (a) + 1").expect("an expression");
    let mut stream = Stream::compile(&expr).expect("incremental");
    stream.refresh(&expr, Millis(0), &store, &Options::default(), &mut Vec::new()).expect("no error");
    let mut w = Writer::default();
    stream.write(None, &mut w);
    let bytes = w.into_bytes();
    assert!(Stream::read(&expr, &mut Reader::new(&bytes)).is_ok());
    assert!(Stream::read(&parse("a > 1").expect("an expression"), &mut Reader::new(&bytes)).is_err());
    for size in 0..bytes.len() {
        assert!(Stream::read(&expr, &mut Reader::new(&bytes[..size])).is_err(), "cut at {size}");
    }
    // Flips are refused or read as another state; they never panic.
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let _ = Stream::read(&expr, &mut Reader::new(&flipped));
        }
    }
}

/// A stream says that it cannot, rather than leave histograms out.
#[test]
fn histograms_are_refused_loudly() {
    let expr = parse("count(a)").expect("an expression");
    let mut stream = Stream::compile(&expr).expect("incremental");
    let labels = Labels::new([("__name__", "a")]);
    let mut store = Store::default();
    let (at, histogram) = (Millis(1000), Some(Histogram::default().into()));
    store.add_histograms(labels.clone(), vec![HistogramSample { time: at, histogram }]);
    let mut out = Vec::new();
    let series = store.view(&labels).expect("just added");
    assert!(stream.touch(&expr, at, 0, series, &Options::default(), &mut out).is_err());
    assert!(stream.refresh(&expr, at, &store, &Options::default(), &mut out).is_err() && out.is_empty());
}
