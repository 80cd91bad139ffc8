//! The HTTP client: addresses, bounds, and servers that misbehave.
use crate::fake::Fake;
use bytes::Bytes;
use faultline_sinks::http::{Client, HttpError, Limits, Url, request};
use http::Method;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

fn get(url: &str, limits: Limits) -> Result<(u16, Bytes), HttpError> {
    let url = Url::parse(url).unwrap();
    request(Method::GET, &url, &[], Bytes::new(), limits).map(|answer| (answer.status.as_u16(), answer.body))
}

#[test]
fn addresses_are_checked_once() {
    for (text, expected) in [
        ("http://a:9093", ""),
        ("HTTP://a/prefix/?q=1", ""),
        ("http://[::1]:9093/", ""),
        ("https://a", "https://a: https is not supported yet"),
        ("https://u:secret@a", "https://***@a: https is not supported yet"),
        ("http://u:secret@a", "http://***@a is not an address: a user and password"),
        ("ftp://a", "it must begin with http://"),
        ("a:9093", "it must begin with http://"),
        ("http://", "is not a"),
        ("http://a b", "not a URL of RFC 3986"),
        ("http://a:99999", "not a"),
        ("http://a:0", "port"),
        ("http://a/#x", "fragment"),
    ] {
        match Url::parse(text) {
            Ok(_) => assert_eq!(expected, "", "{text} was taken"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && error.contains(expected), "{text}: {error}");
                assert!(!error.contains("secret"), "{error}");
            }
        }
    }
    let joined = |text: &str| Url::parse(text).unwrap().join("/api/v2/alerts").unwrap().to_string();
    assert_eq!(joined("http://a:9093"), "http://a:9093/api/v2/alerts");
    assert_eq!(joined("http://a:9093/am/?x=1"), "http://a:9093/am/api/v2/alerts");
}

#[test]
fn answers_are_bounded_in_size_and_time_and_redirects_are_not_followed() {
    let fake = Fake::start();
    fake.answer(200, "0123456789");
    assert_eq!(get(&fake.url(), Limits::default()).unwrap(), (200, Bytes::from_static(b"0123456789")));
    let tight = |response_size_max| Limits { response_size_max, ..Limits::default() };
    assert!(get(&fake.url(), tight(10)).is_ok());
    assert!(matches!(get(&fake.url(), tight(9)), Err(HttpError::TooLarge { limit: 9, .. })));
    fake.redirect(format!("{}/elsewhere", fake.url()));
    fake.take();
    assert_eq!(get(&fake.url(), Limits::default()).unwrap().0, 302);
    assert_eq!(fake.take().len(), 1);
    fake.delay(Duration::from_secs(5));
    let started = Instant::now();
    let slow = get(&fake.url(), Limits { overall: Duration::from_millis(50), ..Limits::default() });
    assert!(matches!(slow, Err(HttpError::Timeout { .. })) && started.elapsed() < Duration::from_secs(2));
    let url = Url::parse(&fake.url()).unwrap();
    let header = request(Method::GET, &url, &[("a b", "c")], Bytes::new(), Limits::default());
    assert!(matches!(header, Err(HttpError::Header { .. })));
}

#[test]
fn dead_and_broken_servers_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let broken = std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        let (mut stream, _) = listener.accept().unwrap();
        let _size = stream.read(&mut buffer).unwrap();
        stream.write_all(b"SSH-2.0-not-http\r\n\r\n").unwrap();
    });
    assert!(matches!(get(&url, Limits::default()), Err(HttpError::Broken { .. })));
    broken.join().unwrap();
    let refused = get(&url, Limits::default()).unwrap_err();
    assert!(matches!(&refused, HttpError::Connect { reason, .. } if reason.contains("refused")), "{refused}");
}

/// A pooled connection that the server has closed meanwhile must not fail the next request.
#[test]
fn a_connection_closed_while_idle_is_replaced() {
    let client = Client::new(Limits::default()).unwrap();
    let mut fake = Some(Fake::start());
    let address = fake.as_ref().unwrap().address;
    let url = Url::parse(&format!("http://{address}")).unwrap();
    for _ in 0..4 {
        client.request(Method::POST, &url, &[], Bytes::from_static(b"[]")).unwrap();
        drop(fake.take());
        fake = Some(Fake::start_at(address));
    }
}
