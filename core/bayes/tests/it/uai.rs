//! UAI files: what is read, and every refusal with its place.
use faultline_bayes::uai::{self, Model};
use faultline_bayes::{Evidence, InferenceError, VarId};

/// The example of the format's page.
const MARKOV: &str = "MARKOV\n3\n2 2 3\n2\n2 0 1\n2 1 2\n\n4\n 4.000 2.400\n 1.000 0.000\n\n6\n 2.2500 3.2500 3.7500\n 0.0000 0.0000 10.0000\n";
const BAYES: &str = "BAYES\n3\n2 2 3\n3\n1 0\n2 0 1\n2 1 2\n\n2\n 0.436 0.564\n\n4\n 0.128 0.872\n 0.920 0.080\n\n6\n 0.210 0.333 0.457\n 0.811 0.000 0.189\n";

#[test]
fn markov_is_read() {
    let Ok(Model::Markov(graph)) = uai::parse(MARKOV) else { panic!("a Markov network") };
    let tree = graph.compile(1 << 10).expect("small");
    let found = tree.propagate(&Evidence::new()).expect("possible");
    // By hand: the sum over the middle variable of (sum over the first) * (sum over the last).
    let total = 5.0 * 9.25 + 2.4 * 10.0;
    assert!((found.log_evidence() - libm::log(total)).abs() < 1e-12);
    let last = found.marginal(VarId::new(2)).expect("asked for");
    for (found, expected) in last.iter().zip([5.0 * 2.25, 5.0 * 3.25, 5.0 * 3.75 + 24.0]) {
        assert!((found - expected / total).abs() < 1e-12);
    }
    // Evidence, at once and built in; and evidence that contradicts what was built in.
    let evidence = uai::parse_evidence("2 2 1 0 0").expect("evidence");
    let given = graph.compile_given(&evidence, 1 << 10).expect("small");
    let (at_once, built_in) = (tree.propagate(&evidence), given.propagate(&Evidence::new()));
    let (at_once, built_in) = (at_once.expect("possible"), built_in.expect("possible"));
    for v in graph.variables() {
        let (a, b) = (at_once.marginal(v).expect("asked for"), built_in.marginal(v).expect("asked for"));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12));
    }
    assert!((at_once.log_evidence() - libm::log(4.0 * 3.25)).abs() < 1e-12);
    assert!((built_in.log_evidence() - at_once.log_evidence()).abs() < 1e-12);
    let mut against = Evidence::new();
    against.observe(VarId::new(0), 1);
    assert_eq!(given.propagate(&against), Err(InferenceError::Impossible));
    let mut weighed = Evidence::new();
    weighed.likelihood(VarId::new(0), &[0.5, 0.1]);
    let weighed = given.propagate(&weighed).expect("possible");
    assert!((weighed.log_evidence() - at_once.log_evidence() - libm::log(0.5)).abs() < 1e-12);
}

#[test]
fn bayes_is_read() {
    let Ok(Model::Bayes(network)) = uai::parse(BAYES) else { panic!("a Bayesian network") };
    assert_eq!(network.parents(VarId::new(2)), [VarId::new(1)]);
    assert_eq!(network.table(VarId::new(1)), [0.128, 0.872, 0.92, 0.08]);
}

/// Cut after any word, a file is refused as cut short, at its end.
#[test]
fn cut_short() {
    for text in [MARKOV, BAYES] {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        for kept in 0..words.len() {
            let error = uai::parse(&words[..kept].join(" ")).expect_err("cut short").to_string();
            assert!(error.starts_with(&format!("line 1, word {}: the text ends where", kept + 1)), "{error}");
        }
    }
}

#[test]
fn refusals() {
    let check = |text: &str, expected: &str| {
        let error = uai::parse(text).map(drop).expect_err(expected);
        let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        assert_eq!(format!("{error}{source}"), expected);
    };
    check("NOISE 1", "line 1, word 1: found \"NOISE\", expected MARKOV or BAYES");
    check("MARKOV\n\n-1", "line 3, word 2: found \"-1\", expected a number of variables");
    check("MARKOV\n1\n0", "line 3, word 3: variable \"#0\" has no states");
    check("MARKOV\n9999999", "line 2, word 2: variables: 9999999 is over the bound of 1048576");
    check("MARKOV 1 2 1 1 1", "line 1, word 6: found \"1\", expected a variable below their number");
    check("MARKOV 2 2 2 1 2 0 0", "line 1, word 8: found \"0\", expected a variable that the factor does not have yet");
    check("MARKOV 1 2 1 1 0 3", "line 1, word 7: the table of factor 0 has 3 entries, expected 2");
    check("MARKOV 1 2 1 1 0 2 1 -1", "line 1, word 9: found \"-1\", expected a finite number that is not negative");
    check("MARKOV 1 2 1 1 0 2 NaN 1", "line 1, word 8: found \"NaN\", expected a finite number that is not negative");
    check("MARKOV 1 2 1 1 0 2 1 1\n7", "line 2, word 10: found \"7\", expected the end of the text");
    check("BAYES 1 2 1 0", "line 1, word 5: found \"0\", expected a child");
    check(
        "BAYES 1 2 1 1 0 2 0.5 0.6",
        "line 1, word 7: table of \"0\", row 0 (): sums to 1.1, expected 1 within 0.000001",
    );
    check("BAYES 1 2 0", "line 1, word 4: variable \"0\" has no table");
    check(
        "BAYES 2 2 2 2 2 1 0 2 0 1 4 .5 .5 .5 .5 4 .5 .5 .5 .5",
        "line 1, word 21: the arcs form a cycle through [\"0\", \"1\"]",
    );
    let wide = format!("MARKOV 30 {} 1 30 {} 4", "2 ".repeat(30), (0..30).map(|v| format!("{v} ")).collect::<String>());
    check(&wide, "line 1, word 65: entries of one table: 1073741824 is over the bound of 16777216");
    for (text, expected) in [
        ("", "line 1, word 1: the text ends where a number of observations should follow"),
        ("2 0 1", "line 1, word 4: the text ends where a variable should follow"),
        ("1 0 x", "line 1, word 3: found \"x\", expected a state"),
        ("2 0 1\n0 0", "line 2, word 4: found \"0\", expected a variable that is not observed yet"),
        ("0 0", "line 1, word 2: found \"0\", expected the end of the text"),
    ] {
        assert_eq!(uai::parse_evidence(text).expect_err(expected).to_string(), expected);
    }
}
