//! Those who wait for room: first come, first served, and not for long.
use faultline_host::Refused;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

/// How long somebody waits for room before the refusal counts. Short beside the timeouts of senders (10 s for OpenTelemetry's,
/// 30 s for Prometheus'), long beside what it takes to make room: so a burst is taken late instead of being sent twice, and
/// senders that come back at once, whatever they are told, cost what is taken of them and little more.
const WAIT: Duration = Duration::from_millis(500);
/// How often the first in line looks.
const LOOK: Duration = Duration::from_millis(1);

/// A line. Whoever stands in it holds what they hold: a connection, or a body within the bound of those being read.
#[derive(Clone, Debug, Default)]
pub struct Line {
    first: Arc<Mutex<()>>,
}

impl Line {
    /// What `take` gives, as soon as it does; after [`WAIT`] its refusal.
    pub async fn wait<T>(&self, mut take: impl FnMut() -> Result<T, Refused>) -> Result<T, Refused> {
        let until = Instant::now() + WAIT;
        let Ok(_first) = timeout_at(until, self.first.lock()).await else { return take() };
        loop {
            match take() {
                Err(Refused::Full { .. }) if Instant::now() < until => sleep(LOOK).await,
                taken => return taken,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    const FULL: Refused = Refused::Full { retry_after: Duration::from_secs(3) };

    /// Ten come one after the other, room for one comes each 100 ms, and one who is refused otherwise does not wait.
    #[tokio::test(start_paused = true)]
    async fn first_come_first_served_and_nobody_waits_long() {
        let (line, room, began) = (Line::default(), Cell::new(0_u32), Instant::now());
        let ends: RefCell<Vec<(u32, bool, u64)>> = RefCell::default();
        let come = |number: u32| {
            let (line, room, ends) = (&line, &room, &ends);
            async move {
                sleep(Duration::from_millis(u64::from(number))).await;
                let take = || room.get().checked_sub(1).map(|less| room.set(less)).ok_or(FULL);
                let taken = line.wait(take).await.is_ok();
                ends.borrow_mut().push((number, taken, began.elapsed().as_millis() as u64 / 100));
            }
        };
        let make_room = async {
            for _ in 0..20 {
                sleep(Duration::from_millis(100)).await;
                room.set(room.get() + 1);
            }
        };
        let (.., stopping) = tokio::join!(
            make_room,
            come(0),
            come(1),
            come(2),
            come(3),
            come(4),
            come(5),
            come(6),
            line.wait(|| Err::<(), _>(Refused::Stopping))
        );
        assert_eq!(stopping, Err(Refused::Stopping));
        let (taken, refused): (Vec<_>, Vec<_>) = ends.into_inner().into_iter().partition(|(_, taken, _)| *taken);
        let order: Vec<u32> = taken.iter().map(|(number, ..)| *number).collect();
        assert_eq!(order, (0..order.len() as u32).collect::<Vec<u32>>());
        assert!((4..=5).contains(&order.len()) && refused.iter().all(|(.., at)| *at == 5), "{taken:?} {refused:?}");
    }
}
