//! Bytes that nobody should send: cut short, flipped, bombs. Nothing panics, everything stays within its bounds.
use crate::support::{all_labels, decoded, rejects};
use faultline_formats::encode::compress;
use faultline_formats::{Decoded, Reason, Scope, label_sets, limits};
use faultline_model::{Canonical, Encoding, Format, Histogram};
use std::io::Write;

const METRICS: &[u8] = include_bytes!("../fixtures/metrics.bin");
const REFUSED: &[u8] = include_bytes!("../fixtures/refused.bin");
const LOGS: &[u8] = include_bytes!("../fixtures/logs.bin");
const TRACES: &[u8] = include_bytes!("../fixtures/traces.bin");
const WRITE: &[u8] = include_bytes!("../fixtures/write.bin");

/// Every body with every encoding that is worth hurting.
fn bodies() -> Vec<(Format, Encoding, Vec<u8>)> {
    let write = decoded(Format::RemoteWrite1, Encoding::Snappy, WRITE).plain.to_vec();
    let mut bodies = vec![
        (Format::OtlpMetrics, Encoding::Identity, METRICS.to_vec()),
        (Format::OtlpMetrics, Encoding::Identity, REFUSED.to_vec()),
        (Format::OtlpLogs, Encoding::Identity, LOGS.to_vec()),
        (Format::OtlpTraces, Encoding::Identity, TRACES.to_vec()),
        (Format::RemoteWrite1, Encoding::Identity, write),
        (Format::RemoteWrite1, Encoding::Snappy, WRITE.to_vec()),
    ];
    for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Snappy] {
        bodies.push((Format::OtlpMetrics, encoding, compress(METRICS, encoding)));
    }
    bodies
}

/// What must hold of any decoded body at all.
fn check_bounds(decoded: &Decoded) {
    let events = &decoded.events;
    assert!(decoded.plain.len() <= limits::PLAIN_SIZE);
    assert!(events.points.len() <= limits::POINTS && events.resources.len() <= limits::RESOURCES);
    assert!(decoded.rejects.len() <= Reason::ALL.len());
    assert!(decoded.rejects.iter().all(|reject| reject.count > 0 && reject.detail.len() <= limits::DETAIL_SIZE));
    if decoded.rejects.iter().any(|reject| reject.reason.scope() == Scope::Body) {
        assert_eq!(decoded.rejects.len(), 1);
        assert!(
            events.points.is_empty()
                && events.histograms.is_empty()
                && events.logs.is_empty()
                && events.spans.is_empty()
        );
    }
    let labels = all_labels(decoded);
    let places = events.points.iter().map(|point| point.place);
    let mut places: Vec<u32> = places.chain(events.histograms.iter().map(|point| point.place)).collect();
    places.sort();
    assert!(places.iter().zip(0..).all(|(place, expected)| *place == expected));
    assert!(label_sets(decoded, &places).iter().all(|labels| !labels.name().is_empty()));
    for point in &events.histograms {
        let Some(histogram) = &point.histogram else { continue };
        assert_eq!(
            (histogram.validate(), Histogram::from_bytes(&histogram.to_bytes())),
            (Ok(()), Ok((**histogram).clone()))
        );
    }
    for (point, labels) in events.points.iter().zip(&labels) {
        assert!((limits::TIME_MIN..limits::TIME_END).contains(&point.time.0));
        assert!(!labels.name().is_empty() && labels.len() <= limits::LABELS);
    }
    for resource in &events.resources {
        for text in [resource.service, resource.instance, resource.namespace, resource.version, resource.host] {
            assert_eq!(decoded.text(text).len(), text.size as usize);
        }
    }
    assert!(events.logs.iter().all(|log| (log.resource as usize) < events.resources.len() && log.severity <= 24));
    for span in &events.spans {
        assert!((span.resource as usize) < events.resources.len() && span.trace != 0 && span.id != 0);
        assert!(
            span.sampled.weight() >= 1.0 && decoded.text(span.name).len() + decoded.text(span.peer).len() < 1 << 20
        );
    }
}

#[test]
fn every_cut_is_refused_whole_or_ends_between_items() {
    for (format, encoding, body) in bodies() {
        let whole = decoded(format, encoding, body.clone());
        for size in 0..body.len() {
            let cut = decoded(format, encoding, body[..size].to_vec());
            check_bounds(&cut);
            // Between two of the request's own fields a cut cannot be told from a shorter request.
            assert!(whole.events.points.starts_with(&cut.events.points), "{format:?} {encoding:?} at {size}");
            assert!(whole.events.logs.starts_with(&cut.events.logs));
            assert!(whole.events.spans.starts_with(&cut.events.spans));
            let refused = cut.rejects.iter().any(|reject| reject.reason.scope() == Scope::Body);
            assert!(refused || whole.plain.starts_with(&cut.plain));
        }
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let mut bodies = bodies();
    bodies.extend([
        (Format::RemoteWrite1, Encoding::Identity, include_bytes!("../fixtures/native.bin").to_vec()),
        (Format::OtlpMetrics, Encoding::Identity, include_bytes!("../fixtures/exponential.bin").to_vec()),
        (Format::RemoteWrite2, Encoding::Identity, include_bytes!("../fixtures/native2.bin").to_vec()),
        (Format::OtlpMetricsJson, Encoding::Identity, include_bytes!("../fixtures/metrics.json").to_vec()),
    ]);
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = |below: usize| {
        // xorshift64* (Vigna 2016).
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below
    };
    let mut refused = 0;
    for round in 0..20_000 {
        let (format, encoding, mut body) = bodies[round % bodies.len()].clone();
        for _ in 0..=next(3) {
            let bit = next(body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
        }
        let flipped = decoded(format, encoding, body);
        check_bounds(&flipped);
        refused += usize::from(flipped.rejects.iter().any(|reject| reject.reason == Reason::BadProtobuf));
    }
    assert!(refused > 2_000, "{refused}");
}

#[test]
fn bombs_are_refused_while_they_inflate() {
    let zeros = vec![0; 70 << 20];
    let dense_gzip = |plain: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let large = compress(&zeros, Encoding::Gzip);
    let small = dense_gzip(&zeros[..9 << 20]);
    // Many members, each of them harmless: 64 KiB of zeros in about 100 bytes.
    let members = dense_gzip(&zeros[..64 << 10]).repeat(1000);
    let zstd = compress(&zeros[..20 << 20], Encoding::Zstd);
    let identity = vec![0; limits::BODY_SIZE + 1];
    // Declares 4 GiB - 1, then 64 MiB in 40 bytes.
    let huge = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 40]].concat();
    let dense = [&[0x80, 0x80, 0x80, 0x20][..], &[0; 40]].concat();
    for (encoding, body, expected) in [
        (Encoding::Gzip, large, "too-large=1"),
        (Encoding::Gzip, small, "bomb=1"),
        (Encoding::Gzip, members, "bomb=1"),
        (Encoding::Zstd, zstd, "bomb=1"),
        (Encoding::Snappy, huge, "bomb=1"),
        (Encoding::Snappy, dense, "bomb=1"),
        (Encoding::Identity, identity, "too-large=1"),
    ] {
        let decoded = decoded(Format::OtlpMetrics, encoding, body);
        assert_eq!(rejects(&decoded), expected, "{encoding:?} {:?}", decoded.rejects);
        assert!(decoded.plain.is_empty());
    }
}

#[test]
fn a_window_beyond_8_mib_is_refused_before_it_is_allocated() {
    // Magic, descriptor without content size, window descriptor 15 << 3: 2^(10 + 15) bytes (RFC 8878 3.1.1.1.2).
    let body = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x78, 0x01, 0x00, 0x00];
    let refused = decoded(Format::OtlpMetrics, Encoding::Zstd, body.to_vec());
    assert_eq!(rejects(&refused), "bad-encoding=1");
    // The same frame with a window of 2^(10 + 13) is an empty body.
    let mut body = body;
    body[5] = 13 << 3;
    assert_eq!(rejects(&decoded(Format::OtlpMetrics, Encoding::Zstd, body.to_vec())), "");
}

#[test]
fn members_and_frames_may_follow_one_another() {
    let (head, tail) = METRICS.split_at(1000);
    let whole = decoded(Format::OtlpMetrics, Encoding::Identity, METRICS);
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3].to_vec();
    for (encoding, between) in [(Encoding::Gzip, vec![]), (Encoding::Zstd, vec![]), (Encoding::Zstd, skippable)] {
        let body = [compress(head, encoding), between, compress(tail, encoding)].concat();
        let joined = decoded(Format::OtlpMetrics, encoding, body);
        assert!(joined.plain == whole.plain && joined.events == whole.events, "{encoding:?}");
    }
}

#[test]
fn a_wrong_checksum_or_trailing_bytes_refuse_the_body() {
    let mut gzip = compress(METRICS, Encoding::Gzip);
    let trailing = [&gzip[..], b"garbage"].concat();
    let at = gzip.len() - 6;
    gzip[at] ^= 1;
    for body in [gzip, trailing] {
        assert_eq!(rejects(&decoded(Format::OtlpMetrics, Encoding::Gzip, body)), "bad-encoding=1");
    }
}

/// Made by the `zstd` tool with `--check`: three empty resources, and the content's checksum in the last four bytes.
const CHECKED: [u8; 19] =
    [0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x58, 0x31, 0x00, 0x00, 0x0a, 0x00, 0x0a, 0x00, 0x0a, 0x00, 0xe6, 0x86, 0xfd, 0x1f];

#[test]
fn a_zstandard_frame_is_held_to_its_checksum() {
    let zstd = |body: &[u8]| decoded(Format::OtlpMetrics, Encoding::Zstd, body.to_vec());
    let good = zstd(&CHECKED);
    assert_eq!((rejects(&good), good.plain.len()), (String::new(), 6));
    // Each frame is checked over its own content.
    let both = zstd(&[compress(METRICS, Encoding::Zstd), CHECKED.to_vec()].concat());
    assert_eq!((rejects(&both), both.plain.len()), (String::new(), METRICS.len() + 6));
    for at in 15..19 {
        let mut body = CHECKED;
        body[at] ^= 0x10;
        let refused = zstd(&body);
        assert!(refused.rejects[0].detail.contains("does not fit its checksum"), "{:?}", refused.rejects);
        assert_eq!(rejects(&refused), "bad-encoding=1", "byte {at}");
    }
    // The content itself, which would still read as a message.
    let mut body = CHECKED;
    body[13] = 0x12;
    assert_eq!(rejects(&zstd(&body)), "bad-encoding=1");
}
