//! Tests counted from what `cargo test` prints while it runs.

use std::fmt;

/// Tests over all binaries so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Counts {
    /// Adds what one line of output says; only libtest's closing line of a binary says anything.
    pub fn read(&mut self, line: &str) {
        let Some(results) = line.trim_end().strip_prefix("test result: ") else { return };
        let fields = results.split(['.', ';']).map(str::trim);
        for (number, name) in fields.filter_map(|field| field.split_once(' ')) {
            let Ok(number) = number.parse::<u64>() else { continue };
            match name {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Counts {
    /// The plain closing line that CI reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_closing_lines_of_all_binaries() {
        let cases = [
            ("", "0 passed, 0 failed"),
            (
                "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                "3 passed, 0 failed",
            ),
            (
                "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\
                 test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 9 filtered out; finished in 1.20s\n\
                 test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                "41 passed, 1 failed, 2 skipped",
            ),
            ("a test printed: test result: ok. 7 passed; 0 failed", "0 passed, 0 failed"),
        ];
        for (output, expected) in cases {
            let mut counts = Counts::default();
            output.lines().for_each(|line| counts.read(line));
            assert_eq!(counts.to_string(), expected, "{output}");
        }
    }
}
