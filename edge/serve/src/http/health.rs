//! `/-/healthy` and `/-/ready`.
use super::{Api, not_ready};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The process answers.
pub async fn healthy() -> Response {
    "Faultline is healthy.\n".into_response()
}

/// The engine has caught up and takes telemetry; 503 with the reason until then.
pub async fn ready(State(api): State<Arc<Api>>) -> Response {
    let view = api.store.view();
    match view.ready {
        true => "Faultline is ready.\n".into_response(),
        false => not_ready(&view).into_response(),
    }
}
