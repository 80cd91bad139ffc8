//! Tables of text with commas (RFC 4180), plain or compressed with Zstandard.
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;

/// Reads a text, inflated where the file's name ends in `.zst`.
pub fn text(path: &Path) -> Result<String, Box<dyn Error>> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let mut bytes = fs::read(path).map_err(|error| failed(&error))?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        let mut plain = Vec::new();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(&bytes[..]).map_err(|error| failed(&error))?;
        decoder.read_to_end(&mut plain).map_err(|error| failed(&error))?;
        bytes = plain;
    }
    String::from_utf8(bytes).map_err(|error| failed(&error).into())
}

/// The rows of a table, each cell as text. A quoted cell may hold commas, line ends and doubled quotes.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_hold_commas_quotes_and_line_ends() {
        for (text, expected) in [
            ("a,b\n1,2\n", vec![vec!["a", "b"], vec!["1", "2"]]),
            ("a,\"b, c\"\r\n\"say \"\"x\"\"\n\",2", vec![vec!["a", "b, c"], vec!["say \"x\"\n", "2"]]),
            ("", vec![]),
            (",\n", vec![vec!["", ""]]),
        ] {
            assert_eq!(rows(text), expected, "{text:?}");
        }
    }
}
