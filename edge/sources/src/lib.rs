//! OTLP over gRPC and HTTP, Prometheus remote write.
