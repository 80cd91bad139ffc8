//! Series of spans and logs against tables computed by hand from the connectors' definitions.
use crate::traces::World;
use faultline_model::Millis;

fn check(lines: &str, end: i64, expected: &[(&str, f64)], absent: &[&str]) {
    // A second later every service has had its turn.
    let series = World::run(lines, end + 1000).series();
    for (name, value) in expected {
        let found = series.get(*name).copied();
        assert_eq!(found.map(f64::to_bits), Some(value.to_bits()), "{name}: {found:?}, not {value}\n{series:#?}");
    }
    for part in absent {
        assert!(!series.keys().any(|name| name.contains(part)), "{part} is there\n{series:#?}");
    }
}

/// Bounds are inclusive (`le`), names and default buckets those of the spanmetrics connector.
#[test]
fn span_metrics_are_those_of_the_connector() {
    check(
        "@0.1 web server 1:1<0 0+2 name=/pay
         @0.2 web server 2:1<0 0+2.5 name=/pay
         @0.3 web server 3:1<0 0+60 name=/pay
         @0.4 web server 4:1<0 0+20000 name=/pay !
         @0.5 web client 5:1<0 0+1 name=GET
         @1.5 web server 6:1<0 100+0 name=/pay",
        2000,
        &[
            (
                r#"traces_span_metrics_calls_total{service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_UNSET"}"#,
                4.0,
            ),
            (
                r#"traces_span_metrics_calls_total{service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_ERROR"}"#,
                1.0,
            ),
            (
                r#"traces_span_metrics_calls_total{service_name="web", span_kind="SPAN_KIND_CLIENT", span_name="GET", status_code="STATUS_CODE_UNSET"}"#,
                1.0,
            ),
            (
                r#"traces_span_metrics_duration_milliseconds_count{service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_UNSET"}"#,
                4.0,
            ),
            (
                r#"traces_span_metrics_duration_milliseconds_sum{service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_UNSET"}"#,
                64.5,
            ),
            (
                r#"traces_span_metrics_duration_milliseconds_bucket{le="2", service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_UNSET"}"#,
                2.0,
            ),
            (
                r#"traces_span_metrics_duration_milliseconds_bucket{le="4", service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_UNSET"}"#,
                3.0,
            ),
            (
                r#"traces_span_metrics_duration_milliseconds_bucket{le="50", service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_UNSET"}"#,
                3.0,
            ),
            (
                r#"traces_span_metrics_duration_milliseconds_bucket{le="100", service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_UNSET"}"#,
                4.0,
            ),
            (
                r#"traces_span_metrics_duration_milliseconds_bucket{le="15000", service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_ERROR"}"#,
                0.0,
            ),
            (
                r#"traces_span_metrics_duration_milliseconds_bucket{le="+Inf", service_name="web", span_kind="SPAN_KIND_SERVER", span_name="/pay", status_code="STATUS_CODE_ERROR"}"#,
                1.0,
            ),
        ],
        &["traces_service_graph"],
    );
}

/// A failure on either side fails the request; both durations are in seconds.
#[test]
fn service_graph_series_are_those_of_the_connector() {
    check(
        "@0.1 web client 1:2<1 0+50
         @0.1 shop server 1:3<2 7+40
         @0.2 shop server 2:3<2 0+300 !
         @0.3 web client 2:2<1 0+310
         @0.4 web producer 3:2<1 0+1
         @0.4 mail consumer 3:3<2 900+30",
        1000,
        &[
            (r#"traces_service_graph_request_total{client="web", server="shop"}"#, 2.0),
            (r#"traces_service_graph_request_failed_total{client="web", server="shop"}"#, 1.0),
            (r#"traces_service_graph_request_client_seconds_sum{client="web", server="shop"}"#, 0.36),
            (r#"traces_service_graph_request_client_seconds_bucket{client="web", le="0.05", server="shop"}"#, 1.0),
            (r#"traces_service_graph_request_server_seconds_sum{client="web", server="shop"}"#, 0.34),
            (r#"traces_service_graph_request_server_seconds_count{client="web", server="shop"}"#, 2.0),
            (
                r#"traces_service_graph_request_total{client="web", connection_type="messaging_system", server="mail"}"#,
                1.0,
            ),
            (
                r#"traces_service_graph_request_failed_total{client="web", connection_type="messaging_system", server="mail"}"#,
                0.0,
            ),
        ],
        &["virtual_node"],
    );
}

/// A peer that never answers is one after the wait, and at once from then on.
#[test]
fn peers_are_virtual_nodes() {
    let first = "@0.1 web client 1:2<1 0+5 peer=db name=SELECT";
    let both = format!("{first}\n@40.2 web client 2:2<1 0+7 peer=db name=SELECT !");
    let total = r#"traces_service_graph_request_total{client="web", connection_type="virtual_node", server="db"}"#;
    let failed =
        r#"traces_service_graph_request_failed_total{client="web", connection_type="virtual_node", server="db"}"#;
    check(first, 30_000, &[], &["traces_service_graph"]);
    check(first, 31_000, &[(total, 1.0), (failed, 0.0)], &["server_seconds"]);
    check(&both, 41_000, &[(total, 2.0), (failed, 1.0)], &["server_seconds"]);
}

/// A failed call does not wait for the answer of a server that may be gone, where it is certain which one that is; an
/// answer that does come adds its own time and counts nothing twice.
#[test]
fn a_failed_call_counts_at_once() {
    let calls = "@0.1 web client 1:2<1 0+50 peer=shop.local
         @0.2 shop server 1:3<2 7+40
         @1.1 web client 2:2<1 0+1 peer=shop.local !
         @1.2 web client 3:2<1 0+10 peer=shop.local";
    let series = |name: &str| format!(r#"traces_service_graph_request_{name}{{client="web", server="shop"}}"#);
    let (total, failed) = (series("total"), series("failed_total"));
    let (client, server) = (series("client_seconds_count"), series("server_seconds_count"));
    check(calls, 2000, &[(&total, 2.0), (&failed, 1.0), (&client, 2.0), (&server, 1.0)], &["virtual_node"]);
    let answered = format!("{calls}\n@6.1 shop server 2:4<2 0+1 !\n@6.2 shop server 3:4<2 0+1");
    for end in [7_000, 50_000] {
        check(&answered, end, &[(&total, 3.0), (&failed, 1.0), (&client, 3.0), (&server, 3.0)], &["virtual_node"]);
    }
}

#[test]
fn log_records_are_counted_by_severity() {
    check(
        "@0.1 web log 9\n @0.1 web log 17\n @0.1 web log 20\n @0.2 web log 0\n @1.1 web log 21",
        2000,
        &[
            (r#"faultline_log_records_total{service_name="web", severity="INFO"}"#, 1.0),
            (r#"faultline_log_records_total{service_name="web", severity="ERROR"}"#, 2.0),
            (r#"faultline_log_records_total{service_name="web", severity="FATAL"}"#, 1.0),
            (r#"faultline_log_records_total{service_name="web", severity="UNSPECIFIED"}"#, 1.0),
        ],
        &["WARN"],
    );
}

/// A new series starts at zero, one second before; only what changed is sent; what did not, every 30 s.
#[test]
fn series_start_at_zero_and_do_not_go_stale() {
    let world = World::run("@0.5 web server 1:1<0 0+3 name=a\n @5.5 web server 2:1<0 0+300 name=a", 100_000);
    let count = |from: i64, to: i64| {
        let within = |at: Millis| at > Millis(from) && at <= Millis(to);
        world.closed.samples.iter().filter(|derived| within(derived.sample.time())).count()
    };
    let zeros = world.closed.samples.iter().filter(|d| d.labels.is_some()).collect::<Vec<_>>();
    assert_eq!((zeros.len(), zeros.iter().all(|d| d.sample.value() == 0.0)), (20, true));
    assert!(zeros.iter().all(|d| d.sample.time() == Millis(20)), "the first service has the first turn");
    // At 6.02 s: the counter, sum, count and the buckets from 400 ms on.
    assert_eq!((count(20, 1020), count(1020, 6000), count(6000, 6020)), (20, 0, 3 + 9));
    let (mut last, mut most) = (Millis(6020), 0);
    for derived in world.closed.samples.iter().filter(|d| d.sample.time() > Millis(6020)) {
        most = most.max(derived.sample.time().since(last));
        last = derived.sample.time();
    }
    assert!(most <= 30_000 && last > Millis(70_000), "{most} ms between two samples, the last at {last}");
}
