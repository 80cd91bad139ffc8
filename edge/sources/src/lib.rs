//! OTLP over gRPC and HTTP, Prometheus remote write.
//!
//! Every source ends in [`Receiver`]: bytes in, a durable answer out. What is around it is framing.
mod body;
mod decoders;
pub mod grpc;
pub mod http;
mod line;
pub mod receiver;
pub mod remote_write;

pub use receiver::{Outcome, Receiver, Sender};
