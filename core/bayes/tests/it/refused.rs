//! Every refusal, with the place it names.
use faultline_bayes::bif::{self, BifError};
use faultline_bayes::{Cause, Evidence, InferenceError, Network, NetworkError, Tree, VarId};

/// Two binary variables `a` and `b`, tables still missing.
fn pair() -> (faultline_bayes::NetworkBuilder, VarId, VarId) {
    let mut builder = Network::builder();
    let a = builder.variable_named("a", &["off", "on"]).unwrap();
    let b = builder.variable_named("b", &["low", "mid", "high"]).unwrap();
    (builder, a, b)
}

/// A network of another size has ids that `pair` does not know.
fn foreign_id() -> VarId {
    let mut builder = Network::builder();
    (0..8).map(|v| builder.variable(&v.to_string(), 2).unwrap()).last().unwrap()
}

#[test]
fn builder() {
    let check = |change: &dyn Fn(&mut faultline_bayes::NetworkBuilder, VarId, VarId) -> Result<(), NetworkError>,
                 message: &str| {
        let (mut builder, a, b) = pair();
        let error = change(&mut builder, a, b).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    check(&|n, _, _| n.variable("a", 2).map(drop), "variable \"a\" is declared twice");
    check(&|n, _, _| n.variable("c", 0).map(drop), "variable \"c\" has no states");
    check(&|n, _, _| n.variable("c", 1 << 17).map(drop), "states of one variable: 131072 is over the bound of 65536");
    check(&|n, _, _| n.variable_named("c", &["x", "y", "x"]).map(drop), "variable \"c\" has state \"x\" twice");
    check(&|n, _, _| n.var("c").map(drop), "no variable \"c\"");
    check(&|n, a, _| n.cpt(a, &[foreign_id()], &[]), "no variable \"#7\"");
    check(&|n, a, b| n.cpt(a, &[b, b], &[]), "variable \"a\" has parent \"b\" twice or is its own parent");
    check(&|n, a, _| n.cpt(a, &[a], &[]), "variable \"a\" has parent \"a\" twice or is its own parent");
    check(&|n, a, b| n.cpt(a, &[b], &[0.5; 5]), "table of \"a\" has 5 entries, expected 6");
    check(
        &|n, a, b| n.cpt(a, &[b], &[0.5, 0.5, 0.5, 0.5, 0.5, 0.6]),
        "table of \"a\", row 2 (b=high): sums to 1.1, expected 1 within 0.000001",
    );
    check(&|n, a, _| n.cpt(a, &[], &[-0.5, 1.5]), "table of \"a\", row 0 (): -0.5 is no probability");
    check(
        &|n, a, b| n.cpt(a, &[b], &[0.5, 0.5, f64::NAN, 0.5, 0.5, 0.5]),
        "table of \"a\", row 1 (b=mid): NaN is no probability",
    );
    check(&|n, a, _| n.cpt(a, &[], &[f64::INFINITY, 0.0]), "table of \"a\", row 0 (): inf is no probability");
    check(
        &|n, a, _| n.cpt(a, &[], &[0.5, 0.5]).and_then(|()| n.cpt(a, &[], &[0.5, 0.5])),
        "variable \"a\" has two tables",
    );
    check(
        &|n, a, _| n.cpt(a, &[], &[0.5, 0.5]).and_then(|()| n.clone().build().map(drop)),
        "variable \"b\" has no table",
    );
    check(
        &|n, a, b| n.noisy_or(b, 0.1, &[Cause::binary(a, 0.5)]).map(drop),
        "noisy-OR variable \"b\" has 3 states, expected 2",
    );
    check(
        &|n, a, b| n.noisy_or(a, 0.1, &[Cause::binary(b, 0.5)]).map(drop),
        "table of \"a\" has 2 entries, expected 3",
    );
    check(
        &|n, a, b| {
            let cause = Cause { parent: b, strengths: vec![0.0, 0.5, 0.5] };
            n.noisy_or(a, 0.1, &[cause.clone(), cause]).map(drop)
        },
        "variable \"a\" has parent \"b\" twice or is its own parent",
    );
    check(&|n, a, _| n.noisy_or(a, 1.5, &[]).map(drop), "table of \"a\", row 0 (): -0.5 is no probability");
    let wide = |n: &mut faultline_bayes::NetworkBuilder, a: VarId, _: VarId| {
        let causes: Vec<Cause> =
            (0..30).map(|v| Cause::binary(n.variable(&format!("cause{v}"), 2).unwrap(), 0.5)).collect();
        n.noisy_or_full(a, 0.1, &causes)
    };
    check(&wide, "entries of one table: 2147483648 is over the bound of 16777216");
}

#[test]
fn cycles_are_named() {
    let mut builder = Network::builder();
    let ids: Vec<VarId> = ["w", "x", "y", "z"].iter().map(|name| builder.variable(name, 2).unwrap()).collect();
    let coin = [0.5, 0.5, 0.5, 0.5];
    builder.cpt(ids[0], &[ids[3]], &coin).unwrap();
    builder.cpt(ids[1], &[ids[3]], &coin).unwrap();
    builder.cpt(ids[2], &[ids[1]], &coin).unwrap();
    builder.cpt(ids[3], &[ids[2]], &coin).unwrap();
    let Err(NetworkError::Cyclic { mut cycle }) = builder.build() else { panic!("a cycle") };
    let first = cycle.iter().position(|name| name == "x").expect("x is on it");
    cycle.rotate_left(first);
    assert_eq!(cycle, ["x", "y", "z"], "in arc direction, without w that only hangs off it");
}

/// A row rounded in print is accepted and divided by its sum; the sum 1 leaves the numbers as they are.
#[test]
fn rounded_rows_are_normalised() {
    let (mut builder, a, b) = pair();
    builder.cpt(b, &[], &[0.333_333_3, 0.333_333_3, 0.333_333_3]).unwrap();
    builder.cpt(a, &[], &[0.3, 0.7]).unwrap();
    let network = builder.build().unwrap();
    assert!(network.table(b).iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-15));
    assert_eq!(network.table(a), [0.3, 0.7]);
}

#[test]
fn evidence() {
    let (mut builder, a, b) = pair();
    builder.cpt(a, &[], &[0.0, 1.0]).unwrap();
    builder.cpt(b, &[a], &[0.2, 0.3, 0.5, 0.5, 0.5, 0.0]).unwrap();
    let network = builder.build().unwrap();
    let tree = Tree::compile(&network, 100).unwrap();
    let check = |change: &dyn Fn(&mut Evidence), expected: InferenceError| {
        let mut evidence = Evidence::new();
        change(&mut evidence);
        assert_eq!(tree.propagate(&evidence), Err(expected.clone()));
        assert_eq!(tree.most_probable(&evidence), Err(expected.clone()));
        assert_eq!(network.log_probability(&evidence, 100), Err(expected.clone()));
        assert_eq!(network.marginals(&evidence, &[a, b], 100), Err(expected));
    };
    let variable = foreign_id();
    check(&|e| _ = e.observe(variable, 0), InferenceError::UnknownVariable { variable, count: 2 });
    check(&|e| _ = e.observe(b, 3), InferenceError::UnknownState { variable: b, state: 3, states: 3 });
    check(&|e| _ = e.likelihood(b, &[1.0, 1.0]), InferenceError::BadLikelihood { variable: b, found: 2, states: 3 });
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let expected = InferenceError::BadLikelihood { variable: b, found: 3, states: 3 };
        check(&|e| _ = e.likelihood(b, &[1.0, bad, 1.0]), expected);
    }
    check(&|e| _ = e.likelihood(b, &[0.0, 0.0, 0.0]), InferenceError::Impossible);
    let mut separated = Evidence::new();
    separated.observe(a, 0);
    assert_eq!(tree.propagate(&separated), Err(InferenceError::Impossible));
    assert_eq!(network.log_probability(&separated, 100), Err(InferenceError::Impossible));
    // Given a, nothing above it matters to b: as documented, a question that prunes does not look there.
    assert_eq!(network.marginals(&separated, &[b], 100), Ok(vec![vec![0.2, 0.3, 0.5]]));
    check(&|e| _ = e.observe(b, 2), InferenceError::Impossible);
    check(&|e| _ = e.observe(a, 1).likelihood(b, &[0.0, 0.0, 7.0]), InferenceError::Impossible);
    let unknown = InferenceError::UnknownVariable { variable, count: 2 };
    assert_eq!(tree.propagate_for(&Evidence::new(), &[variable]), Err(unknown.clone()));
    assert_eq!(network.marginals(&Evidence::new(), &[variable], 100), Err(unknown));
}

/// A 30 x 30 grid needs cliques of some 30 variables: refused by counting, long before 2^30 entries are allocated. What a
/// question does not need is not counted.
#[test]
fn trees_over_the_bound() {
    let side = 30;
    let mut builder = Network::builder();
    let ids: Vec<VarId> = (0..side * side).map(|v| builder.variable(&format!("{v}"), 2).unwrap()).collect();
    for v in 0..side * side {
        let mut parents = Vec::new();
        parents.extend((v % side > 0).then(|| ids[v - 1]));
        parents.extend((v >= side).then(|| ids[v - side]));
        let table: Vec<f64> =
            (0..1 << parents.len()).flat_map(|row| [0.1 + 0.2 * row as f64, 0.9 - 0.2 * row as f64]).collect();
        builder.cpt(ids[v], &parents, &table).unwrap();
    }
    let network = builder.build().unwrap();
    let bound = faultline_bayes::limits::TREE_ENTRIES_DEFAULT;
    let Err(InferenceError::TooLarge { entries, bound: stated }) = Tree::compile(&network, bound) else {
        panic!("over the bound")
    };
    assert!(entries > bound && stated == bound);
    let mut evidence = Evidence::new();
    evidence.observe(ids[1], 1).observe(ids[side], 0);
    let corner = network.marginals(&evidence, &ids[..1], 10).expect("the neighbours cut the corner off");
    // P(corner) * P(right = 1 | corner) * P(below = 0 | corner), normalised.
    let (off, on) = (0.1 * 0.9 * 0.1, 0.9 * 0.7 * 0.3);
    assert!((corner[0][0] - off / (off + on)).abs() < 1e-15);
}

const RAIN: &str = "network weather { property source test; }
variable rain { type discrete [ 2 ] { yes, no }; } // a comment
variable \"wet grass\" { type discrete [ 2 ] { \"<5\", 5-10 }; property x = 1; }
/* a longer
   comment */
probability ( \"wet grass\" | rain ) {
  (no) 1e-1, 0.9;
  default 0.75 0.25;
}
probability ( rain ) { table 0.2, 0.8; }
";

#[test]
fn bif_is_read() {
    let network = bif::parse(RAIN).unwrap();
    let wet = network.var("wet grass").unwrap();
    assert_eq!(network.states(wet), ["<5", "5-10"]);
    assert_eq!(network.parents(wet), [network.var("rain").unwrap()]);
    assert_eq!(network.table(wet), [0.75, 0.25, 0.1, 0.9]);
    assert_eq!(network.state(wet, "5-10"), Ok(1));
    assert!(network.state(wet, "6").is_err());
    assert!(bif::parse("").unwrap().is_empty());
}

/// Cut anywhere, the text is refused or says less; it never passes for the whole, and nothing panics.
#[test]
fn bif_cut_short() {
    let whole = bif::parse(RAIN).unwrap();
    for end in 0..RAIN.trim_end().len() {
        assert_ne!(bif::parse(&RAIN[..end]).as_ref(), Ok(&whole), "cut at {end}");
    }
    let error = bif::parse(&RAIN[..RAIN.len() - 4]).unwrap_err();
    assert_eq!(error, BifError::CutShort { line: 10, expected: "\";\"" });
}

#[test]
fn bif_refusals() {
    let check = |from: &str, to: &str, message: &str| {
        assert!(RAIN.contains(from), "{from}");
        let error = bif::parse(&RAIN.replacen(from, to, 1)).unwrap_err();
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        assert_eq!(format!("{error}{source}"), message);
    };
    check("[ 2 ] { yes", "[ 3 ] { yes", "line 2: variable \"rain\" declares 3 states and names 2");
    check("discrete", "continuous", "line 2: found \"continuous\", expected discrete");
    check("(no)", "(perhaps)", "line 7: variable \"rain\" has no state \"perhaps\"");
    check("| rain", "| snow", "line 6: no variable \"snow\"");
    check("(no) 1e-1", "(no) 1e-x", "line 7: found \"1e-x\", expected a number");
    check(
        "(no) 1e-1, 0.9",
        "(no) 1e-1, 0.8",
        "line 6: table of \"wet grass\", row 1 (rain=no): sums to 0.9, expected 1 within 0.000001",
    );
    check("default 0.75 0.25;", "", "line 9: table of \"wet grass\" lacks 1 of its 2 rows");
    check("default", "(no)", "line 8: table of \"wet grass\" has the row (no) twice");
    check("(no) 1e-1, 0.9", "(no) 0.9", "line 7: table of \"wet grass\" has 1 entries, expected 2");
    check("(no) 1e-1", "(no, no) 1e-1", "line 7: table of \"wet grass\" has 2 entries, expected 1");
    check(
        "(no) 1e-1, 0.9;",
        "table 0.1 0.9 0.9 0.1;",
        "line 7: table of \"wet grass\", which has parents, must be given row by row",
    );
    check(
        "probability ( rain )",
        "probability ( rain | \"wet grass\" )",
        "line 10: table of \"rain\", which has parents, must be given row by row",
    );
    check("table 0.2, 0.8", "table 0.2, inf", "line 10: table of \"rain\", row 0 (): inf is no probability");
    check("probability ( rain ) { table 0.2, 0.8; }", "", "line 11: variable \"rain\" has no table");
    check("*/", "", "line 4: the text ends where the end of the comment should follow");
    check("variable rain", "variable { rain", "line 2: found \"{\", expected a variable's name");
    check("network weather", "weather", "line 1: found \"weather\", expected network, variable or probability");
}
