//! What happens in a simulated life, one event after another: drawn from a seed, kept as text, and left out one by one when
//! a failure is made small.
//!
//! An event holds every number it needs, so that any of them can be left out and the others still mean the same.

/// One thing that happens. The numbers of an event are its parameters, in the order in which its text has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// Sender `0` sends a new body of kind `1` with value `2`.
    Send(u64, u64, u64),
    /// Sender `0` sends its `1`-th last body once more, answered or not.
    Again(u64, u64),
    /// Sender `0` goes away before its answers come.
    Gone(u64),
    /// Sender `0` sends again what was refused or never answered.
    Retry(u64),
    /// An operator's record of kind `0` with value `1`: an announced change, other rules, a setting.
    Operator(u64, u64),
    /// One turn of the loop.
    Turn,
    /// The release of the oldest group that waits for the disk.
    Release,
    /// Leaves go into tiles.
    Tiles,
    /// Leaves go into tiles and a signed head.
    Publish,
    /// The digest of a full segment is taken.
    Seal,
    /// The next segment is made ready.
    Prepare,
    /// Checkpoints are written, trims asked for.
    Keep,
    /// An ask is answered: `0` in time, `1` late, `2` twice, `3` never, `4` with another's answer first.
    Explain(u64),
    /// A turn of sink `0`.
    Sink(u64),
    /// The receiver's mood: `0` well, `1` nobody listens, `2` answers 500, `3` takes it and the answer is lost, `4` refuses.
    Receiver(u64),
    /// `0` ms pass.
    Pass(u64),
    /// The wall clock is set ahead by `1` ms, or back where `0` is 1.
    Jump(u64, u64),
    /// The wall clock stands still, or goes on where `0` is 0.
    Freeze(u64),
    /// The disk has room for `0` KiB more.
    Room(u64),
    /// At the `1`-th I/O of its class from now on, fault `0` (see `disk::Fault`) with parameter `2`.
    Fault(u64, u64, u64),
    /// The power is cut: policy `0`, drawn from `1`, torn at sectors of `2` bytes.
    Cut(u64, u64, u64),
    /// The process is killed.
    Kill,
    /// The process is told to end.
    Stop,
    /// While it is down: byte `1` of file `0` of a copy of the disk loses bit `2`.
    Rot(u64, u64, u64),
}

/// Each event's word and how many numbers it has.
const WORDS: &[(&str, usize)] = &[
    ("send", 3),
    ("again", 2),
    ("gone", 1),
    ("retry", 1),
    ("operator", 2),
    ("turn", 0),
    ("release", 0),
    ("tiles", 0),
    ("publish", 0),
    ("seal", 0),
    ("prepare", 0),
    ("keep", 0),
    ("explain", 1),
    ("sink", 1),
    ("receiver", 1),
    ("pass", 1),
    ("jump", 2),
    ("freeze", 1),
    ("room", 1),
    ("fault", 3),
    ("cut", 3),
    ("kill", 0),
    ("stop", 0),
    ("rot", 3),
];

impl Event {
    fn parts(self) -> (&'static str, Vec<u64>) {
        match self {
            Event::Send(a, b, c) => ("send", vec![a, b, c]),
            Event::Again(a, b) => ("again", vec![a, b]),
            Event::Gone(a) => ("gone", vec![a]),
            Event::Retry(a) => ("retry", vec![a]),
            Event::Operator(a, b) => ("operator", vec![a, b]),
            Event::Turn => ("turn", vec![]),
            Event::Release => ("release", vec![]),
            Event::Tiles => ("tiles", vec![]),
            Event::Publish => ("publish", vec![]),
            Event::Seal => ("seal", vec![]),
            Event::Prepare => ("prepare", vec![]),
            Event::Keep => ("keep", vec![]),
            Event::Explain(a) => ("explain", vec![a]),
            Event::Sink(a) => ("sink", vec![a]),
            Event::Receiver(a) => ("receiver", vec![a]),
            Event::Pass(a) => ("pass", vec![a]),
            Event::Jump(a, b) => ("jump", vec![a, b]),
            Event::Freeze(a) => ("freeze", vec![a]),
            Event::Room(a) => ("room", vec![a]),
            Event::Fault(a, b, c) => ("fault", vec![a, b, c]),
            Event::Cut(a, b, c) => ("cut", vec![a, b, c]),
            Event::Kill => ("kill", vec![]),
            Event::Stop => ("stop", vec![]),
            Event::Rot(a, b, c) => ("rot", vec![a, b, c]),
        }
    }

    /// The event's text, one line.
    pub fn text(self) -> String {
        let (word, numbers) = self.parts();
        numbers.iter().fold(word.to_string(), |text, number| format!("{text} {number}"))
    }

    /// Reads a line that [`Event::text`] wrote.
    pub fn parse(line: &str) -> Result<Event, String> {
        let mut words = line.split_whitespace();
        let word = words.next().ok_or("an empty line is no event")?;
        let &(_, count) =
            WORDS.iter().find(|(known, _)| *known == word).ok_or_else(|| format!("`{word}` is no event"))?;
        let numbers: Result<Vec<u64>, _> = words.map(str::parse).collect();
        let n = numbers.map_err(|_| format!("`{line}`: its parameters are not numbers"))?;
        if n.len() != count {
            return Err(format!("`{line}`: {word} takes {count} numbers"));
        }
        Ok(match word {
            "send" => Event::Send(n[0], n[1], n[2]),
            "again" => Event::Again(n[0], n[1]),
            "gone" => Event::Gone(n[0]),
            "retry" => Event::Retry(n[0]),
            "operator" => Event::Operator(n[0], n[1]),
            "turn" => Event::Turn,
            "release" => Event::Release,
            "tiles" => Event::Tiles,
            "publish" => Event::Publish,
            "seal" => Event::Seal,
            "prepare" => Event::Prepare,
            "keep" => Event::Keep,
            "explain" => Event::Explain(n[0]),
            "sink" => Event::Sink(n[0]),
            "receiver" => Event::Receiver(n[0]),
            "pass" => Event::Pass(n[0]),
            "jump" => Event::Jump(n[0], n[1]),
            "freeze" => Event::Freeze(n[0]),
            "room" => Event::Room(n[0]),
            "fault" => Event::Fault(n[0], n[1], n[2]),
            "cut" => Event::Cut(n[0], n[1], n[2]),
            "kill" => Event::Kill,
            "stop" => Event::Stop,
            _ => Event::Rot(n[0], n[1], n[2]),
        })
    }

    /// Whether a process that runs ends here.
    pub fn ends_process(self) -> bool {
        matches!(self, Event::Cut(..) | Event::Kill | Event::Stop | Event::Rot(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_reads_back_from_its_text() {
        for (word, count) in WORDS {
            let line = (0..*count).fold(word.to_string(), |line, number| format!("{line} {}", number + 7));
            let event = Event::parse(&line).expect("it is one of them");
            assert_eq!(event.text(), line);
            assert!(Event::parse(&format!("{line} 1")).is_err(), "{line}: one number too many");
        }
        assert!(Event::parse("frobnicate").is_err() && Event::parse("pass x").is_err() && Event::parse("").is_err());
    }
}
