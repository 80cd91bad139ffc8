//! Room in the inlet, held before there is a record: for bodies being read, and for what they will weigh once decoded.
//!
//! The two bounds are apart. Were they one, bodies that arrive faster than they are decoded could fill it, and each would be
//! refused when it is whole: all is read, nothing is taken.
use super::{Inlet, Refused, Shared};
use std::sync::Arc;

/// Room for a record that is not decoded yet. Dropped, it is given back.
pub struct Room {
    pub(super) size: usize,
    pub(super) shared: Arc<Shared>,
}

/// Room for a body that is being read, within [`super::Limits::reading`]. Dropped, it is given back.
pub struct ReadingRoom {
    size: usize,
    shared: Arc<Shared>,
}

impl Inlet {
    /// Room for one record of telemetry that will weigh about `size` bytes once decoded, to be handed in with
    /// [`Inlet::submit_in`]. Of more than there may ever be, that much is held: what it weighs is not known yet.
    pub fn reserve(&self, size: usize) -> Result<Room, Refused> {
        let size = size.min(self.shared.limits.telemetry_bytes());
        self.shared.admit(size, true)?;
        Ok(Room { size, shared: Arc::clone(&self.shared) })
    }

    /// Room for a body of which nothing was read yet: none, until it grows.
    pub fn reading(&self) -> ReadingRoom {
        ReadingRoom { size: 0, shared: Arc::clone(&self.shared) }
    }

    /// Bytes of bodies being read now.
    pub fn reading_bytes(&self) -> usize {
        self.shared.lock().reading
    }
}

impl Room {
    /// Holds `size` instead. Fails, and holds what it held, where there is no room for the difference.
    pub(super) fn correct(&mut self, size: usize) -> Result<(), Refused> {
        let limits = &self.shared.limits;
        let limit = limits.telemetry_bytes();
        if size > limit {
            return Err(Refused::TooLarge { size, limit });
        }
        let mut state = self.shared.lock();
        // Giving back is always right, also where our own records have passed telemetry's share meanwhile.
        if size > self.size && state.bytes - self.size + size > limit {
            return Err(Refused::Full { retry_after: limits.retry_after });
        }
        state.bytes = state.bytes - self.size + size;
        drop(state);
        self.size = size;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.bytes -= self.size;
        state.count -= 1;
    }
}

impl ReadingRoom {
    /// Bytes held.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Holds `size` bytes in all, at least as many as before. Fails, and holds what it held, where there is no room.
    pub fn grow(&mut self, size: usize) -> Result<(), Refused> {
        let limits = &self.shared.limits;
        let more = size.saturating_sub(self.size);
        if size > limits.reading {
            return Err(Refused::TooLarge { size, limit: limits.reading });
        }
        let mut state = self.shared.lock();
        if state.stopping {
            return Err(Refused::Stopping);
        }
        if state.reading + more > limits.reading {
            return Err(Refused::Full { retry_after: limits.retry_after });
        }
        state.reading += more;
        self.size += more;
        Ok(())
    }
}

impl Drop for ReadingRoom {
    fn drop(&mut self) {
        self.shared.lock().reading -= self.size;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LIMITS, at, telemetry};
    use super::super::{inlet, weight};
    use super::*;
    use std::time::Duration;

    const FULL: Refused = Refused::Full { retry_after: LIMITS.retry_after };

    fn refused<T>(result: Result<T, Refused>) -> Refused {
        result.err().expect("it is refused")
    }

    #[test]
    fn room_is_given_back_on_drop_and_corrected_to_the_weight() {
        let (inlet, intake) = inlet(LIMITS);
        let share = LIMITS.telemetry_bytes();
        let whole = inlet.reserve(usize::MAX).expect("an idle inlet has room for anything");
        assert_eq!(inlet.load(), (share, 1));
        assert_eq!(refused(inlet.reserve(1)), FULL);
        assert_eq!(inlet.offer(telemetry(10)).err(), Some(FULL));
        drop(whole);
        assert_eq!(inlet.load(), (0, 0));

        let (small, large) = (telemetry(10), telemetry(1_000));
        let (room, more) = (inlet.reserve(100_000).unwrap(), inlet.reserve(1).unwrap());
        let expected = weight(&small) + weight(&large);
        let pending = [inlet.offer_in(room, small).unwrap(), inlet.offer_in(more, large).unwrap()];
        assert_eq!(inlet.load(), (expected, 2), "down and up");
        for submitted in intake.take_group(Duration::ZERO, usize::MAX, usize::MAX) {
            submitted.reply.send(Ok(at(1)));
        }
        assert_eq!((inlet.load(), pending.map(|p| p.wait())), ((0, 0), [Ok(at(1)), Ok(at(1))]));

        let (_rest, tight) = (inlet.reserve(share - 1_000).unwrap(), inlet.reserve(10).unwrap());
        assert_eq!(inlet.offer_in(tight, telemetry(1_000)).err(), Some(FULL), "no room for the difference");
        assert_eq!(inlet.load(), (share - 1_000, 1), "nothing of it is kept");
        let wrong = inlet.reserve(10).unwrap();
        assert!(matches!(inlet.offer_in(wrong, telemetry(2 << 20)), Err(Refused::TooLarge { .. })));
        let late = inlet.reserve(10).unwrap();
        inlet.stop();
        assert_eq!(inlet.offer_in(late, telemetry(1)).err(), Some(Refused::Stopping));
        assert_eq!(refused(inlet.reserve(1)), Refused::Stopping);
        assert_eq!(refused(inlet.reading().grow(1)), Refused::Stopping);
    }

    #[test]
    fn bodies_being_read_have_a_bound_of_their_own() {
        let (inlet, _intake) = inlet(LIMITS);
        let (mut first, mut second) = (inlet.reading(), inlet.reading());
        first.grow(LIMITS.reading - 100).unwrap();
        second.grow(100).unwrap();
        second.grow(50).unwrap();
        assert_eq!((second.size(), inlet.reading_bytes(), inlet.load()), (100, LIMITS.reading, (0, 0)));
        assert_eq!((refused(second.grow(101)), second.size()), (FULL, 100));
        drop(first);
        second.grow(LIMITS.reading).unwrap();
        assert!(matches!(second.grow(LIMITS.reading + 1), Err(Refused::TooLarge { .. })));
        inlet.reserve(usize::MAX).expect("what is read takes no room of what is decoded");
        drop(second);
        assert_eq!(inlet.reading_bytes(), 0);
    }

    #[test]
    fn no_bound_is_passed_by_many_threads() {
        let (inlet, _intake) = inlet(LIMITS);
        let share = LIMITS.telemetry_bytes();
        std::thread::scope(|scope| {
            for thread in 1..=4_usize {
                let inlet = inlet.clone();
                scope.spawn(move || {
                    let (mut rooms, mut refused) = (Vec::new(), 0);
                    for round in 0..5_000_usize {
                        let size = (round * thread * 7_919) % 200_000;
                        let mut reading = inlet.reading();
                        let grown = reading.grow(size).is_ok();
                        match inlet.reserve(size) {
                            Ok(mut room) => {
                                let corrected = room.correct(size / 2 + 50_000);
                                refused += usize::from(corrected.is_err() || !grown);
                                rooms.push((room, reading));
                            }
                            Err(_full) => refused += 1,
                        }
                        if round % 3 == 0 {
                            rooms.pop();
                        }
                        let (bytes, count) = inlet.load();
                        assert!(bytes <= share && count <= LIMITS.count && inlet.reading_bytes() <= LIMITS.reading);
                    }
                    assert!(refused > 0, "the bound was never met");
                });
            }
        });
        assert_eq!((inlet.load(), inlet.reading_bytes()), ((0, 0), 0));
    }
}
