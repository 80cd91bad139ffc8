//! A service's own part where nobody measures it: what its calls do not explain of its rise.
//!
//! Spans tell how long a service worked itself. Metrics tell only how long its requests took; but means add up, so what the calls
//! leave of the rise is its own (algorithms.md 1.3). A service that calls nothing that is known keeps all of it.
use crate::channels::{Channels, OWN_ERRORS, SELF_TIME, errors_z, latency_z};
use crate::clean::Scene;
use crate::flow::Flows;
use crate::likelihood::nats;

/// Fills in the signs of faults of their own that services show by what their calls leave.
pub(crate) fn complete(scene: &Scene, channels: &mut Channels, flows: &Flows) {
    for (index, node) in scene.nodes.iter().enumerate().filter(|(_, node)| node.reports()) {
        let (own, calls) = (&mut channels.nodes[index].own, &flows.calls[index]);
        if !node.self_time.measured() {
            own[SELF_TIME] = latency_z(&node.latency).map(|z| nats(z * (1.0 - calls.slow)));
        }
        if !node.own_errors.measured() {
            own[OWN_ERRORS] = errors_z(&node.errors).map(|z| nats(z * (1.0 - calls.failing)));
        }
    }
}
