//! Tests of the decoder against other people's encoders and Prometheus' own translator, and against hostile bytes.
mod exemplars;
mod fixtures;
mod hostile;
mod json;
mod limits;
mod naming;
mod native;
mod roundtrip;
mod support;
