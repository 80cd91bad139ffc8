//! Answers: JSON with the position it covers, problem+json (RFC 9457) of our own paths, and Prometheus' envelopes.
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use faultline_model::Position;
use faultline_promql::ParseError;
use serde::Serialize;
use std::time::Duration;

const COVERS: HeaderName = HeaderName::from_static("x-faultline-covers");

fn bytes(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

/// A JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    bytes(status, "application/json", serde_json::to_vec(body).expect("our own shapes have text keys only"))
}

/// Names the last record that an answer takes account of.
pub fn covers(mut response: Response, position: Position) -> Response {
    let value = HeaderValue::from_str(&position.to_string()).expect("digits and a slash");
    response.headers_mut().insert(COVERS, value);
    response
}

/// What is wrong with one field of a request's body.
#[derive(Debug, Serialize)]
pub struct FieldError {
    /// The field, as the documentation names it.
    pub field: String,
    /// What is wrong and what is expected.
    pub detail: String,
}

/// An error of our own paths.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    /// - `code`: a stable word.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// A request that can never be answered as it stands.
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// With what is wrong with single fields.
    pub fn fields(self, errors: Vec<FieldError>) -> Problem {
        Problem { errors, ..self }
    }

    /// With when to come back.
    pub fn retry_after(self, delay: Duration) -> Problem {
        Problem { retry_after: Some(delay), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&body).expect("text and numbers only");
        let mut response = bytes(self.status, "application/problem+json", body);
        if let Some(delay) = self.retry_after {
            // Whole seconds, rounded up, at least 1 (RFC 9110 10.2.3).
            let seconds = delay.as_millis().div_ceil(1000).clamp(1, 3600) as u64;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// An error in Prometheus' envelope, with its HTTP code.
#[derive(Debug)]
pub struct PromError {
    status: StatusCode,
    kind: &'static str,
    error: String,
}

/// What to do about a query that asks for too much.
const NARROWER: &str = "ask for fewer series, a shorter range or a larger step";

impl PromError {
    /// A parameter that cannot be taken.
    pub fn bad(parameter: &str, why: impl std::fmt::Display) -> PromError {
        PromError::data(format!("invalid parameter \"{parameter}\": {why}"))
    }

    /// A request that cannot be taken.
    pub fn data(error: String) -> PromError {
        PromError { status: StatusCode::BAD_REQUEST, kind: "bad_data", error }
    }

    /// What is wrong with an expression, in Prometheus' words: of none at all it knows no place.
    pub fn expression(text: &str, error: &ParseError) -> String {
        match text.trim().is_empty() {
            true => "unknown position: parse error: no expression found in input".into(),
            false => error.to_string(),
        }
    }

    /// A query that took longer than it may.
    pub fn timeout() -> PromError {
        let error = format!("query timed out in expression evaluation: {NARROWER}, or a longer `timeout`");
        PromError { status: StatusCode::SERVICE_UNAVAILABLE, kind: "timeout", error }
    }

    /// A query that reads too much at once.
    pub fn too_many_samples() -> PromError {
        let error = "query processing would load too many samples into memory in query execution";
        PromError::execution(format!("{error}: {NARROWER}"))
    }

    /// An expression that has no value.
    pub fn execution(error: String) -> PromError {
        PromError { status: StatusCode::UNPROCESSABLE_ENTITY, kind: "execution", error }
    }

    /// Not now.
    pub fn unavailable(error: String) -> PromError {
        PromError { status: StatusCode::SERVICE_UNAVAILABLE, kind: "unavailable", error }
    }

    /// A fault of ours.
    pub fn internal(error: String) -> PromError {
        PromError { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "internal", error }
    }
}

#[derive(Serialize)]
struct PromErrorBody<'a> {
    status: &'static str,
    #[serde(rename = "errorType")]
    kind: &'a str,
    error: &'a str,
}

impl IntoResponse for PromError {
    fn into_response(self) -> Response {
        json(self.status, &PromErrorBody { status: "error", kind: self.kind, error: &self.error })
    }
}

/// Prometheus' envelope of an answer.
#[derive(Serialize)]
pub struct PromAnswer<T> {
    status: &'static str,
    data: T,
    #[serde(flatten)]
    told: Told,
}

/// What a reader is told beside the data.
#[derive(Debug, Default, Serialize)]
pub struct Told {
    /// What may make the data wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What may be meant otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub infos: Vec<String>,
}

impl<T: Serialize> PromAnswer<T> {
    /// A success.
    pub fn new(data: T, told: Told) -> PromAnswer<T> {
        PromAnswer { status: "success", data, told }
    }

    /// The answer, at the position it covers.
    pub fn at(self, position: Position) -> Response {
        covers(json(StatusCode::OK, &self), position)
    }
}

#[derive(Clone, Copy, Debug)]
struct PromFormat;

impl serde_json::ser::Formatter for PromFormat {
    // The only floats of such an answer are instants in ms: Prometheus writes seconds with three decimals or none.
    fn write_f64<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, ms: f64) -> std::io::Result<()> {
        let ms = ms as i64;
        let (sign, size) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
        match size % 1000 {
            0 => write!(writer, "{sign}{}", size / 1000),
            part => write!(writer, "{sign}{}.{part:03}", size / 1000),
        }
    }
}

/// Prometheus' envelope around data that writes itself: the body of an answer.
///
/// - `put`: appends the data.
pub fn written_body(put: impl FnOnce(&mut Vec<u8>), told: &Told) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    body.extend_from_slice(b"{\"status\":\"success\",\"data\":");
    put(&mut body);
    for (name, list) in [("warnings", &told.warnings), ("infos", &told.infos)] {
        if !list.is_empty() {
            body.extend_from_slice(format!(",\"{name}\":").as_bytes());
            serde_json::to_writer(&mut body, list).expect("memory takes all");
        }
    }
    body.push(b'}');
    body
}

/// An answer with a body of JSON, at the position it covers.
pub fn json_answer(body: Vec<u8>, position: Position) -> Response {
    covers(bytes(StatusCode::OK, "application/json", body), position)
}

/// Prometheus' envelope around data whose floats are instants in ms.
pub fn query_answer(data: impl Serialize, told: Told, position: Position) -> Response {
    let mut body = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut body, PromFormat);
    PromAnswer::new(data, told).serialize(&mut serializer).expect("our own shapes have text keys only");
    covers(bytes(StatusCode::OK, "application/json", body), position)
}
