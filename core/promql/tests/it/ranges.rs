//! Values over a range are those at each of its instants.
use faultline_model::{Labels, Millis, Number, Sample};
use faultline_promql::{
    Annotations, EvalError, Expr, Features, Marks, Options, Range, Selector, Series, SeriesView, Source, Value,
    evaluate, evaluate_columns, evaluate_range, parse, parse_with,
};
use faultline_promqltest::random::Random;
use faultline_promqltest::store::Store;
use std::cell::Cell;
use std::collections::BTreeMap;

type Values = BTreeMap<Labels, BTreeMap<Millis, Number>>;

fn over(expr: &Expr, range: Range, store: &Store) -> Result<Values, EvalError> {
    let notes = &mut Annotations::default();
    let found = evaluate_range(expr, range, store, &Options::default(), notes, &|| false)?;
    assert!(found.is_sorted_by(|a, b| a.labels < b.labels), "in label order");
    let points = |series: Series| {
        assert!(series.samples.is_sorted_by(|a, b| a.0 < b.0), "rising in time");
        (series.labels, series.samples.into_iter().collect())
    };
    Ok(found.into_iter().map(points).collect())
}

fn instant_by_instant(expr: &Expr, range: Range, store: &Store) -> Result<Values, EvalError> {
    let mut found = Values::new();
    for at in range.instants() {
        match evaluate(expr, at, store, &Options::default())? {
            Value::Vector(elements) => {
                for element in elements {
                    found.entry(element.labels).or_default().insert(at, element.value);
                }
            }
            Value::Scalar(x) => {
                found.entry(Labels::default()).or_default().insert(at, x.into());
            }
            other => panic!("{other:?}"),
        }
    }
    Ok(found)
}

fn store(random: &mut Random) -> Store {
    let mut store = Store::default();
    for _ in 0..random.below(12) {
        let name = *random.pick(&["a", "b", "c", "target_info"]);
        let (i, j) = (random.below(3).to_string(), random.below(3).to_string());
        let job = *random.pick(&["", "x", "y"]);
        let labels = Labels::new([("__name__", name), ("i", &*i), ("j", &*j), ("job", job)]);
        let mut at = random.below(600_000) as i64;
        let mut samples: BTreeMap<Millis, Sample> = BTreeMap::new();
        for _ in 0..random.below(60) {
            at += 1 + random.below(30_000) as i64;
            samples.insert(Millis(at), random.sample(Millis(at)));
        }
        if store.view(&labels).is_none() {
            store.add(labels, samples.into_values().collect());
        }
    }
    store
}

#[test]
fn ranges_are_what_their_instants_are() {
    let (mut with_values, mut failed) = (0, 0);
    for seed in 0..3_000 {
        let mut random = Random::new(seed);
        let store = store(&mut random);
        let depth = random.below(4);
        let mut text = random.vector(depth, true);
        match random.below(8) {
            0 => text = format!("max_over_time({text}[2m:{}])", random.pick(&["", "17s", "1m"])),
            1 => text = format!("scalar({text}) + {text}"),
            2 => text = format!("quantile by (i) (scalar({text}), {text})"),
            3 => text = format!("sort(label_replace({text}, \"z\", \"$1\", \"i\", \"(.)\"))"),
            4 => text = format!("({text} @ 500)").replace("[2m] @", "[2m]"),
            _ => {}
        }
        let Ok(expr) = parse_with(&text, Features::additions()) else { continue };
        let start = Millis(random.below(900_000) as i64);
        let end = start.plus(random.below(600_000) as i64);
        let range = Range { start, end, step_ms: 100 + random.below(90_000) as i64 };
        match (over(&expr, range, &store), instant_by_instant(&expr, range, &store)) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(found, expected, "seed {seed}: {text} from {start:?} to {end:?} by {}", range.step_ms);
                with_values += usize::from(!found.is_empty());
            }
            (Err(_), Err(_)) => failed += 1,
            (found, expected) => panic!("seed {seed}: {text}\n{found:?}\n{expected:?}"),
        }
    }
    eprintln!("{with_values} with values, {failed} failed");
    assert!(with_values > 800 && failed > 10, "{with_values} {failed}");
}

#[test]
fn ranges_are_bounded_and_can_be_stopped() {
    let mut store = Store::default();
    for i in 0..100 {
        let labels = Labels::new([("__name__", "a"), ("i", &*i.to_string())]);
        store.add(labels, (0..50).map(|t| Sample::new(Millis(t * 1000), 1.0)).collect());
    }
    let expr = parse("sum(rate(a[10s]))").expect("an expression");
    let range = |end, step_ms| Range { start: Millis(0), end: Millis(end), step_ms };
    let run = |range, samples_max, cancelled: &dyn Fn() -> bool| {
        let options = Options { samples_max, ..Options::default() };
        evaluate_range(&expr, range, &store, &options, &mut Annotations::default(), cancelled).map(|found| found.len())
    };
    assert_eq!(run(range(50_000, 1000), u64::MAX, &|| false), Ok(1));
    assert_eq!(run(range(50_000, 1000), 1000, &|| false), Err(EvalError::TooManySamples { limit: 1000 }));
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        true
    };
    assert_eq!(run(range(50_000, 1000), u64::MAX, &stop), Err(EvalError::Cancelled));
    assert_eq!(asked.get(), 1, "asked no more once it is stopped");
    for wrong in [range(50_000, 0), range(-1, 1), range(11_001, 1)] {
        assert!(matches!(run(wrong, u64::MAX, &|| false), Err(EvalError::Parameter { .. })), "{wrong:?}");
    }
    for wrong in ["a[5m]", "\"text\""] {
        let expr = parse(wrong).expect("an expression");
        let found =
            evaluate_range(&expr, range(0, 1), &store, &Options::default(), &mut Annotations::default(), &|| false);
        assert!(matches!(found, Err(EvalError::Parameter { .. })), "{wrong}");
    }
}

/// Series sampled at even distances, as scrapes are, with what their holder knows of their falls.
struct Even(Vec<(Labels, Vec<Sample>, Marks)>);

impl Even {
    fn drawn(random: &mut Random) -> Even {
        let mut all = Vec::new();
        for i in 0..2 + random.below(12) {
            let (le, part) = (*random.pick(&["0.1", "1", "+Inf", "x", ""]), i.to_string());
            let labels = Labels::new([("__name__", "m"), ("le", le), ("i", &part[..1]), ("part", &part)]);
            let (scale, falls) = (*random.pick(&[0.0, 1.0, 0.1, 1e-310, 1e300]), random.below(3) == 0);
            let (begin, step, mut total) = (random.below(60_000) as i64, *random.pick(&[15_000, 60_000]), 0.0);
            let mut samples = Vec::new();
            for n in 0..200 {
                let at = Millis(begin + n * step + i64::from(random.below(40) == 0));
                total = if falls && random.below(30) == 0 { -0.0 } else { total + random.below(5) as f64 * scale };
                match random.below(60) {
                    0 => samples.push(Sample::stale(at)),
                    1 => {}
                    2 => samples.push(Sample::new(at, *random.pick(&[f64::NAN, f64::INFINITY, -7.0]))),
                    _ => samples.push(Sample::new(at, total)),
                }
            }
            let marks = Marks::of_past(&samples);
            all.push((labels, samples, marks));
        }
        Even(all)
    }
}

impl Source for Even {
    fn select(&self, _: usize, _: &Selector, visit: &mut dyn FnMut(SeriesView<'_>)) {
        for (id, (labels, samples, marks)) in (0..).zip(&self.0) {
            visit(SeriesView { id, labels, samples, histograms: &[], starts: None, marks: Some(marks) });
        }
    }
}

#[test]
fn what_rules_ask_of_scrapes_is_the_same_at_many_instants_to_the_bit() {
    let functions =
        ["rate", "increase", "delta", "avg_over_time", "sum_over_time", "max_over_time", "min_over_time", "deriv"];
    let mut count = 0;
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let source = Even::drawn(&mut random);
        let of = match random.below(3) {
            0 => "m".into(),
            1 => format!("{}(m[{}])", random.pick(&functions), random.pick(&["1m", "5m", "1h"])),
            _ => format!("predict_linear(m[{}], 300)", random.pick(&["2m", "30m"])),
        };
        let by = *random.pick(&["", " by (i)", " by (i, le)", " by (le)"]);
        let aggregate = *random.pick(&["sum", "avg", "count", "min", "max", "group", "stddev"]);
        let text = match random.below(6) {
            0 => format!("{of} > {}", random.below(20)),
            1 => format!("-{of} * 2 >= bool 1"),
            2 => format!("{aggregate}{by} ({of}) > 0.5"),
            3 => format!("histogram_quantile({}, sum{by} ({of}))", random.pick(&["0.9", "0", "time() / 1e4", "2"])),
            4 => format!("absent({of} > {})", random.below(20)),
            _ => of,
        };
        let expr = parse(&text).expect("it is an expression");
        let step = *random.pick(&[15_000, 60_000, 61_000]);
        let instants: Vec<Millis> = (1..60).map(|n| Millis(random.below(1_000) as i64 / 999 + n * step)).collect();
        let columns = match evaluate_columns(&expr, &instants, &source, &Options::default(), &|| false) {
            Ok(columns) => columns,
            Err(error) => {
                let fails = |at: &Millis| evaluate(&expr, *at, &source, &Options::default()).is_err();
                assert!(instants.iter().any(fails), "seed {seed}: {text}: {error}");
                continue;
            }
        };
        for (place, at) in instants.iter().enumerate() {
            let Ok(Value::Vector(expected)) = evaluate(&expr, *at, &source, &Options::default()) else {
                panic!("seed {seed}: {text} at {at}")
            };
            let bits = |labels: &Labels, value: Number| (labels.clone(), value.float().map(f64::to_bits));
            let expected: Vec<_> = expected.into_iter().map(|it| bits(&it.labels, it.value)).collect();
            let found = columns.iter().filter_map(|it| Some(bits(it.labels(), it.at(place)?)));
            assert_eq!(found.collect::<Vec<_>>(), expected, "seed {seed}: {text} at {at}");
            count += expected.len();
        }
    }
    assert!(count > 20_000, "{count}");
}
