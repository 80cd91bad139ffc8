//! The HTTP API: Prometheus-compatible and our own.
