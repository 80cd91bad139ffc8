//! The house's one HTTP client: HTTP/1.1 over plain TCP, blocking, bounded in time and size, no redirects, no proxies.
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;
use tokio::runtime::{self, Runtime};

/// An address that can be asked: absolute, `http`, with a host, without user, password or fragment. Checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    uri: Uri,
}

/// Why a text is no address for us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// TLS is not built in. Use a plain listener on loopback, or a proxy that speaks TLS.
    #[error("{url}: https is not supported yet; use http, to a proxy on this machine where the way needs TLS")]
    Https {
        /// The text.
        url: String,
    },
    /// It is no address at all, or has parts that we do not send.
    #[error("{url} is not an address: {reason}")]
    Invalid {
        /// The text, without a password.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Url {
    /// Reads `http://host[:port][/path][?query]`.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        let invalid = |reason| Err(UrlError::Invalid { url: shown(text), reason });
        let Some((scheme, rest)) = text.split_once("://") else {
            return invalid("it must begin with http://");
        };
        if scheme.eq_ignore_ascii_case("https") {
            return Err(UrlError::Https { url: shown(text) });
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return invalid("it must begin with http://");
        }
        if rest.contains('#') {
            return invalid("a fragment is not sent; leave out what follows #");
        }
        let Ok(uri) = Uri::from_str(text) else {
            return invalid("it is not a URL of RFC 3986");
        };
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return invalid("it names no host");
        };
        if authority.as_str().contains('@') {
            return invalid("a user and password in it would end in logs");
        }
        let port = &authority.as_str()[authority.host().len()..];
        if port.is_empty() || authority.port_u16().is_some_and(|port| port > 0) {
            Ok(Url { uri })
        } else {
            invalid("its port is not a number from 1 to 65535")
        }
    }

    /// This address with `path` (which begins with a slash) after its own path; a query is left out.
    pub fn join(&self, path: &str) -> Result<Url, UrlError> {
        let authority = self.uri.authority().expect("checked when parsed");
        Url::parse(&format!("http://{authority}{}{path}", self.uri.path().trim_end_matches('/')))
    }
}

/// What of a text can be shown: not what may be a password.
fn shown(text: &str) -> String {
    let end = text.rfind('@').map_or(0, |at| at + 1);
    let scheme = text.find("://").map_or(0, |at| at + 3).min(end);
    let hidden = if end > scheme { "***@" } else { "" };
    format!("{}{hidden}{}", &text[..scheme], &text[end..])
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// What a request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first packet to a connection.
    pub connect: Duration,
    /// From the call to the last byte of the answer, connecting and names included.
    pub overall: Duration,
    /// Most bytes of an answer's body.
    pub response_size_max: usize,
}

impl Default for Limits {
    /// 2 s, 10 s (as Prometheus allows an Alertmanager) and 16 MiB.
    fn default() -> Limits {
        let seconds = Duration::from_secs;
        Limits { connect: seconds(2), overall: seconds(10), response_size_max: 16 << 20 }
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status; a redirect is an answer like any other.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens there, or the name is not known. Retry later.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// The address.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// No complete answer in time. It may have been acted upon: retry only what may be done twice.
    #[error("{url} did not answer within {limit:?}")]
    Timeout {
        /// The address.
        url: String,
        /// [`Limits::overall`].
        limit: Duration,
    },
    /// The connection broke, or what came is not HTTP. It may have been acted upon.
    #[error("the exchange with {url} broke: {reason}")]
    Broken {
        /// The address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The answer is larger than allowed. Ask for less.
    #[error("{url} answered with more than {limit} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// [`Limits::response_size_max`].
        limit: usize,
    },
    /// A header that HTTP does not allow. Do not retry.
    #[error("{name} is not a header that can be sent")]
    Header {
        /// Its name.
        name: String,
    },
}

/// The way to a receiver: the network's, or one that a test makes as bad as it likes.
pub trait Exchange: Send {
    /// Sends a request and waits for the whole answer.
    fn request(&self, method: Method, url: &Url, headers: &[(&str, &str)], body: Bytes) -> Result<Response, HttpError>;
}

impl Exchange for Client {
    fn request(&self, method: Method, url: &Url, headers: &[(&str, &str)], body: Bytes) -> Result<Response, HttpError> {
        Client::request(self, method, url, headers, body)
    }
}

/// Connections kept open between requests. Used by one thread at a time.
pub struct Client {
    limits: Limits,
    pool: Pool<HttpConnector, Full<Bytes>>,
    /// Present until dropped.
    runtime: Option<Runtime>,
}

impl Client {
    /// A client on a runtime of its own, which runs while a request does.
    pub fn new(limits: Limits) -> io::Result<Client> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limits.connect));
        connector.set_nodelay(true);
        let pool = legacy::Builder::new(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Client { limits, pool, runtime: Some(runtime) })
    }

    /// Sends a request and waits for the whole answer. Blocks; must not be called from asynchronous code.
    pub fn request(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response, HttpError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.uri.clone();
        for (name, value) in headers {
            let (Ok(header), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value)) else {
                return Err(HttpError::Header { name: (*name).to_owned() });
            };
            request.headers_mut().append(header, value);
        }
        let Limits { overall, response_size_max, .. } = self.limits;
        let runtime = self.runtime.as_ref().expect("present until dropped");
        runtime.block_on(async {
            // A connection that the server has closed since is noticed only when the runtime looks at its sockets.
            tokio::task::yield_now().await;
            match tokio::time::timeout(overall, exchange(&self.pool, request, url, response_size_max)).await {
                Ok(answer) => answer,
                Err(_) => Err(HttpError::Timeout { url: url.to_string(), limit: overall }),
            }
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A name that is still being looked up on its own thread cannot be called off, and is not waited for.
        self.runtime.take().expect("dropped once").shutdown_background();
    }
}

async fn exchange(
    pool: &Pool<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
    url: &Url,
    size_max: usize,
) -> Result<Response, HttpError> {
    let answer = pool.request(request).await.map_err(|error| {
        let (url, reason) = (url.to_string(), root_cause(&error));
        if error.is_connect() { HttpError::Connect { url, reason } } else { HttpError::Broken { url, reason } }
    })?;
    let status = answer.status();
    match Limited::new(answer.into_body(), size_max).collect().await {
        Ok(body) => Ok(Response { status, body: body.to_bytes() }),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(HttpError::TooLarge { url: url.to_string(), limit: size_max })
        }
        Err(error) => Err(HttpError::Broken { url: url.to_string(), reason: root_cause(&*error) }),
    }
}

/// The innermost error: the layers above only repeat that a request failed.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// One request on a connection of its own. Blocks; must not be called from asynchronous code.
pub fn request(
    method: Method,
    url: &Url,
    headers: &[(&str, &str)],
    body: Bytes,
    limits: Limits,
) -> Result<Response, HttpError> {
    let client =
        Client::new(limits).map_err(|error| HttpError::Connect { url: url.to_string(), reason: error.to_string() })?;
    client.request(method, url, headers, body)
}
