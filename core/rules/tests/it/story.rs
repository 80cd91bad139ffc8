//! Stories: rules and samples go in as text, transitions come out as text.
//!
//! A file is commands, a line `----`, what came of them, an empty line, and so on; `UPDATE=1` writes the answers anew.
//! Times count from the first grid instant of the first group, so that a story need not know how groups are spread.
//! ```text
//! rules [stream] [dry_run=GROUP] [NAME=VALUE]...   the rule file follows, up to a line `end`; in force now
//! 5s up{job="a"} 0                          a sample (or `stale`); what is due before it is done first
//! 1m                                        time passes, instant by instant
//! jump 10m                                  time passes with nobody running
//! suspend | resume                          absence
//! silent up{job="a"}                        from now on its source says nothing; until its next sample
//! show series | alerts | groups             what to print besides transitions, here or from here on
//! ```
use crate::store::{Store, labels, sample};
use faultline_model::facts::{Transition, UnknownRule};
use faultline_model::table::PageBytes;
use faultline_model::{
    Canonical, Evaluation, Labels, Millis, Position, Reader, RuleFile, RuleFiles, Sample, TenantId, Writer,
};
use faultline_rules::Rules;
use std::fmt::Write;

/// Where stories begin: some day.
const START: Millis = Millis(1_700_000_000_000);

/// A story as it is told.
pub struct Story {
    pub rules: Rules,
    pub store: Store,
    /// Time 0 of the story.
    zero: Option<Millis>,
    now: Millis,
    /// What each rule remembered when the rules were frozen.
    frozen: Vec<Box<[u8]>>,
    offset: u64,
    show_series: bool,
    restless: bool,
    /// Every transition so far.
    pub all: Vec<Transition>,
    /// Every sample that the rules appended so far.
    pub written: Vec<(Labels, Sample)>,
}

/// A duration of the story, in ms.
pub fn duration(text: &str) -> i64 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (mut total, mut number) = (0, String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match (c, chars.peek()) {
            ('m', Some('s')) => chars.next().map_or(1, |_| 1),
            ('s', _) => 1000,
            ('m', _) => 60_000,
            ('h', _) => 3_600_000,
            _ => panic!("{text}: a duration"),
        };
        total += unit * number.parse::<i64>().unwrap_or_else(|_| panic!("{text}: a duration"));
        number.clear();
    }
    assert!(number.is_empty(), "{text}: a duration ends with its unit");
    sign * total
}

impl Story {
    /// - `restless`: checkpoint and restore before each command.
    pub fn new(restless: bool) -> Story {
        Story {
            rules: Rules::new(TenantId(0)),
            store: Store::default(),
            zero: None,
            now: START,
            offset: 0,
            show_series: false,
            restless,
            frozen: Vec::new(),
            all: Vec::new(),
            written: Vec::new(),
        }
    }

    fn cause(&self) -> Position {
        Position { partition: 0, offset: self.offset }
    }

    /// Does one block of commands and tells what came of it.
    pub fn tell(&mut self, commands: &str) -> String {
        let mut out = String::new();
        let mut lines = commands.lines();
        while let Some(line) = lines.next() {
            if line.starts_with('#') {
                continue;
            }
            if self.restless {
                self.restore();
            } else if self.offset.is_multiple_of(3) {
                self.freeze();
            }
            self.offset += 1;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["rules", ref options @ ..] => {
                    let text: String = lines.by_ref().take_while(|l| *l != "end").map(|l| format!("{l}\n")).collect();
                    self.load(&text, options, &mut out);
                }
                ["suspend"] => self.rules.suspend_absence(true),
                ["resume"] => self.rules.suspend_absence(false),
                ["silent", ..] => self.store.silent.push(labels(line.trim_start_matches("silent "))),
                ["show", "series"] => self.show_series = true,
                ["show", "alerts"] => self.alerts(&mut out),
                ["show", "groups"] => self.groups(&mut out),
                ["jump", to] => {
                    let to = self.time(to);
                    self.advance(to, &mut out);
                }
                [at] => {
                    let at = self.time(at);
                    self.step_to(at, &mut out);
                }
                [at, .., value] => {
                    let name = line[at.len()..line.len() - value.len()].trim();
                    let at = self.time(at);
                    self.sample(at, &labels(name), sample(at, value), &mut out);
                }
                [] => {}
            }
        }
        out
    }

    fn time(&mut self, text: &str) -> Millis {
        self.zero.expect("rules come first").plus(duration(text))
    }

    /// Writes what was frozen some commands ago, if anything was, and freezes what is there now.
    fn freeze(&mut self) {
        for (_, table) in self.rules.tables() {
            let mut w = Writer::default();
            while let Some(number) = table.write_frozen(&mut w) {
                let then = &self.frozen[number as usize];
                assert!(core::mem::take(&mut w).into_bytes() == **then, "rule {number} as it was when it was frozen");
            }
            let page = |number| {
                table.write_page(number, &mut w);
                core::mem::take(&mut w).into_bytes().into()
            };
            self.frozen = (0..table.page_count()).map(page).collect();
            table.freeze();
        }
    }

    fn restore(&mut self) {
        let (rest, mut pages) = written(&mut self.rules);
        let before = (rest.clone(), pages.clone());
        let mut r = Reader::new(&rest);
        self.rules = Rules::read(&mut r, &mut pages).expect("it was just written");
        assert_eq!((r.left(), pages.left()), (0, None));
        assert!(written(&mut self.rules) == before, "a state has one form");
    }

    fn load(&mut self, text: &str, options: &[&str], out: &mut String) {
        let mut files =
            RuleFiles { files: vec![RuleFile { name: "t.yml".into(), text: text.into() }], ..RuleFiles::default() };
        for option in options {
            match option.split_once('=') {
                Some(("external_url", value)) => files.external_url = value.into(),
                Some(("dry_run", group)) => files.dry_run.push(group.into()),
                Some((name, value)) => files.external_labels.push((name.into(), value.into())),
                None if *option == "stream" => files.default_evaluation = Evaluation::Stream,
                None => panic!("{option}: an option of rules"),
            }
        }
        let mut transitions = Vec::new();
        let cause = self.cause();
        let loaded = self.rules.load(&files, self.now, cause, &mut self.store, &mut transitions);
        if let (None, Some(first)) = (self.zero, self.rules.groups().first()) {
            self.zero = Some(first.next_at);
        }
        match loaded {
            Ok(force) => {
                self.store.serve(&self.rules);
                writeln!(out, "in force: {} groups, {} alerts, {} records", force.groups, force.alerts, force.records)
                    .unwrap();
                assert_eq!(force.unknown_count, force.unknown.len() as u64);
                for UnknownRule { group, rule, until } in &force.unknown {
                    writeln!(out, "  {group}, {rule}: unknown until {}", self.since(*until)).unwrap();
                }
            }
            Err(refused) => {
                writeln!(out, "refused: {}:{}: {}", refused.file, refused.line, refused.reason).unwrap();
            }
        }
        self.print(transitions, out);
    }

    fn advance(&mut self, to: Millis, out: &mut String) {
        let mut transitions = Vec::new();
        let cause = self.cause();
        self.rules.advance(to, cause, &mut self.store, &mut transitions);
        self.now = to;
        self.print(transitions, out);
    }

    /// Does what is due up to `to`, one instant at a time, as the engine does.
    pub fn step_to(&mut self, to: Millis, out: &mut String) {
        while let Some(due) = self.rules.due().filter(|due| *due <= to) {
            self.advance(due, out);
        }
        self.now = to;
    }

    /// A sample comes in: timers before it first, then the sample, then what it touches.
    pub fn sample(&mut self, at: Millis, labels: &Labels, sample: Sample, out: &mut String) {
        self.step_to(at.plus(-1), out);
        self.store.silent.retain(|silent| silent != labels);
        let (touched, series) = self.store.push(labels, sample);
        let cause = self.cause();
        let mut transitions = Vec::new();
        for selector in touched {
            self.rules.touch_all(&[selector], &[series], at, cause, &self.store, &mut transitions);
        }
        self.now = at;
        self.print(transitions, out);
    }

    fn since(&self, at: Millis) -> String {
        let ms = at.since(self.zero.unwrap_or(START));
        let text = format!("{}.{:03}", ms.abs() / 1000, ms.abs() % 1000);
        format!("{}{}s", if ms < 0 { "-" } else { "" }, text.trim_end_matches('0').trim_end_matches('.'))
    }

    fn print(&mut self, transitions: Vec<Transition>, out: &mut String) {
        // What is shown is kept from one time to the next, and yet as it stands.
        assert_eq!(format!("{:?}", self.rules.shown()), format!("{:?}", self.rules.groups()));
        for t in &transitions {
            assert_eq!(Transition::from_bytes(&t.to_bytes()).as_ref(), Ok(t));
            let (from, to) = (t.from.word(), t.to.word());
            write!(
                out,
                "{} {from} -> {to} {} = {}, since {}",
                self.since(t.at),
                t.labels,
                t.value,
                self.since(t.active_at)
            )
            .unwrap();
            let again =
                if t.occurrence.ordinal > 0 { format!(", time {}", t.occurrence.ordinal + 1) } else { String::new() };
            write!(out, ", of record {}{again}", t.occurrence.began.offset).unwrap();
            if t.dry_run {
                out.push_str(", dry run");
            }
            for (name, text) in &t.annotations {
                write!(out, ", {name} {text:?}").unwrap();
            }
            out.push('\n');
        }
        self.all.extend(transitions);
        self.written.extend(self.store.appended.iter().cloned());
        for (labels, sample) in core::mem::take(&mut self.store.appended) {
            if self.show_series {
                let value = if sample.is_stale() { "stale".into() } else { sample.value().to_string() };
                writeln!(out, "  {} {labels} {value}", self.since(sample.time())).unwrap();
            }
        }
    }

    fn alerts(&self, out: &mut String) {
        for a in self.rules.active() {
            write!(out, "{} {} = {}, since {}", a.state.word(), a.labels, a.value, self.since(a.active_at)).unwrap();
            if let Some(since) = a.silent_since {
                write!(out, ", silent since {}", self.since(since)).unwrap();
            }
            if let Some(since) = a.keep_firing_since {
                write!(out, ", kept since {}", self.since(since)).unwrap();
            }
            out.push('\n');
        }
    }

    fn groups(&self, out: &mut String) {
        for g in self.rules.groups() {
            let last = g.last_at.map_or("never".into(), |at| self.since(at));
            writeln!(
                out,
                "group {} {}: last {last}, next {}, missed {}",
                g.file,
                g.name,
                self.since(g.next_at),
                g.missed
            )
            .unwrap();
            for r in &g.rules {
                let state = r.alerting.as_ref().map_or("record", |a| a.state.word());
                let (record, explained) = (&r.record, r.explain());
                let (n, failures) = (record.evaluations, record.failures);
                write!(
                    out,
                    "  {} {state}, {:?}, {n} evaluations, {failures} failed, {explained}",
                    r.name, record.health
                )
                .unwrap();
                if let Some(until) = r.unknown_until {
                    write!(out, ", unknown until {}", self.since(until)).unwrap();
                }
                if let Some(error) = &record.last_error {
                    write!(out, ": {error}").unwrap();
                }
                out.push('\n');
            }
        }
    }
}

/// Blocks of a story: commands and the answer told.
pub fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().peekable();
    while lines.peek().is_some() {
        let commands: String = lines.by_ref().take_while(|l| *l != "----").map(|l| format!("{l}\n")).collect();
        let answer: String = lines.by_ref().take_while(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
        blocks.push((commands, answer));
    }
    blocks
}

fn written(rules: &mut Rules) -> (Vec<u8>, PageBytes) {
    let mut w = Writer::default();
    rules.write_rest(&mut w);
    (w.into_bytes(), PageBytes::of(rules.tables()))
}
