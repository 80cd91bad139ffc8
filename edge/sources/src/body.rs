//! Bodies off the wire: read within bounds, or seen as far as a refusal wants them and then dropped.
//!
//! A client may write its whole body before it looks for an answer. One that is refused meanwhile sees only a closed
//! connection, unless what it goes on to write is read: a bounded amount of it, for a bounded time, beside the answer.
use crate::line::Line;
use crate::receiver::Outcome;
use bytes::{Bytes, BytesMut};
use faultline_formats::limits;
use faultline_host::turned_away::START_SIZE;
use faultline_host::{AwayReason, Inlet, ReadingRoom, Refused};
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::Body;
use std::fmt::Display;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Most bytes that are read and dropped of a refused body.
const DROPPED_MAX: u64 = 256 << 20;
/// Longest time for which that is done.
const DROPPED_FOR: Duration = Duration::from_secs(10);
/// Longest wait for a refused body's first bytes before the refusal is counted without them.
const START_WITHIN: Duration = Duration::from_millis(250);
/// Longest wait for the next bytes of a body.
const NEXT_WITHIN: Duration = Duration::from_secs(10);
/// Longest time for a whole body.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of room that a body takes first; it doubles as more of it arrives. What a sender only declares takes none, so that
/// promises alone keep nobody out.
const STEP: usize = 64 << 10;

/// How much of a body was seen, and what is left of it.
pub struct Seen<B> {
    /// Its first bytes, at most [`START_SIZE`].
    pub start: Bytes,
    /// Its size, as declared or as received; none where neither is known.
    pub size: Option<u64>,
    /// What was not read yet; none where its sender waits for leave to send it.
    rest: Option<B>,
}

impl<B: Body<Data = Bytes> + Unpin> Seen<B> {
    /// A body of which nothing was read.
    pub fn nothing(headers: &HeaderMap, body: B) -> Seen<B> {
        // Reading the body is what tells such a sender to go on (RFC 9110 10.1.1).
        let waits = headers.contains_key(EXPECT);
        Seen { start: Bytes::new(), size: declared(&body), rest: (!waits).then_some(body) }
    }

    /// A body that was read to its end.
    pub fn whole(body: &Bytes) -> Seen<B> {
        Seen { start: start_of(body), size: Some(body.len() as u64), rest: None }
    }

    /// The first bytes of what is no body.
    pub fn start(bytes: &[u8]) -> Seen<B> {
        Seen { start: start_of(bytes), size: None, rest: None }
    }

    /// A body that came to nothing: whatever else of it may come is not read.
    fn given_up(start: Bytes, size: Option<u64>) -> Seen<B> {
        Seen { start, size, rest: None }
    }

    /// The start of a body that is still under way, if it comes within a moment.
    pub async fn begin(&mut self) {
        if let (true, Some(rest)) = (self.start.is_empty(), &mut self.rest)
            && let Ok(Some(Ok(frame))) = timeout(START_WITHIN, rest.frame()).await
            && let Ok(data) = frame.into_data()
        {
            self.start = start_of(&data);
        }
    }

    /// Reads and drops what is left, within bounds.
    pub async fn drop_rest(self) {
        let Some(mut rest) = self.rest else { return };
        let dropping = async {
            let mut left = DROPPED_MAX;
            while let Some(Ok(frame)) = rest.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
                if left == 0 {
                    break;
                }
            }
        };
        // Past the bounds the connection is closed.
        let _late = timeout(DROPPED_FOR, dropping).await;
    }

    /// Whether anything is left to read.
    pub fn is_whole(&self) -> bool {
        self.rest.is_none()
    }
}

/// A whole body, and the room that it holds until what it will weigh is counted.
pub struct Held {
    /// As received.
    pub bytes: Bytes,
    /// Held for them.
    pub room: ReadingRoom,
}

/// A body that cannot be taken.
pub struct Unread<B> {
    /// Why.
    pub reason: AwayReason,
    /// What its sender is told.
    pub told: Outcome,
    /// As much of it as there is.
    pub seen: Seen<B>,
}

impl<B> Unread<B> {
    fn no_room(refused: Refused, seen: Seen<B>) -> Unread<B> {
        let told = Outcome::from(refused);
        let (reason, _text) = told.away().expect("a refusal is never a record");
        Unread { reason, told, seen }
    }
}

/// Reads a whole body of at most [`limits::BODY_SIZE`] bytes and `extra` of framing, within the inlet's bound of what is
/// being read at once, for which it stands in line; a larger one is refused by its declared length, or as soon as more than that has arrived, and one
/// that comes too slowly is given up.
pub async fn read<B>(
    inlet: &Inlet,
    line: &Line,
    headers: &HeaderMap,
    mut body: B,
    extra: usize,
) -> Result<Held, Unread<B>>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let limit = limits::BODY_SIZE + extra;
    let too_large = |seen| Unread {
        reason: AwayReason::TooLarge,
        told: Outcome::TooLarge(format!("the body exceeds {limit} bytes; send smaller batches")),
        seen,
    };
    let size = declared(&body);
    if size.is_some_and(|size| size > limit as u64) {
        return Err(too_large(Seen::nothing(headers, body)));
    }
    let most = size.map_or(limit, |size| size as usize);
    let begun = line.wait(|| {
        let mut room = inlet.reading();
        room.grow(most.min(STEP)).map(|()| room)
    });
    let mut room = match begun.await {
        Ok(room) => room,
        Err(refused) => return Err(Unread::no_room(refused, Seen::nothing(headers, body))),
    };
    let (mut whole, mut only) = (BytesMut::new(), None::<Bytes>);
    let end = Instant::now() + WHOLE_WITHIN;
    loop {
        let so_far = |whole: &[u8], only: &Option<Bytes>| start_of(only.as_deref().unwrap_or(whole));
        let received = whole.len() + only.as_ref().map_or(0, Bytes::len);
        let next = (Instant::now() + NEXT_WITHIN).min(end);
        let data = match timeout_at(next, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_trailers) => continue,
            },
            Ok(Some(Err(error))) => {
                let seen = Seen::given_up(so_far(&whole, &only), Some(size.unwrap_or(received as u64)));
                let told = Outcome::Bad(format!("the body broke off after {received} bytes: {error}"));
                return Err(Unread { reason: AwayReason::BrokenOff, told, seen });
            }
            Err(_late) => {
                let seen = Seen::given_up(so_far(&whole, &only), Some(size.unwrap_or(received as u64)));
                let (next, all) = (NEXT_WITHIN.as_secs(), WHOLE_WITHIN.as_secs());
                let text =
                    format!("after {received} bytes the body came too slowly: {next} s for the next, {all} s for all");
                return Err(Unread { reason: AwayReason::TooSlow, told: Outcome::TooSlow(text), seen });
            }
        };
        let needed = received + data.len();
        let start = |data: &[u8]| if received == 0 { start_of(data) } else { so_far(&whole, &only) };
        if needed > limit {
            return Err(too_large(Seen { start: start(&data), size, rest: Some(body) }));
        }
        if needed > room.size()
            && let Err(refused) = room.grow((2 * room.size()).min(most).max(needed))
        {
            return Err(Unread::no_room(refused, Seen { start: start(&data), size, rest: Some(body) }));
        }
        // A body in one frame, the common case over HTTP/2 with small batches, is not copied.
        if received == 0 {
            only = Some(data);
            continue;
        }
        if whole.capacity() < needed {
            whole.reserve(room.size() - whole.len());
        }
        if let Some(first) = only.take() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Held { bytes: only.unwrap_or_else(|| whole.freeze()), room })
}

/// The length that a body states of itself, if it does.
fn declared(body: &impl Body) -> Option<u64> {
    body.size_hint().exact()
}

/// A copy: a slice would keep the whole body in memory.
pub fn start_of(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&bytes[..bytes.len().min(START_SIZE)])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use faultline_host::{Intake, Limits, inlet};
    use hyper::body::Frame;
    use std::cell::Cell;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll};
    use tokio::time::{Sleep, sleep};

    /// A body of frames of one size, a count of the bytes taken of it, and whether it ends well.
    struct Frames {
        left: usize,
        size: usize,
        taken: Rc<Cell<usize>>,
        breaks: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            if self.left == 0 {
                return Poll::Ready(self.breaks.then_some(Err("reset")));
            }
            self.left -= 1;
            self.taken.set(self.taken.get() + self.size);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; self.size])))))
        }
    }

    /// A body that pauses before each of its bytes and before its end.
    pub(crate) struct Slow {
        left: usize,
        pause: Duration,
        asleep: Pin<Box<Sleep>>,
    }

    impl Slow {
        pub(crate) fn new(bytes: usize, pause: Duration) -> Slow {
            Slow { left: bytes, pause, asleep: Box::pin(sleep(pause)) }
        }
    }

    impl Body for Slow {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            std::task::ready!(self.asleep.as_mut().poll(context));
            let pause = self.pause;
            self.asleep.set(sleep(pause));
            let byte = self.left.checked_sub(1).map(|left| {
                self.left = left;
                Ok(Frame::data(Bytes::from_static(b"x")))
            });
            Poll::Ready(byte)
        }
    }

    /// Runs on a clock that jumps to the next instant that somebody waits for.
    fn run<F: Future>(test: impl FnOnce() -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async { test().await })
    }

    fn roomy() -> (Inlet, Intake) {
        inlet(Limits { bytes: 0, count: 0, reading: 64 << 20, retry_after: Duration::from_secs(3) })
    }

    /// Reads within `inlet`; whole bodies as their bytes, others as why not, what is told and what was seen of them.
    fn read_in<B: Body<Data = Bytes, Error = &'static str> + Unpin>(
        inlet: &Inlet,
        body: impl FnOnce() -> B,
    ) -> Result<Bytes, (AwayReason, String, Seen<B>)> {
        let headers = HeaderMap::new();
        let line = Line::default();
        let result = run(|| read(inlet, &line, &headers, body(), 0));
        result.map(|held| held.bytes).map_err(|unread| (unread.reason, unread.told.text().to_owned(), unread.seen))
    }

    #[test]
    fn what_is_left_of_a_refused_body_is_read_and_dropped_within_bounds() {
        let (inlet, _intake) = roomy();
        let taken = Rc::new(Cell::new(0));
        let frames = |left| Frames { left, size: 1 << 20, taken: taken.clone(), breaks: false };
        let Err((reason, _, seen)) = read_in(&inlet, || frames(200)) else { panic!("200 MiB were taken") };
        assert_eq!((reason, seen.start.len()), (AwayReason::TooLarge, START_SIZE));
        assert_eq!(taken.get(), limits::BODY_SIZE + (1 << 20), "refused as soon as it is too large");
        run(|| seen.drop_rest());
        assert_eq!(taken.get(), 200 << 20, "all of it was read");
        taken.set(0);
        run(|| Seen::nothing(&HeaderMap::new(), frames(10_000)).drop_rest());
        assert_eq!(taken.get() as u64, DROPPED_MAX);
        assert_eq!(read_in(&inlet, || frames(3)).ok().map(|body| body.len()), Some(3 << 20));
        assert_eq!(inlet.reading_bytes(), 0);
    }

    #[test]
    fn a_sender_that_waits_for_leave_is_not_told_to_go_on() {
        let taken = Rc::new(Cell::new(0));
        let headers = HeaderMap::from_iter([(EXPECT, http::HeaderValue::from_static("100-continue"))]);
        let mut seen = Seen::nothing(&headers, Frames { left: 9, size: 9, taken: taken.clone(), breaks: false });
        run(|| seen.begin());
        assert!(seen.is_whole());
        run(|| seen.drop_rest());
        assert_eq!(taken.get(), 0);
    }

    #[test]
    fn a_body_that_breaks_off_is_told_with_what_came_of_it() {
        let (inlet, _intake) = roomy();
        let frames = Frames { left: 1, size: 3, taken: Rc::default(), breaks: true };
        let Err((reason, text, seen)) = read_in(&inlet, || frames) else { panic!("it was taken") };
        assert_eq!((reason, &seen.start[..]), (AwayReason::BrokenOff, &b"xxx"[..]));
        assert_eq!(text, "the body broke off after 3 bytes: reset");
    }

    #[test]
    fn a_slow_body_is_given_up_and_a_steady_one_is_read() {
        let (inlet, _intake) = roomy();
        let slow = |bytes, seconds| read_in(&inlet, move || Slow::new(bytes, Duration::from_secs(seconds)));
        // Bytes, seconds before each of them and the end, how many bytes are read before it is given up.
        for (bytes, pause, given_up) in [(5, 9, None), (3, 11, Some(0)), (50, 9, Some(6)), (59, 1, None)] {
            match (slow(bytes, pause), given_up) {
                (Ok(whole), None) => assert_eq!(whole.len(), bytes),
                (Err((reason, text, seen)), Some(came)) => {
                    assert_eq!((reason, seen.start.len(), seen.is_whole()), (AwayReason::TooSlow, came, true));
                    assert!(text.starts_with(&format!("after {came} bytes")), "{text}");
                }
                (result, _) => panic!("{bytes} bytes every {pause} s: {:?}", result.map_err(|error| error.1)),
            }
            assert_eq!(inlet.reading_bytes(), 0);
        }
    }

    #[test]
    fn bodies_being_read_are_counted_as_they_grow_and_refused_past_the_bound() {
        let (inlet, _intake) = roomy();
        let taken = Rc::new(Cell::new(0));
        let frames = |left| Frames { left, size: 1 << 20, taken: taken.clone(), breaks: false };
        let mut others = inlet.reading();
        others.grow(60 << 20).expect("room");
        assert_eq!(read_in(&inlet, || frames(4)).map(|body| body.len()).ok(), Some(4 << 20));
        let Err((reason, text, seen)) = read_in(&inlet, || frames(9)) else { panic!("it was taken") };
        assert_eq!((reason, &*text), (AwayReason::Busy, "too much is under way; retry in 3000 ms"));
        assert!(!seen.is_whole(), "the rest is read and dropped, so that its sender sees the answer");
        assert_eq!(inlet.reading_bytes(), 60 << 20, "what it held is given back");
        others.grow(64 << 20).expect("room");
        taken.set(0);
        let Err((reason, ..)) = read_in(&inlet, || frames(1)) else { panic!("it was taken") };
        assert_eq!((reason, taken.get()), (AwayReason::Busy, 0), "refused before a byte of it was read");
    }
}
