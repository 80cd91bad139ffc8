//! Tables of text with commas (RFC 4180).
use std::error::Error;

/// The rows of a table, each cell as text. A quoted cell may hold commas, line ends and doubled quotes; empty lines are passed over.
pub fn rows(text: &str) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let row = |record: Result<csv::StringRecord, csv::Error>| Ok(record?.iter().map(str::to_string).collect());
    reader.records().map(row).collect()
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
            assert_eq!(rows(text).expect("a table"), expected, "{text:?}");
        }
    }
}
