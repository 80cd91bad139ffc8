//! Istio's standard metrics: which series they are, and what each says of whom.
//!
//! Read are `istio_requests_total` and `istio_request_duration_milliseconds_sum`: the mean of both is the latency, so the
//! histogram's count and buckets are not needed. Their labels name the two workloads and who reports: a proxy of the callee
//! (`destination`, or a `waypoint` before it) or of the caller (`source`).
//! Source: Istio, "Istio Standard Metrics", <https://istio.io/latest/docs/reference/config/metrics/>.
use faultline_model::{Labels, canonical_enum, labels::NAME};

/// Who counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller's proxy.
    Client,
    /// The callee's proxy.
    Server,
}
canonical_enum!(Side { Client = 0, Server = 1 });

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Requests that were answered well.
    Answered,
    /// Requests that failed.
    Failed,
    /// Time that they took, in ms.
    Time,
}
canonical_enum!(Quantity { Answered = 0, Failed = 1, Time = 2 });

/// What a series of a standard metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    /// Who counted.
    pub side: Side,
    /// What.
    pub quantity: Quantity,
    /// The caller, `""` where it is not known.
    pub client: &'a str,
    /// The callee.
    pub server: &'a str,
}

const REQUESTS: &str = "istio_requests_total";
const TIME: &str = "istio_request_duration_milliseconds_sum";

/// Whether a metric of this name may be one of them: asked once per series, when it is first seen.
pub fn is_standard(name: &str) -> bool {
    name == REQUESTS || name == TIME
}

/// What a series counts; none where it is no standard metric, or names no callee.
pub fn counted(labels: &Labels) -> Option<Counted<'_>> {
    let quantity = match labels.get(NAME) {
        REQUESTS if failed(labels) => Quantity::Failed,
        REQUESTS => Quantity::Answered,
        TIME => Quantity::Time,
        _ => return None,
    };
    let side = if labels.get("reporter") == "source" { Side::Client } else { Side::Server };
    let client = workload(labels, ["source_canonical_service", "source_workload"]);
    let server = workload(labels, ["destination_canonical_service", "destination_workload"]);
    // A destination outside the mesh has no workload, but is called by a name.
    let server =
        if server.is_empty() { workload(labels, ["destination_service_name", "destination_service"]) } else { server };
    let told = !server.is_empty() && (side == Side::Server || !client.is_empty());
    told.then_some(Counted { side, quantity, client, server })
}

/// The first of these labels that says something.
fn workload<'a>(labels: &'a Labels, names: [&str; 2]) -> &'a str {
    names.into_iter().map(|name| labels.get(name)).find(|value| !matches!(*value, "" | "unknown")).unwrap_or("")
}

/// Whether requests with these labels failed at the server: status 5xx or none at all, or one of gRPC's codes that
/// OpenTelemetry's semantic conventions count as errors of the server.
fn failed(labels: &Labels) -> bool {
    let code = labels.get("response_code");
    let of_grpc = matches!(labels.get("grpc_response_status"), "2" | "4" | "12" | "13" | "14" | "15");
    of_grpc || code == "0" || (code.len() == 3 && code.starts_with('5'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_who_counted_what_of_whom() {
        let of = |side, quantity, client, server| Some(Counted { side, quantity, client, server });
        let (client, server) = (Side::Client, Side::Server);
        for (pairs, expected) in [
            (
                &[
                    ("__name__", REQUESTS),
                    ("reporter", "source"),
                    ("source_workload", "web"),
                    ("destination_workload", "cart"),
                    ("response_code", "200"),
                ][..],
                of(client, Quantity::Answered, "web", "cart"),
            ),
            (
                &[
                    ("__name__", REQUESTS),
                    ("reporter", "destination"),
                    ("source_workload", "unknown"),
                    ("destination_workload", "cart-v2"),
                    ("destination_canonical_service", "cart"),
                    ("response_code", "503"),
                ],
                of(server, Quantity::Failed, "", "cart"),
            ),
            (
                &[
                    ("__name__", REQUESTS),
                    ("reporter", "source"),
                    ("source_workload", "web"),
                    ("destination_workload", "unknown"),
                    ("destination_service_name", "db.example"),
                    ("response_code", "0"),
                ],
                of(client, Quantity::Failed, "web", "db.example"),
            ),
            (
                &[
                    ("__name__", REQUESTS),
                    ("reporter", "waypoint"),
                    ("destination_workload", "cart"),
                    ("response_code", "200"),
                    ("grpc_response_status", "14"),
                ],
                of(server, Quantity::Failed, "", "cart"),
            ),
            (
                &[
                    ("__name__", TIME),
                    ("reporter", "destination"),
                    ("destination_workload", "cart"),
                    ("response_code", "500"),
                ],
                of(server, Quantity::Time, "", "cart"),
            ),
            // A caller that is not known says nothing of a call; a callee that is not, neither.
            (&[("__name__", REQUESTS), ("reporter", "source"), ("destination_workload", "cart")], None),
            (&[("__name__", REQUESTS), ("reporter", "destination"), ("source_workload", "web")], None),
            (&[("__name__", "istio_request_duration_milliseconds_count"), ("destination_workload", "cart")], None),
        ] {
            let labels = Labels::new(pairs.iter().copied());
            assert_eq!(counted(&labels), expected, "{labels:?}");
            assert!(expected.is_none() || is_standard(labels.get(NAME)));
        }
    }
}
