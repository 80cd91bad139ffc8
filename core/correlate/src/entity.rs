//! What an alert is about: read from its labels, where they say.
use faultline_model::Labels;

/// Labels that name an entity, best first.
///
/// - `service`: our own rules, and Kubernetes services.
/// - `service_name`: OpenTelemetry's `service.name`, as the spanmetrics connector writes it.
/// - `server`: the callee in series of the servicegraph connector; its `client` suffers, the server is what is judged.
/// - `job`: Prometheus' own; of OpenTelemetry's `namespace/name` the name.
/// - `app`, `host`, `node`, `instance`: what is left where no service is known.
const NAMING: [&str; 8] = ["service", "service_name", "server", "job", "app", "host", "node", "instance"];

/// The entity that an alert with these labels is about: the value of the first label present of `service`, `service_name`,
/// `server`, `job` (the part behind its last `/`), `app`, `host`, `node`, `instance`; where there is none, the alert's own
/// `name`, so that namesakes do not open an incident each and a verdict has something to call it.
///
/// A rule over an exporter's series (`job="kube-state-metrics"`) should set `service` itself, or its alerts are about the exporter.
pub fn entity_of<'a>(labels: &'a Labels, name: &'a str) -> &'a str {
    for label in NAMING {
        let value = labels.get(label);
        // OpenTelemetry's Prometheus compatibility: job is `service.namespace/service.name`.
        let value = if label == "job" { value.rsplit('/').next().unwrap_or(value) } else { value };
        if !value.is_empty() {
            return value;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_telling_label_names_the_entity() {
        for (pairs, expected) in [
            (&[("job", "shop/cart"), ("instance", "10.0.0.1:80")][..], "cart"),
            (&[("job", "cart")], "cart"),
            (&[("job", "shop/"), ("instance", "a:1")], "a:1"),
            (&[("client", "web"), ("server", "cart"), ("job", "collector")], "cart"),
            (&[("service_name", "cart"), ("service", "basket")], "basket"),
            (&[("instance", "a:1"), ("host", "a")], "a"),
            (&[("job", "node"), ("instance", "a:1")], "node"),
            (&[("instance", "a:1"), ("device", "sda")], "a:1"),
            (&[("service", ""), ("severity", "page")], "Watchdog"),
            (&[], "Watchdog"),
        ] {
            assert_eq!(entity_of(&Labels::new(pairs.iter().copied()), "Watchdog"), expected, "{pairs:?}");
        }
    }
}
