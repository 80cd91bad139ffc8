//! The machine's name.

/// The name that the system gives itself, or `localhost` where that is no text.
pub fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_str().unwrap_or_default().to_string();
    if name.is_empty() { "localhost".to_string() } else { name }
}
