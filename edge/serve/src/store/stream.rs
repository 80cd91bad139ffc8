//! Decisions as they become durable, to everyone who listens; who does not keep up is told so and dropped.
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Listeners at one time.
pub const LISTENERS_MAX: usize = 64;
/// Decisions that may wait for one listener.
pub const QUEUE_MAX: usize = 1_024;

/// Everyone who listens.
#[derive(Default)]
pub(crate) struct Listeners {
    list: Mutex<Vec<Listener>>,
}

struct Listener {
    queue: mpsc::Sender<Bytes>,
    lagged: Arc<AtomicBool>,
}

/// One listener's end.
pub(crate) struct Listening {
    queue: mpsc::Receiver<Bytes>,
    lagged: Arc<AtomicBool>,
}

impl Listeners {
    /// A new listener, who hears what is told from now on; `None` where there are too many.
    pub fn listen(&self) -> Option<Listening> {
        let mut list = self.list.lock().expect("no holder panics");
        list.retain(|listener| !listener.queue.is_closed());
        if list.len() == LISTENERS_MAX {
            return None;
        }
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let lagged = Arc::new(AtomicBool::new(false));
        list.push(Listener { queue: sender, lagged: Arc::clone(&lagged) });
        Some(Listening { queue, lagged })
    }

    /// Tells everyone; `text` is only called where anyone listens. Never waits.
    pub fn tell(&self, text: impl FnOnce() -> Bytes) {
        let mut list = self.list.lock().expect("no holder panics");
        if list.is_empty() {
            return;
        }
        let text = text();
        list.retain(|listener| match listener.queue.try_send(text.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                listener.lagged.store(true, Ordering::Release);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }

    /// Ends every stream; who listens again hears again.
    pub fn end(&self) {
        self.list.lock().expect("no holder panics").clear();
    }
}

impl Listening {
    /// The next text; `None` after the last.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.queue.poll_recv(context)
    }

    /// Whether the texts ended because they were not taken quickly enough.
    pub fn lagged(&self) -> bool {
        self.lagged.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_listener_is_dropped_and_the_others_are_not() {
        let listeners = Listeners::default();
        listeners.tell(|| unreachable!("nobody listens"));
        let (mut slow, mut quick) = (listeners.listen().unwrap(), listeners.listen().unwrap());
        for _ in 0..=QUEUE_MAX {
            listeners.tell(|| Bytes::from_static(b"x"));
            assert!(quick.queue.try_recv().is_ok());
        }
        let heard = std::iter::from_fn(|| slow.queue.try_recv().ok()).count();
        assert_eq!((heard, slow.lagged(), quick.lagged()), (QUEUE_MAX, true, false));
        assert!(slow.queue.is_closed() && !quick.queue.is_closed());
    }

    #[test]
    fn listeners_are_bounded_and_make_room_when_they_go() {
        let listeners = Listeners::default();
        let mut all: Vec<Listening> = std::iter::from_fn(|| listeners.listen()).collect();
        assert_eq!(all.len(), LISTENERS_MAX);
        all.pop();
        assert!(listeners.listen().is_some());
    }
}
