//! The parser against `promql-parser`, and against its own printer.
use crate::corpus;
use faultline_promql::{Expr, Features, PARTS_MAX, ParseError, Type, parse, parse_with};
use faultline_promqltest::random::Random;
use promql_parser::parser as oracle;

/// Where we differ from the oracle, and why.
const DIFFERENT: &[&str] = &[
    // The oracle differs from Prometheus 3.
    "anchored",
    "a / -0s > -0m - -1",
    "foo[0]",
    "left_vector + fill(NaN) right_vector",
    // Texts are UTF-8 here, so these are refused when they are read and not when they are used.
    r#"count_values("a\xc5z", version)"#,
    r#"label_replace(testmetric, "\xff", "", "src", "(.*)")"#,
];

/// Whether our canonical form spells something differently that the oracle's tree keeps apart: the metric's name within
/// or outside braces, and the empty grouping.
fn respelled(text: &str) -> bool {
    let dense = text.replace(' ', "");
    ["__name__=\"", "{\"", "by()", "ignoring()", "\",\""].iter().any(|spelling| dense.contains(spelling))
}

/// Parts of the language that the oracle does not know yet: it is asked nothing that has them.
const UNKNOWN_TO_THE_ORACLE: &[&str] = &["</", ">/", "histogram_quantiles"];

/// Checks one expression against the oracle; says what differs.
fn compare(text: &str, features: Features) -> Option<String> {
    if UNKNOWN_TO_THE_ORACLE.iter().any(|part| text.contains(part)) {
        return None;
    }
    let theirs = oracle::parse(text);
    let parse = |text: &str| parse_with(text, features);
    match (parse(text), &theirs) {
        // The oracle does not know the newest parts of the language.
        (Ok(_), Err(_)) if features != Features::NONE => None,
        (Err(ParseError::Syntax { message, .. }), Ok(_)) => Some(format!("refused by us only ({message})")),
        (Ok(_), Err(error)) => Some(format!("refused by the oracle only ({error})")),
        (Ok(expr), Ok(theirs)) => {
            let printed = expr.to_string();
            match (parse(&printed), oracle::parse(&printed)) {
                (Ok(again), _) if again != expr => Some(format!("prints as {printed}, which is another expression")),
                (Ok(_), Ok(again)) if again != *theirs && !respelled(text) => {
                    Some(format!("prints as {printed}, another one to the oracle"))
                }
                (Err(error), _) => Some(format!("prints as {printed}, which does not parse: {error}")),
                (_, Err(error)) => Some(format!("prints as {printed}, refused by the oracle: {error}")),
                _ => None,
            }
        }
        _ => None,
    }
}

fn check_all(what: &str, expressions: &[String], features: Features) {
    let differing: Vec<String> = expressions
        .iter()
        .filter(|text| !DIFFERENT.contains(&text.as_str()))
        .filter_map(|text| compare(text, features).map(|difference| format!("{text}\n    {difference}")))
        .collect();
    assert!(differing.is_empty(), "{what}: {} differ\n{}", differing.len(), differing.join("\n"));
    eprintln!("{what}: {} expressions agree with the oracle", expressions.len());
}

#[test]
fn own_expressions_agree_with_the_oracle() {
    let lines: Vec<&str> = corpus::OWN.lines().filter(|l| !l.is_empty() && !l.starts_with("//")).collect();
    assert!(lines.len() >= 200, "only {} lines", lines.len());
    for line in &lines {
        let (text, good) = line.strip_prefix('!').map_or((*line, true), |text| (text, false));
        let accepted = !matches!(parse(text), Err(ParseError::Syntax { .. }));
        assert_eq!(accepted, good, "{text}: {:?}", parse(text).err());
    }
    let texts: Vec<String> = lines.iter().map(|line| line.trim_start_matches('!').to_string()).collect();
    check_all("our own list", &texts, Features::NONE);
}

#[test]
fn alert_rules_agree_with_the_oracle() {
    let Some(folder) = corpus::shared("alert-rules") else { return };
    let mut expressions = Vec::new();
    for file in corpus::files(&folder, "yml") {
        expressions.extend(corpus::rule_expressions(&std::fs::read_to_string(file).expect("a readable file")));
    }
    let unsupported: Vec<_> = expressions.iter().filter_map(|text| Some((text, parse(text).err()?))).collect();
    assert!(unsupported.is_empty(), "{unsupported:#?}");
    check_all("alert rules", &expressions, Features::NONE);
}

#[test]
fn conformance_queries_agree_with_the_oracle() {
    let Some(folder) = corpus::shared("promqltest") else { return };
    let mut queries = Vec::new();
    for file in corpus::files(&folder, "test") {
        let text = std::fs::read_to_string(file).expect("a readable file");
        queries.extend(text.lines().filter_map(|line| {
            let rest = line.strip_prefix("eval")?.split_once(' ')?.1.trim_start();
            let skip = if rest.starts_with("instant") { 3 } else { 7 };
            Some(rest.splitn(skip + 1, ' ').nth(skip)?.trim().to_string())
        }));
    }
    check_all("conformance scripts", &queries, Features::additions());
}

#[test]
fn errors_read_as_in_prometheus() {
    for (text, expected) in [
        ("", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("\n foo{a=}", "2:8: parse error: unexpected \"}\" in label matching, expected string"),
        ("foo{a", "1:6: parse error: unexpected end of input inside braces"),
        (
            "foo{a b",
            "1:7: parse error: unexpected identifier \"b\" in label matching, expected label matching operator",
        ),
        ("sum by a (x)", "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\""),
        ("sum by (1) (x)", "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"),
        ("foo[5m", "1:7: parse error: unclosed left bracket"),
        (
            "foo[]",
            "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
        ),
        ("*1", "1:1: parse error: unexpected <op:*>"),
        ("nosuch(1)", "1:1: parse error: unknown function with name \"nosuch\""),
        ("rate(foo)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
        ("foo[5m] + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types"),
        ("1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("foo offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
    ] {
        assert_eq!(parse(text).map(|e| e.to_string()).map_err(|e| e.to_string()), Err(expected.into()), "{text}");
    }
    assert_eq!(parse("a +\n  foo[5m]").expect_err("a range").at(), 6..13);
}

#[test]
fn selectors_are_numbered_in_reading_order() {
    let expr = parse(r#"sum(a{x="1"}) / on(l) rate(b[5m] offset 1m) > bool scalar({"c.d", y!~"z"}[2h:] and d)"#);
    assert!(expr.is_err(), "a range under a set operator");
    let expr =
        parse(r#"sum(a{x="1"}) / on(l) rate(b[5m] offset 1m) + max_over_time(c[2h:] @ 100) + delta(d[1m])[1h:1m] "#);
    assert!(expr.is_err(), "a bare subquery in a sum");
    let expr = parse(
        r#"a{x="1"} / on(l) rate(b[5m] offset 1m) + max_over_time({"c.d"}[2h:] offset 1h) + max_over_time(d[1h:] @ 9)"#,
    )
    .expect("a valid expression");
    assert_eq!(expr.result_type(), Type::Vector);
    let names: Vec<_> = expr.selectors().iter().map(|s| s.metric().unwrap_or_default()).collect();
    assert_eq!(names, ["a", "b", "c.d", "d"]);
    let history: Vec<_> = expr.selectors().iter().map(|s| s.history_ms()).collect();
    assert_eq!(history, [Some(0), Some(360_000), Some(10_800_000), None]);
}

#[test]
fn hostile_texts_are_refused_quickly() {
    let deep = |open: &str, close: &str, count: usize| format!("{}x{}", open.repeat(count), close.repeat(count));
    for text in [
        deep("(", ")", 100_000),
        deep("abs(", ")", 50_000),
        deep("-", "", 200_000),
        "a".to_string() + &"+a".repeat(100_000),
        "a".to_string() + &"^a".repeat(100_000),
        "a".to_string() + &"[1m:]".repeat(40_000),
        "x".repeat(300_000),
        "a{".repeat(100_000),
        r#"x{a=~"(a{1000}){1000}"}"#.into(),
    ] {
        assert!(matches!(parse(&text), Err(ParseError::Syntax { .. })), "{}...", &text[..20]);
    }
    assert!(parse(&deep("(", ")", 200)).is_ok());
}

/// Anything may be thrown at the parser: pieces of expressions in random order, cut anywhere.
#[test]
fn nothing_makes_the_parser_panic() {
    let words: Vec<&str> = corpus::OWN.split_inclusive(|c: char| !c.is_alphanumeric()).collect();
    let mut random = Random::new(1);
    let mut accepted = 0;
    for _ in 0..50_000 {
        let text: String = (0..random.below(12)).map(|_| *random.pick(&words)).collect();
        if let Ok(expr) = parse(&text) {
            accepted += 1;
            assert_eq!(parse(&expr.to_string()).as_ref(), Ok::<&Expr, &ParseError>(&expr), "{text}");
        }
    }
    assert!(accepted > 500, "only {accepted} of the texts were expressions");
}

#[test]
fn parts_are_told_from_the_whole_to_what_is_read() {
    let check = |text: &str, expected: &[(usize, &str)]| {
        let parts = parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).parts();
        let found: Vec<(usize, String)> = parts.iter().map(|part| (part.depth, part.expr.to_string())).collect();
        let found: Vec<(usize, &str)> = found.iter().map(|(depth, text)| (*depth, &**text)).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("1 + 1", &[(0, "1 + 1")]);
    check("(a) > 5", &[(0, "(a) > 5"), (1, "a")]);
    check(
        "sum(rate(a[5m])) / on (x) -b",
        &[
            (0, "sum(rate(a[5m])) / on (x) -b"),
            (1, "sum(rate(a[5m]))"),
            (2, "rate(a[5m])"),
            (3, "a[5m]"),
            (1, "-b"),
            (2, "b"),
        ],
    );
    check("max_over_time(a[1h:1m])", &[(0, "max_over_time(a[1h:1m])"), (1, "a[1h:1m]"), (2, "a")]);
    check("topk(scalar(n), a)", &[(0, "topk(scalar(n), a)"), (1, "scalar(n)"), (2, "n"), (1, "a")]);
    assert_eq!(parse(&["a"; 300].join(" + ").replace("a + a", "(a + a)")).map(|it| it.parts().len()), Ok(PARTS_MAX));
}
