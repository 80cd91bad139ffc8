//! Watermarks: future-stamped and idle sources, counts, catching up after a start.
use bytes::Bytes;
use faultline_formats::{Decoded, Events, LogEvent, Text};
use faultline_model::table::PageBytes;
use faultline_model::{
    BodyDigest, Clock, Encoding, EventTime, Format, Kind, Millis, Payload, Reader, SourceId, SourceName, TenantId,
    Writer,
};
use faultline_observe::Sources;

/// A body of log records at these times, in ms.
fn body(source: u8, times: &[i64]) -> Decoded {
    let kind = Kind::Telemetry {
        source: SourceId([source; 16]),
        format: Format::OtlpLogs,
        encoding: Encoding::Identity,
        clock: Clock::Live,
    };
    let log = |&ms: &i64| LogEvent {
        resource: 0,
        time: EventTime(ms * 1_000_000),
        severity: 9,
        kind: 0,
        line: 0,
        event: Text::default(),
    };
    let events = Events { logs: times.iter().map(log).collect(), ..Events::default() };
    let payload = Payload { tenant: TenantId(0), kind, body: Bytes::new() };
    Decoded { payload, digest: BodyDigest::default(), plain: Bytes::new(), events, rejects: Vec::new() }
}

#[test]
fn neither_an_idle_nor_a_future_stamped_source_moves_the_whole() {
    let mut sources = Sources::default();
    sources.observe(&body(2, &[100_000, 90_000]), Millis(100_500));
    sources.observe(&body(1, &[50_000, 100_500 + 600_001]), Millis(100_500));
    let all: Vec<_> = sources.iter().map(|s| (s.id.0[0], s.watermark.map(|w| w.0), s.logs, s.future)).collect();
    assert_eq!(all, [(1, Some(50_000), 2, 1), (2, Some(100_000), 2, 0)]);
    assert_eq!(sources.watermark(Millis(100_500)), Some(Millis(50_000)));
    assert_eq!(sources.iter().next().and_then(|s| s.lag_ms(Millis(100_500))), Some(50_500));
    // Source 1 goes quiet; after five minutes it no longer holds the whole back.
    sources.observe(&body(2, &[400_400]), Millis(400_500));
    assert_eq!(sources.watermark(Millis(400_500)), Some(Millis(50_000)));
    assert_eq!(sources.watermark(Millis(400_501)), Some(Millis(400_400)));
    sources.name(SourceName { id: SourceId([2; 16]), listener: "otlp-grpc".into(), peer: "10.0.0.7".into() });
    assert_eq!(sources.iter().last().map(|s| s.peer.as_str()), Some("10.0.0.7"));
    let (rest, pages) = state(&mut sources);
    assert_eq!(state(&mut restored(&mut sources)), (rest, pages));
}

fn state(sources: &mut Sources) -> (Vec<u8>, PageBytes) {
    let mut w = Writer::default();
    sources.write_rest(&mut w);
    (w.into_bytes(), PageBytes::of(sources.tables()))
}

fn restored(sources: &mut Sources) -> Sources {
    let (rest, mut pages) = state(sources);
    Sources::read(&mut Reader::new(&rest), &mut pages).expect("it was just written")
}

#[test]
fn absence_waits_for_the_sources_that_were_sending() {
    let start = Millis(9_000_000);
    for (sent, now, caught_up) in
        [(&[][..], 9_000_100, false), (&[2], 9_000_100, false), (&[2, 3], 9_000_100, true), (&[2], 9_120_000, true)]
    {
        let mut sources = Sources::default();
        sources.observe(&body(1, &[1]), Millis(1));
        sources.observe(&body(2, &[1_000_000]), Millis(1_000_000));
        sources.observe(&body(3, &[1_000_000]), Millis(1_000_000));
        // Source 1 was idle when the process ended: nobody waits for it.
        sources.started();
        let mut sources = restored(&mut sources);
        for &source in sent {
            sources.observe(&body(source, &[9_000_000]), Millis(9_000_050));
        }
        assert_eq!(sources.caught_up(start, Millis(now)), caught_up, "{sent:?} at {now}");
    }
}
