//! Listening, saying who is in the way, and what is served where.
use crate::config::Config;
use axum::Router;
use faultline_sources::{Receiver, grpc, http as otlp_http, remote_write};
use std::fs;
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Addresses that a running server listens on.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// The API and remote write.
    pub http: SocketAddr,
}

/// Every port, bound and not yet served: whoever connects waits in the system's queue.
pub struct Ports {
    otlp_grpc: TcpListener,
    otlp_http: TcpListener,
    http: TcpListener,
}

impl Ports {
    /// Binds every port of the configuration, or none.
    pub async fn bind(config: &Config) -> Result<Ports, ListenError> {
        Ok(Ports {
            otlp_grpc: listen("--otlp-grpc", config.otlp_grpc).await?,
            otlp_http: listen("--otlp-http", config.otlp_http).await?,
            http: listen("--http", config.http).await?,
        })
    }

    /// Where they are.
    pub fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            otlp_grpc: self.otlp_grpc.local_addr()?,
            otlp_http: self.otlp_http.local_addr()?,
            http: self.http.local_addr()?,
        })
    }

    /// Serves them until `stopped` turns true, on tasks of the runtime that is entered.
    pub fn serve(self, receiver: &Receiver, api: Router, stopped: &watch::Receiver<bool>) {
        tokio::spawn(grpc::serve(self.otlp_grpc, receiver.clone(), stopped.clone()));
        let api = api
            .merge(remote_write::router(receiver.clone()))
            .merge(otlp_http::import_router(receiver.clone()))
            .merge(otlp_http::prometheus_router(receiver.clone()));
        for (listener, router) in [(self.otlp_http, otlp_http::router(receiver.clone())), (self.http, api)] {
            let mut stopped = stopped.clone();
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move {
                let until = async move {
                    let _ended = stopped.wait_for(|stop| *stop).await;
                };
                if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(until).await {
                    tracing::error!(%error, "an HTTP listener ended");
                }
            });
        }
    }
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has the port.
    #[error("{flag} {address} is in use by {holder}; stop it, or choose another address with {flag}")]
    Busy {
        /// Which flag.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Which process.
        holder: String,
    },
    /// The system refuses.
    #[error("cannot listen on {flag} {address}")]
    Refused {
        /// Which flag.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Listens on an address; port 0 takes a free one.
async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            let holder = holder(address.port()).unwrap_or_else(|| "another process".to_string());
            ListenError::Busy { flag, address, holder }
        }
        _ => ListenError::Refused { flag, address, source },
    })
}

/// Name and number of a process that listens on `port`, where the system lets us see it (Linux).
fn holder(port: u16) -> Option<String> {
    const LISTENING: &str = "0A";
    let suffix = format!(":{port:04X}");
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            (fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTENING)
                .then(|| fields.get(9).map(|f| f.to_string()))?
        })
    })?;
    let socket = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let pid = process.file_name().to_string_lossy().into_owned();
        // Beside the numbers there are names such as `self`, which lead to the same files.
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = files.flatten().any(|f| fs::read_link(f.path()).is_ok_and(|l| l.to_string_lossy() == socket));
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_port_is_named_with_its_flag_and_holder() {
        let first = listen("--http", SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let address = first.local_addr().expect("it listens");
        let error = listen("--http", address).await.expect_err("it is taken").to_string();
        assert!(error.contains("--http") && error.contains(&format!("process {}", std::process::id())), "{error}");
    }
}
