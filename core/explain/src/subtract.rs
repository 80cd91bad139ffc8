//! A service's own part where nobody measures it: what its calls do not explain of its rise.
//!
//! Spans tell how long a service worked itself. Metrics tell only how long its requests took; but means add up, so what the calls
//! leave of the rise is its own (algorithms.md 1.3). A service that calls nothing that is known keeps all of it.
//!
//! Of a violated service this speaks against a fault of its own, never for it: that it suffers is why we were asked, and what its
//! known calls leave may as well come from one that nobody knows.
use crate::channels::{Channels, OWN_ERRORS, SELF_TIME, errors_z, latency_z};
use crate::clean::Scene;
use crate::flow::Flows;
use crate::likelihood::nats;
use faultline_model::float;

/// Fills in the signs of faults of their own that services show by what their calls leave.
pub(crate) fn complete(scene: &Scene, channels: &mut Channels, flows: &Flows) {
    for (index, node) in scene.nodes.iter().enumerate().filter(|(_, node)| node.reports()) {
        let (own, calls) = (&mut channels.nodes[index].own, &flows.calls[index]);
        let is_target = scene.targets.binary_search(&index).is_ok();
        let heard = |nats: f64| if is_target { float::min(nats, 0.0) } else { nats };
        if !node.self_time.measured() {
            own[SELF_TIME] = latency_z(&node.latency).map(|z| heard(nats(z * (1.0 - calls.slow))));
        }
        if !node.own_errors.measured() {
            own[OWN_ERRORS] = errors_z(&node.errors).map(|z| heard(nats(z * (1.0 - calls.failing))));
        }
    }
}
