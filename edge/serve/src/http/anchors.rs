//! `/api/faultline/v1/anchors`: asks for an anchor now, and with it for a checkpoint, as before an upgrade.
use super::answer::json;
use super::changes::{is_json, refused};
use super::shapes::text;
use super::{Api, not_ready};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use faultline_formats::decode;
use faultline_model::{Control, Kind, Payload, Position, TenantId};
use serde::Serialize;
use std::sync::Arc;

/// Answers with the position of the wish once it is durable: an anchor at or after it shows in `status`.
pub async fn want(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let wanted = async {
        is_json(&headers)?;
        let payload = Payload { tenant: TenantId(0), kind: Kind::Control(Control::Anchor), body: Default::default() };
        let seed = *api.seed.get().ok_or_else(|| not_ready(&api.store.view()))?;
        let answer = api.inlet.submit(decode(payload, seed)).await.map_err(refused)?;
        Ok::<_, super::answer::Problem>(json(StatusCode::ACCEPTED, &Wanted { position: answer.at }))
    };
    wanted.await.unwrap_or_else(IntoResponse::into_response)
}

#[derive(Serialize)]
struct Wanted {
    #[serde(serialize_with = "text")]
    position: Position,
}
