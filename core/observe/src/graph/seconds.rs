//! Figures of single seconds, the last two minutes of them; only seconds in which something happened take room.
use super::limits::SECONDS;
use alloc::collections::VecDeque;
use faultline_model::{Canonical, CodecError, Reader, Writer};

/// Amounts that add up. Whole numbers, so that the order of spans within a second changes nothing.
pub trait Amounts: Copy + Default + PartialEq + Canonical {
    /// Adds `other`, held at the ends of the range.
    fn add(&mut self, other: &Self);
}

/// Amounts of named whole numbers.
macro_rules! amounts {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: i64,)*
        }
        faultline_model::canonical_struct!($name { $($field),* });
        impl $crate::graph::seconds::Amounts for $name {
            fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }
        }
    };
}
pub(super) use amounts;
amounts! {
    /// What a service did. A correction of an earlier second lies in the second in which it was learned.
    Served {
        /// Requests served.
        requests,
        /// Those that failed.
        failed,
        /// Those that failed without a failed call of their own.
        own_failed,
        /// Time taken, in ns.
        total_ns,
        /// Time taken less the time covered by calls of its own, in ns.
        self_ns,
        /// Log records of severity error and above.
        error_logs,
    }
}
amounts! {
    /// What a client saw of its calls to one service.
    Called {
        /// Calls.
        calls,
        /// Those that failed.
        failed,
        /// Time taken as the client saw it, in ns.
        client_ns,
        /// Calls of which both sides reported.
        pairs,
        /// Client's time less the server's, in ns, of those.
        gap_ns,
    }
}

/// The last [`SECONDS`] seconds in which something happened, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Seconds<A> {
    slots: VecDeque<(i64, A)>,
}

impl<A: Amounts> Seconds<A> {
    /// The amounts of the current second, which is never before an earlier call's.
    pub fn at(&mut self, second: i64) -> &mut A {
        if self.slots.back().is_none_or(|&(last, _)| last < second) {
            while self.slots.front().is_some_and(|&(first, _)| first <= second - SECONDS) {
                self.slots.pop_front();
            }
            self.slots.push_back((second, A::default()));
        }
        &mut self.slots.back_mut().expect("one was just made sure of").1
    }

    /// Whether anything ever happened.
    pub fn any(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Total of the seconds `from..to`.
    pub fn sum(&self, from: i64, to: i64) -> A {
        let mut sum = A::default();
        for (second, amounts) in self.slots.iter().rev().skip_while(|(second, _)| *second >= to) {
            if *second < from {
                break;
            }
            sum.add(amounts);
        }
        sum
    }
}

impl<A: Amounts> Canonical for Seconds<A> {
    fn write(&self, w: &mut Writer) {
        w.array(self.slots.len());
        for (second, amounts) in &self.slots {
            w.array(2);
            w.int(*second);
            amounts.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = r.array()?;
        let mut slots = VecDeque::new();
        for _ in 0..count {
            r.array_of(2)?;
            slots.push_back((r.int()?, A::read(r)?));
        }
        Ok(Seconds { slots })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_minutes_are_kept_and_summed() {
        let mut seconds = Seconds::<Served>::default();
        for second in [10, 10, 11, 50, 129, 130] {
            seconds.at(second).requests += 1;
        }
        for (from, to, requests) in [(0, 200, 4), (11, 51, 2), (12, 50, 0), (129, 131, 2), (10, 11, 0)] {
            assert_eq!(seconds.sum(from, to).requests, requests, "{from}..{to}");
        }
        let bytes = seconds.to_bytes();
        assert_eq!(Seconds::<Served>::from_bytes(&bytes).expect("it was just written").to_bytes(), bytes);
    }
}
