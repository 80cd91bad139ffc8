//! Listening, and saying who is in the way.
use std::fs;
use std::net::SocketAddr;
use tokio::net::TcpListener;

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
pub async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
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
