//! The built-in rules: they fire within seconds on what they are for, and never on a usual day or a quiet service.
use crate::store::Store;
use faultline_model::facts::{AlertState, Transition};
use faultline_model::float::ln;
use faultline_model::{Labels, Millis, Position, RuleFile, RuleFiles, Sample, TenantId};
use faultline_rules::{BUILTIN, Rules, parse};

/// A service and what it does in each second.
struct Service {
    name: &'static str,
    per_second: f64,
    latency_ms: f64,
    failing: f64,
    calls: [f64; 2],
    sum_ms: f64,
    /// Whether it sends telemetry of its own, beside what its callers tell of it.
    tells: bool,
}

/// An estate of a few services, as `observe` would turn its spans into series.
struct Estate {
    rules: Rules,
    store: Store,
    services: Vec<Service>,
    now: Millis,
    dice: u64,
    told: Vec<Transition>,
}

fn service(name: &'static str, per_second: f64, latency_ms: f64) -> Service {
    Service { name, per_second, latency_ms, failing: 0.005, calls: [0.0; 2], sum_ms: 0.0, tells: true }
}

impl Estate {
    fn new(seed: u64) -> Estate {
        let files = RuleFiles {
            files: vec![RuleFile { name: "builtin.yml".into(), text: BUILTIN.into() }],
            ..RuleFiles::default()
        };
        let (mut rules, mut store, mut told) = (Rules::new(TenantId(0)), Store::default(), Vec::new());
        let now = Millis(1_700_000_000_000);
        rules.load(&files, now, Position::default(), &mut store, &mut told).expect("the built-in rules are in order");
        store.serve(&rules);
        let services = vec![
            service("busy", 13.0, 40.0),
            service("small", 2.0, 25.0),
            service("quiet", 0.05, 10.0),
            service("other", 8.0, 5.0),
            // Five errors in ten seconds are chance here, an hour without them is not.
            Service { failing: 0.04, ..service("flaky", 2.5, 30.0) },
            Service { tells: false, ..service("vendor", 5.0, 50.0) },
        ];
        Estate { rules, store, services, now, dice: seed, told }
    }

    fn unit(&mut self) -> f64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn find(&mut self, name: &str) -> &mut Service {
        self.services.iter_mut().find(|s| s.name == name).expect("a service of the estate")
    }

    /// One second of requests: gaps and latencies are drawn; a series is sent when it changes, or twice a minute.
    fn second(&mut self) {
        self.now = self.now.plus(1000);
        let resend = self.now.0 / 1000 % 30 == 0;
        for i in 0..self.services.len() {
            let (per_second, latency, failing) =
                (self.services[i].per_second, self.services[i].latency_ms, self.services[i].failing);
            let mut changed = [resend; 2];
            let mut at = -ln(1.0 - self.unit()) / per_second;
            while at < 1.0 {
                let failed = usize::from(self.unit() < failing);
                let took = latency * (0.5 + self.unit() + if self.unit() < 0.02 { 5.0 } else { 0.0 });
                let service = &mut self.services[i];
                service.calls[failed] += 1.0;
                service.sum_ms += took;
                changed[failed] = true;
                at += -ln(1.0 - self.unit()) / per_second;
            }
            self.send(i, changed);
        }
        while let Some(due) = self.rules.due().filter(|due| *due <= self.now) {
            let cause = Position { partition: 0, offset: due.0 as u64 };
            self.rules.advance(due, cause, &mut self.store, &mut self.told);
        }
    }

    fn send(&mut self, i: usize, changed: [bool; 2]) {
        let service = &self.services[i];
        let labels = |name: &str, status: &str| {
            let kind = ("span_kind", "SPAN_KIND_SERVER");
            Labels::new([
                ("__name__", name),
                ("service_name", service.name),
                ("span_name", "serve"),
                kind,
                ("status_code", status),
            ])
        };
        let calls = |name: &str| Labels::new([("__name__", name), ("client", "web"), ("server", service.name)]);
        let (all, failed) = (service.calls[0] + service.calls[1], service.calls[1]);
        for (name, value) in [
            ("traces_service_graph_request_total", all),
            ("traces_service_graph_request_failed_total", failed),
            ("traces_service_graph_request_client_seconds_sum", service.sum_ms / 1000.0),
            ("traces_service_graph_request_client_seconds_count", all),
        ] {
            if changed.contains(&true) {
                self.store.push(&calls(name), Sample::new(self.now, value));
            }
        }
        if !service.tells {
            return;
        }
        let statuses = ["STATUS_CODE_UNSET", "STATUS_CODE_ERROR"];
        for (failed, status) in statuses.into_iter().enumerate().filter(|(failed, _)| changed[*failed]) {
            self.store
                .push(&labels("traces_span_metrics_calls_total", status), Sample::new(self.now, service.calls[failed]));
        }
        if changed.contains(&true) {
            let (sum, count) = (service.sum_ms, service.calls[0] + service.calls[1]);
            self.store.push(
                &labels("traces_span_metrics_duration_milliseconds_sum", statuses[0]),
                Sample::new(self.now, sum),
            );
            self.store.push(
                &labels("traces_span_metrics_duration_milliseconds_count", statuses[0]),
                Sample::new(self.now, count),
            );
        }
    }

    fn seconds(&mut self, count: u32) {
        (0..count).for_each(|_| self.second());
    }

    /// Seconds from `onset` until the first alert of that name fires for that service.
    fn fired(&self, onset: Millis, name: &str, service: &str) -> Option<i64> {
        let first = self
            .told
            .iter()
            .find(|t| t.name == name && t.labels.get("service") == service && t.to == AlertState::Firing);
        first.map(|t| t.at.since(onset) / 1000)
    }
}

#[test]
fn they_are_an_ordinary_rule_file() {
    let files = RuleFiles {
        files: vec![RuleFile { name: "builtin.yml".into(), text: BUILTIN.into() }],
        ..RuleFiles::default()
    };
    let set = parse(&files).expect("the built-in rules are in order");
    for rule in set.groups.iter().flat_map(|g| &g.rules) {
        let names: Vec<&str> = rule.labels.iter().map(|(name, _)| &**name).collect();
        assert!(
            rule.kind == faultline_rules::RuleKind::Record || names == ["service", "severity", "signal"],
            "{}",
            rule.name
        );
    }
    let rules = set.groups.iter().flat_map(|group| &group.rules);
    let waiting: Vec<&str> = rules.filter(|rule| rule.asks_absence).map(|rule| &*rule.name).collect();
    let expected = ["faultline:calls_seconds:mean30m", "ServiceTrafficLost"];
    assert_eq!(waiting, expected, "they alone wait for the senders after a start");
}

#[test]
fn a_usual_hour_raises_nothing_and_a_fault_is_seen_within_seconds() {
    for seed in [1, 2] {
        let mut usual = Estate::new(seed);
        usual.seconds(45 * 60);
        assert_eq!(usual.told, [], "seed {seed}");

        type Fault = fn(&mut Estate);
        let faults: [(Fault, &str, &str, i64); 6] = [
            (|e| e.find("small").failing = 0.9, "ServiceErrors", "small", 5),
            (|e| e.find("busy").failing = 0.4, "ServiceErrors", "busy", 3),
            (|e| e.find("busy").latency_ms *= 12.0, "ServiceSlow", "busy", 3),
            (|e| e.find("vendor").latency_ms *= 3.0, "CallsSlow", "vendor", 10),
            (|e| e.find("vendor").failing = 0.9, "CallsFailing", "vendor", 5),
            (|e| e.find("busy").per_second = 0.0, "ServiceTrafficLost", "busy", 16),
        ];
        for (i, (fault, name, service, within)) in faults.into_iter().enumerate() {
            // Each fault strikes the same usual day.
            let mut estate = Estate::new(seed);
            estate.seconds(33 * 60);
            let onset = estate.now;
            fault(&mut estate);
            estate.seconds(20);
            let fired = estate.fired(onset, name, service);
            assert!(
                fired.is_some_and(|s| s <= within),
                "seed {seed}, fault {i}: {name} of {service} after {fired:?} s"
            );
            assert!(estate.told.iter().all(|t| t.labels.get("service") == service), "{:?}", estate.told);
            let by_callers = estate.told.iter().any(|t| t.name == "CallsSlow");
            assert_eq!(by_callers, service == "vendor" && name == "CallsSlow", "who tells of itself is asked itself");
        }
    }
}

#[test]
fn silence_of_all_senders_is_no_lost_traffic() {
    let mut estate = Estate::new(3);
    estate.seconds(33 * 60);
    // Before it is known what is usual, chance may look like trouble.
    estate.told.clear();
    estate.services.iter_mut().for_each(|s| s.per_second = 0.0);
    estate.seconds(120);
    assert_eq!(estate.told, []);
}
