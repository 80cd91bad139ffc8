//! The reader beside Prometheus' own, and on damaged blocks.
mod damaged;
mod golden;
mod support;
