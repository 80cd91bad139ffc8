//! `/-/reload`: has the rule files read again at once, as Prometheus does; they are looked at each second in any case.
use super::Api;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Reads the rule files again and returns once they are in force, or why they are not. Blocks for as long as that takes.
pub type Reload = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Answers once the files as they are now are in force; 500 with the reason where they are not, in Prometheus' words.
pub async fn reload(State(api): State<Arc<Api>>) -> Response {
    let reload = api.reload.clone();
    match tokio::task::spawn_blocking(move || reload()).await {
        Ok(Ok(())) => StatusCode::OK.into_response(),
        Ok(Err(reason)) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {reason}\n")).into_response()
        }
        Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "failed to reload config: it broke, see the log\n").into_response()
        }
    }
}
