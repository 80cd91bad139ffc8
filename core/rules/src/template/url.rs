//! Escaping for URLs and HTML, and host names with ports, as Go's `net`, `net/url` and `html/template` treat them.
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

/// Go's `url.QueryEscape`.
pub(super) fn escape_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Go's `template.HTMLEscapeString`.
pub(super) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The path of a URL, `""` where it has none.
pub(super) fn path(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |i| i + 3);
    let rest = &url[after_scheme..];
    let path = rest.find('/').map_or("", |i| &rest[i..]);
    &path[..path.find(['?', '#']).unwrap_or(path.len())]
}

/// Host and port of `host:port` or `[host]:port`; nothing where it is neither. Source: Go's `net.SplitHostPort`.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    let port = &text[colon + 1..];
    if let Some(inner) = text.strip_prefix('[') {
        let end = inner.find(']')?;
        let host = &inner[..end];
        let well_formed = end + 2 == colon && !host.contains('[') && !inner[end + 1..].contains(['[', ']']);
        return well_formed.then_some((host, port));
    }
    let host = &text[..colon];
    (!host.contains(':') && !text.contains(['[', ']'])).then_some((host, port))
}

/// The host without its port.
pub(super) fn strip_port(text: &str) -> &str {
    split_host_port(text).map_or(text, |(host, _)| host)
}

/// The first label of the host name, with its port; an address stays as it is.
pub(super) fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<core::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or("");
    match (port, host.contains([':', '%'])) {
        ("", _) => host.to_owned(),
        (port, true) => format!("[{host}]:{port}"),
        (port, false) => format!("{host}:{port}"),
    }
}
