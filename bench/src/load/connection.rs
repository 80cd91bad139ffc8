//! One HTTP/1.1 connection kept alive: a body out, an answer back.
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest that a server may take to accept bytes or to answer.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Bodies are short; a longer one is a fault.
const BODY_SIZE_MAX: usize = 16 << 20;

/// A connection to the server under test.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
    host: SocketAddr,
}

/// What the server said of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Events that were not taken, of a body that was.
    pub rejected: u64,
    /// Its words, where it had any.
    pub text: String,
}

impl Connection {
    /// Opens a connection.
    pub fn open(host: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&host, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { answers: BufReader::new(stream.try_clone()?), stream, host })
    }

    /// Sends a body made of two parts; returns when its last byte is written.
    ///
    /// - `encoding`: how it is compressed.
    pub fn send(&mut self, path: &str, encoding: Option<&str>, body: [&[u8]; 2]) -> io::Result<()> {
        let encoding = encoding.map_or(String::new(), |encoding| format!("content-encoding: {encoding}\r\n"));
        let size = body[0].len() + body[1].len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-protobuf\r\n{encoding}content-length: {size}\r\n\r\n",
            self.host
        );
        let mut slices = [IoSlice::new(head.as_bytes()), IoSlice::new(body[0]), IoSlice::new(body[1])];
        let mut left = &mut slices[..];
        while !left.is_empty() {
            match self.stream.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(size) => IoSlice::advance_slices(&mut left, size),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the answer to the body that was sent last.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let (status, body) = read_message(&mut self.answers)?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| invalid("no status"))?;
        let (rejected, text) = if status == 200 { partial_success(&body) } else { (0, readable(&body)) };
        Ok(Answer { status, rejected, text })
    }

    /// Asks for a page on this connection, uncompressed, and reads all of it. Returns the status and the body.
    pub fn page(&mut self, path: &str) -> io::Result<(u16, Vec<u8>)> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host).as_bytes())?;
        let (line, body) = read_message(&mut self.answers)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| invalid("no status"))?;
        Ok((status, body))
    }

    /// Asks for a page; for text, on a connection of its own.
    pub fn get(host: SocketAddr, path: &str) -> io::Result<String> {
        Connection::ask(host, "GET", path).map(|(_, text)| text)
    }

    /// Makes a request with an empty JSON object, on a connection of its own. Returns the status and the answer's text.
    pub fn ask(host: SocketAddr, method: &str, path: &str) -> io::Result<(u16, String)> {
        let mut connection = Connection::open(host)?;
        let body = if method == "GET" { "" } else { "{}" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        write!(connection.stream, "{head}connection: close\r\n\r\n{body}")?;
        let (line, text) = read_message(&mut connection.answers)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| invalid("no status"))?;
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }
}

/// Reads the first line and the body of a request or an answer whose size is declared, or that comes in chunks (RFC 9112 6 and 7.1).
pub fn read_message(from: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let (mut first, mut line, mut size, mut in_chunks) = (String::new(), String::new(), 0, false);
    if from.read_line(&mut first)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    loop {
        line.clear();
        from.read_line(&mut line)?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                size = value.trim().parse().map_err(|_| invalid("no size"))?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("transfer-encoding") => {
                in_chunks = value.trim().eq_ignore_ascii_case("chunked");
                if !in_chunks {
                    return Err(invalid("a body in a coding of its own"));
                }
            }
            Some(_) => {}
            None if line.trim().is_empty() => break,
            None => return Err(invalid("a header without a colon")),
        }
    }
    let mut body = Vec::new();
    // RFC 9112 6.3: chunks count where a size is declared, too.
    if in_chunks {
        read_chunks(from, &mut body)?
    } else {
        read_part(from, size, &mut body)?
    }
    Ok((first.trim_end().to_owned(), body))
}

/// Appends so many bytes to a body.
fn read_part(from: &mut impl BufRead, size: usize, body: &mut Vec<u8>) -> io::Result<()> {
    let begun = body.len();
    if size > BODY_SIZE_MAX - begun {
        return Err(invalid("a body beyond 16 MiB"));
    }
    body.resize(begun + size, 0);
    from.read_exact(&mut body[begun..])
}

/// Reads chunks up to the last one, and what follows that (RFC 9112 7.1).
fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        from.read_line(&mut line)?;
        // What stands behind a semicolon is for who knows it.
        let size = line.split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| invalid("a chunk without a size"))?;
        if size == 0 {
            break;
        }
        read_part(from, size, body)?;
        line.clear();
        from.read_line(&mut line)?;
        if !line.trim_end().is_empty() {
            return Err(invalid("a chunk that is longer than it says"));
        }
    }
    loop {
        line.clear();
        match from.read_line(&mut line)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if line.trim_end().is_empty() => return Ok(()),
            _ => {}
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP as it is spoken here: {what}"))
}

/// Rejected items and the words of an `Export...ServiceResponse`: field 1 of it, and of that fields 1 and 2.
fn partial_success(body: &[u8]) -> (u64, String) {
    let Some((0x0a, rest)) = body.split_first().map(|(tag, rest)| (*tag, rest)) else { return (0, String::new()) };
    let mut rest = varint(rest).1;
    let mut rejected = 0;
    if let Some((0x08, after)) = rest.split_first().map(|(tag, rest)| (*tag, rest)) {
        (rejected, rest) = varint(after);
    }
    let text = match rest.split_first() {
        Some((0x12, after)) => readable(varint(after).1),
        _ => String::new(),
    };
    (rejected, text)
}

fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).map_or(bytes.len(), |last| last + 1);
    let value = bytes[..end].iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, &bytes[end..])
}

/// The printable part of a protobuf or text body: words for people.
fn readable(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use faultline_formats::encode;
    use faultline_formats::{Reason, Reject};

    #[test]
    fn reads_what_our_own_answers_say() {
        let reject = |reason, count| Reject { reason, count, detail: "so it was".into() };
        for count in [1, 127, 128, 300_000] {
            let (rejected, text) = partial_success(&encode::answer(&[reject(Reason::NoValue, count)]));
            assert_eq!(rejected, count);
            assert!(text.contains("no-value") || text.contains("so it was"), "{text}");
        }
        assert_eq!(partial_success(&encode::answer(&[])), (0, String::new()));
        assert_eq!(partial_success(&encode::answer(&[reject(Reason::TargetInfo, 1)])).0, 0);
    }

    #[test]
    fn reads_messages_and_refuses_what_it_does_not_speak() {
        let mut two =
            &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 429 Too Many\r\ncontent-length:0\r\n\r\n"[..];
        assert_eq!(read_message(&mut two).unwrap(), ("HTTP/1.1 200 OK".to_owned(), b"abc".to_vec()));
        assert_eq!(read_message(&mut two).unwrap().0, "HTTP/1.1 429 Too Many");
        assert!(read_message(&mut two).is_err());
        assert!(
            read_message(&mut &b"POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"[..]).is_err()
        );
        assert!(read_message(&mut &b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n"[..]).is_err());
    }

    #[test]
    fn reads_bodies_in_chunks() {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let read = |chunks: &str| {
            let whole = format!("{head}{chunks}next");
            let mut bytes = whole.as_bytes();
            let body = read_message(&mut bytes).map(|(_, body)| String::from_utf8(body).expect("text"));
            body.map(|body| (body, String::from_utf8_lossy(bytes).into_owned()))
        };
        let good = |body: &str| (body.to_owned(), "next".to_owned());
        assert_eq!(read("3\r\nabc\r\nA;why=so\r\n0123456789\r\n0\r\n\r\n").unwrap(), good("abc0123456789"));
        assert_eq!(read("0\r\nexpires: never\r\n\r\n").unwrap(), good(""));
        for bad in
            ["", "3\r\nab", "3\r\nabcd\r\n0\r\n\r\n", "x\r\n", "-1\r\n", "0\r\n", "ffffffffffff\r\n", "1000001\r\n"]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
