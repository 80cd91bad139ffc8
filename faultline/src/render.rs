//! What people see: errors as one chain, tables, bars, colour on a terminal only.
use std::error::Error;
use std::io::IsTerminal;

/// The error and its causes on one line; a cause that the line already ends with is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Prints an error as the last word of a command.
pub fn error(error: &dyn Error) {
    eprintln!("{} {}", Paint::stderr().red("error:"), chain(error));
}

/// Colours, where somebody looks.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For standard output.
    pub fn stdout() -> Paint {
        Paint { on: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// For standard error.
    pub fn stderr() -> Paint {
        Paint { on: std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    /// What is wrong.
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    /// What is right.
    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What to look at twice.
    pub fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    /// What matters most.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What may be passed over.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
}

/// A bar of `width` places for a share of 0 to 1.
pub fn bar(share: f64, width: usize) -> String {
    let filled = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    format!("{}{}", "\u{2588}".repeat(filled), "\u{2591}".repeat(width - filled))
}

/// A line of values, one character each, from nothing to the greatest of them; `.` where there is none.
pub fn sparkline(values: &[Option<f64>]) -> String {
    const STEPS: [char; 8] =
        ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
    let most = values.iter().flatten().fold(0.0, |most: f64, value| most.max(*value));
    let step = |value: f64| if most > 0.0 { (value.max(0.0) / most * 7.0).round() as usize } else { 0 };
    values.iter().map(|value| value.map_or('.', |value| STEPS[step(value).min(7)])).collect()
}

/// Rows under headings, columns as wide as their widest cell.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width + 2 - cell.chars().count()));
        }
        format!("{}\n", text.trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A duration for people: `850 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`.
pub fn duration(ms: i64) -> String {
    match ms {
        ..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_bars_read_well() {
        let texts: Vec<String> = [850, 3_250, 250_000, 7_500_000].map(duration).to_vec();
        assert_eq!(texts, ["850 ms", "3.2 s", "4 min 10 s", "2 h 5 min"]);
        assert_eq!((bar(0.5, 4), bar(7.0, 2), bar(-1.0, 2)), ("██░░".into(), "██".into(), "░░".into()));
    }

    #[test]
    fn a_line_rises_to_its_greatest_value() {
        let values = [Some(0.0), Some(1.0), None, Some(2.0), Some(-1.0)];
        assert_eq!(sparkline(&values), "\u{2581}\u{2585}.\u{2588}\u{2581}");
        assert_eq!(sparkline(&[Some(0.0), None]), "\u{2581}.");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_string(), "b".to_string()], vec!["long".to_string(), "c".to_string()]];
        assert_eq!(table(&["x", "y"], &rows), "x     y\na     b\nlong  c\n");
    }
}
