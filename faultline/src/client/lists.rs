//! Lists for people: incidents, and what was refused.
use super::shape::{Shape, apart, listed, shortened};
use crate::render::{Paint, table};

/// Services named in a row.
const SERVICES_SHOWN: usize = 3;
/// Bytes shown of a refused body.
const BYTES_SHOWN: usize = 16;

/// A table whose headings stand back.
pub fn headed(headings: &[&str], rows: &[Vec<String>], paint: Paint) -> String {
    let text = table(headings, rows);
    match text.split_once('\n') {
        Some((first, rest)) => format!("{}\n{rest}", paint.dim(first)),
        None => text,
    }
}

/// Incidents, newest first as the server gives them.
///
/// - `now`: rule time in ms, until which open incidents have lasted.
pub fn incidents(answer: Shape<'_>, now: Option<i64>, paint: Paint) -> String {
    let rows: Vec<Vec<String>> = answer.at("incidents").list().map(|row| incident(row, now)).collect();
    if rows.is_empty() {
        return "No incident has opened. `faultline status` shows what comes in.\n".to_string();
    }
    let newest = rows[0][0].clone();
    let headings = ["ID", "STATE", "OPENED (UTC)", "LASTED", "FIRING", "SERVICES", "CAUSE"];
    let open = answer.at("open").figure();
    format!("{}\n{open} open. `faultline why {newest}` explains the newest.\n", headed(&headings, &rows, paint))
}

fn incident(row: Shape<'_>, now: Option<i64>) -> Vec<String> {
    let mut state = row.at("state").text_or("?");
    if row.at("merged_into").is_there() {
        state = format!("merged into {}", row.at("merged_into").text());
    }
    if row.at("imported").flag() {
        state.push_str(" (imported)");
    }
    Vec::from([
        row.at("id").text_or("?"),
        state,
        row.at("opened_at").moment(),
        lasted(row, now).map_or("-".to_string(), apart),
        format!("{} of {}", row.at("firing").figure(), row.at("alerts").figure()),
        shortened(&listed(&row.at("entities").texts(), SERVICES_SHOWN), 60),
        cause(row),
    ])
}

/// From an incident's opening to its end or, where it is open, to now, in ms.
pub fn lasted(incident: Shape<'_>, now: Option<i64>) -> Option<i64> {
    let opened = incident.at("opened_at").time()?;
    let open = incident.at("state").text() == "open";
    let end = incident.at("resolved_at").time().or(now.filter(|_| open))?;
    Some(end.saturating_sub(opened).max(0))
}

fn cause(row: Shape<'_>) -> String {
    let cause = row.at("cause");
    if row.at("unknown").flag() {
        "unknown".to_string()
    } else if cause.is_there() {
        let entity = shortened(&cause.at("entity").text_or("?"), 40);
        format!("{entity}, {}, {}", cause.at("kind").text_or("?"), cause.at("posterior").percent())
    } else {
        "no verdict yet".to_string()
    }
}

/// What was refused, newest first as the server gives it: of records, then what never became one.
pub fn rejects(answer: Shape<'_>, paint: Paint) -> String {
    let headings = |first| [first, "SEEN (UTC)", "REASON", "COUNT", "FROM", "BODY", "FIRST BYTES", "", "DETAIL"];
    let mut parts = Vec::new();
    if let Some(reasons) = counted(answer.at("counts")) {
        let rows: Vec<Vec<String>> =
            answer.at("rejects").list().map(|row| reject(row, row.at("position").text_or("?"))).collect();
        let table = headed(&headings("RECORD"), &rows, paint);
        parts.push(format!("Refused since the start: {reasons}.\n\n{table}"));
    }
    if let Some(reasons) = counted(answer.at("turned_away_counts")) {
        let rows: Vec<Vec<String>> =
            answer.at("turned_away").list().map(|row| reject(row, "none".to_string())).collect();
        let table = headed(&headings("RECORD"), &rows, paint);
        parts.push(format!(
            "Turned away before they were records (requests; no journal holds them): {reasons}.\n\n{table}"
        ));
    }
    if parts.is_empty() {
        return "Nothing was refused since the start.\n".to_string();
    }
    parts.join("\n")
}

/// Counts by reason in one line; none where there are none.
fn counted(counts: Shape<'_>) -> Option<String> {
    let reasons: Vec<String> = counts.fields().map(|(reason, count)| format!("{} {reason}", count.figure())).collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

/// - `record`: where its record stands, in words.
fn reject(row: Shape<'_>, record: String) -> Vec<String> {
    let source = row.at("source");
    let who = match (source.at("listener").text(), source.at("peer").text()) {
        (listener, peer) if listener.is_empty() && peer.is_empty() => shortened(&source.at("id").text_or("-"), 12),
        (listener, peer) => format!("{listener} {peer}"),
    };
    let bytes = unhex(&row.at("body_start_hex").text());
    let start = &bytes[..bytes.len().min(BYTES_SHOWN)];
    let hex: Vec<String> = start.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
    Vec::from([
        record,
        row.at("seen_at").moment(),
        row.at("reason").text_or("?"),
        row.at("count").figure(),
        who,
        row.at("body_size").whole().map_or("-".to_string(), |size| format!("{size} B")),
        if hex.is_empty() { "-".to_string() } else { hex.join(" ") },
        start.iter().map(shown).collect(),
        shortened(&row.at("detail").text(), 80),
    ])
}

/// Bytes of a hexadecimal text, up to the first that is none.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map_while(|pair| Some((digit(&pair[0])? << 4 | digit(&pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::shape::tests::{plain, served, without_each_field};
    use serde_json::{Value, json};

    fn shown(value: &Value) -> String {
        let now = Shape::of(&json!("2026-11-21T00:56:16.050Z")).time();
        plain(&incidents(Shape::of(value), now, Paint::stdout()))
    }

    #[test]
    fn incidents_are_a_row_each() {
        let value = json!({"open": 1, "incidents": [
            {"id": "0/812.3", "state": "open", "opened_at": "2026-11-21T00:54:16.050Z", "resolved_at": null,
             "entities": ["a", "b", "c", "d\nX"], "alerts": 4, "firing": 3, "unknown": false,
             "cause": {"entity": "mainframe", "kind": "stopped", "posterior": 0.9375}},
            {"id": "0/90.1", "state": "resolved", "opened_at": "2026-11-21T00:04:16.050Z",
             "resolved_at": "2026-11-21T00:05:16.050Z", "entities": ["a"], "alerts": 1, "firing": 0, "unknown": true,
             "cause": {"entity": "a", "kind": "slow", "posterior": 0.2}},
            {"id": "0/81.0", "state": "merged", "merged_into": "0/7.1", "opened_at": "2026-11-21T00:04:16.050Z",
             "entities": [], "alerts": 1, "firing": 0, "imported": true, "cause": null}
        ]});
        let expected = "\
ID       STATE                          OPENED (UTC)         LASTED       FIRING  SERVICES            CAUSE
0/812.3  open                           2026-11-21 00:54:16  2 min 0 s    3 of 4  a, b, c and 1 more  mainframe, stopped, 93.8 %
0/90.1   resolved                       2026-11-21 00:04:16  1 min 0 s    0 of 1  a                   unknown
0/81.0   merged into 0/7.1 (imported)   2026-11-21 00:04:16  -            0 of 1                      no verdict yet

1 open. `faultline why 0/812.3` explains the newest.
";
        let squeezed =
            |text: &str| text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
        assert_eq!(squeezed(&shown(&value)), squeezed(expected));
        without_each_field(&value, &mut |value| assert!(!shown(value).is_empty()));
        assert!(shown(&json!({"open": 0, "incidents": []})).starts_with("No incident has opened."));
        assert!(shown(&served(include_str!("../../../edge/serve/tests/golden/incidents.txt"))).contains(
            "0/11.2  open   2026-11-21 00:54:16  2 min 0 s  2 of 2  gateway, payments  mainframe, stopped, 93.8 %\n"
        ));
    }

    #[test]
    fn rejects_show_their_first_bytes() {
        let value = json!({"counts": {"bad-protobuf": 2, "cardinality": 1300}, "rejects": [
            {"position": "0/9", "seen_at": "2026-11-21T00:54:16.050Z", "reason": "bad-protobuf", "count": 2,
             "detail": "field 3 at byte 7", "source": {"id": "03", "listener": "otlp-http", "peer": "127.0.0.1"},
             "body_size": 5000, "body_start_hex": "0a1b7b22617d0102030405060708090a0b0c"},
            {"position": "0/8", "reason": "cardinality", "count": 1300, "detail": "", "source": null, "body_size": null,
             "body_start_hex": "zz"}
        ]});
        let text = |value: &Value| plain(&rejects(Shape::of(value), Paint::stdout()));
        let expected = "\
Refused since the start: 2 bad-protobuf, 1,300 cardinality.

RECORD  SEEN (UTC)           REASON        COUNT  FROM                 BODY    FIRST BYTES                                                        DETAIL
0/9     2026-11-21 00:54:16  bad-protobuf  2      otlp-http 127.0.0.1  5000 B  0a 1b 7b 22 61 7d 01 02 03 04 05 06 07 08 09 0a  ..{\"a}..........  field 3 at byte 7
0/8     -                    cardinality   1,300  -                    -       -
";
        assert_eq!(text(&value), expected);
        without_each_field(&value, &mut |value| assert!(!text(value).is_empty()));
        assert_eq!(text(&json!({"counts": {}, "rejects": []})), "Nothing was refused since the start.\n");
        let away = text(&served(include_str!("../../../edge/serve/tests/golden/rejects_turned_away.txt")));
        for part in [
            "\n\nTurned away before they were records (requests; no journal holds them): 1 content-type, 2 too-large.\n\n",
            "none    2026-11-21 00:54:16  too-large  2      otlp-http 10.0.0.7  314572800 B  0a ff        ..  send smaller \"batches\"\n",
        ] {
            assert!(away.contains(part), "{part:?} is not in\n{away}");
        }
        let real = text(&served(include_str!("../../../edge/serve/tests/golden/rejects.txt")));
        assert!(real.contains("0/9     -           cardinality  3      otlp-grpc 127.0.0.1"), "{real}");
    }
}
