//! Methods of the times that `toTime` and `toDuration` give: those of Go's `time` that an alert's text has a use for.
use super::functions::{Kind, Signature};
use super::value::{Value, bounded};
use alloc::format;
use alloc::string::String;
use faultline_model::time::civil_from_days;

const NONE: &[Kind] = &[];

static TIME: &[Signature] = &[
    Signature { name: "Format", fixed: &[Kind::Text], more: None },
    Signature { name: "String", fixed: NONE, more: None },
    Signature { name: "Unix", fixed: NONE, more: None },
    Signature { name: "UnixMilli", fixed: NONE, more: None },
    Signature { name: "UTC", fixed: NONE, more: None },
    Signature { name: "Year", fixed: NONE, more: None },
    Signature { name: "Day", fixed: NONE, more: None },
    Signature { name: "Hour", fixed: NONE, more: None },
    Signature { name: "Minute", fixed: NONE, more: None },
    Signature { name: "Second", fixed: NONE, more: None },
];

static DURATION: &[Signature] = &[
    Signature { name: "String", fixed: NONE, more: None },
    Signature { name: "Hours", fixed: NONE, more: None },
    Signature { name: "Minutes", fixed: NONE, more: None },
    Signature { name: "Seconds", fixed: NONE, more: None },
    Signature { name: "Milliseconds", fixed: NONE, more: None },
];

/// The method of a receiver; nothing where it has none of that name.
pub(super) fn signature(receiver: &Value, name: &str) -> Option<&'static Signature> {
    let all = match receiver {
        Value::Time(_) => TIME,
        Value::Duration(_) => DURATION,
        _ => return None,
    };
    all.iter().find(|s| s.name == name)
}

/// Calls a method whose arguments have been checked against its signature.
pub(super) fn call(receiver: &Value, name: &str, args: &[Value]) -> Result<Value, String> {
    let mut text = String::new();
    match (receiver, name, args) {
        (Value::Time(ns), "Format", [Value::Text(layout)]) => {
            let text = format_time(*ns, layout);
            bounded(&text).map(|()| Value::text(&text))
        }
        (Value::Time(ns), name, _) if name != "String" => {
            let second = ns.div_euclid(1_000_000_000);
            Ok(match name {
                "Unix" => Value::Int(second),
                "UnixMilli" => Value::Int(ns.div_euclid(1_000_000)),
                "Year" => Value::Int(civil_from_days(second.div_euclid(86_400)).0),
                "Day" => Value::Int(i64::from(civil_from_days(second.div_euclid(86_400)).2)),
                "Hour" => Value::Int(second.rem_euclid(86_400) / 3600),
                "Minute" => Value::Int(second.rem_euclid(3600) / 60),
                "Second" => Value::Int(second.rem_euclid(60)),
                _ => receiver.clone(),
            })
        }
        (Value::Duration(ns), "Hours", _) => Ok(Value::Float(*ns as f64 / 3.6e12)),
        (Value::Duration(ns), "Minutes", _) => Ok(Value::Float(*ns as f64 / 6e10)),
        (Value::Duration(ns), "Seconds", _) => Ok(Value::Float(*ns as f64 / 1e9)),
        (Value::Duration(ns), "Milliseconds", _) => Ok(Value::Int(*ns / 1_000_000)),
        _ => receiver.print(&mut text).map(|()| Value::text(&text)),
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Elements of Go's reference time, longer ones before their prefixes.
const LAYOUT: [&str; 27] = [
    "January", "Jan", "Monday", "Mon", "MST", "2006", "-07:00", "-0700", "-07", "Z07:00", "Z0700", "002", "01", "02",
    "03", "04", "05", "06", "15", "_2", "PM", "pm", "1", "2", "3", "4", "5",
];

/// A time in UTC by one of Go's layouts.
fn format_time(ns: i64, layout: &str) -> String {
    let (days, in_day) = (ns.div_euclid(86_400_000_000_000), ns.rem_euclid(86_400_000_000_000));
    let (year, month, day) = civil_from_days(days);
    let seconds = in_day / 1_000_000_000;
    let (hour, minute, second, fraction) = (seconds / 3600, seconds / 60 % 60, seconds % 60, in_day % 1_000_000_000);
    let month_name = MONTHS[month as usize - 1];
    let day_name = DAYS[days.rem_euclid(7) as usize];
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((size, text)) = fraction_of(rest, fraction) {
            out.push_str(&text);
            rest = &rest[size..];
            continue;
        }
        let Some(element) = LAYOUT.iter().find(|e| rest.starts_with(**e)) else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        rest = &rest[element.len()..];
        out.push_str(&match *element {
            "January" => month_name.into(),
            "Jan" => month_name[..3].into(),
            "Monday" => day_name.into(),
            "Mon" => day_name[..3].into(),
            "MST" => "UTC".into(),
            "2006" => format!("{year:04}"),
            "06" => format!("{:02}", year.rem_euclid(100)),
            "002" => {
                let first = faultline_model::time::days_from_civil(year, 1, 1);
                format!("{:03}", days - first + 1)
            }
            "01" => format!("{month:02}"),
            "1" => format!("{month}"),
            "02" => format!("{day:02}"),
            "_2" => format!("{day:2}"),
            "2" => format!("{day}"),
            "15" => format!("{hour:02}"),
            "03" => format!("{twelve:02}"),
            "3" => format!("{twelve}"),
            "04" => format!("{minute:02}"),
            "4" => format!("{minute}"),
            "05" => format!("{second:02}"),
            "5" => format!("{second}"),
            "PM" => if hour < 12 { "AM" } else { "PM" }.into(),
            "pm" => if hour < 12 { "am" } else { "pm" }.into(),
            "-07:00" => "+00:00".into(),
            "-0700" => "+0000".into(),
            "-07" => "+00".into(),
            "Z07:00" | "Z0700" => "Z".into(),
            other => other.into(),
        });
    }
    out
}

/// `.000` or `.999` at the start of `rest`: its size and the fraction of the second, `.999` without trailing zeros.
fn fraction_of(rest: &str, ns: i64) -> Option<(usize, String)> {
    let digits = rest.strip_prefix(['.', ','])?;
    let digit = digits.bytes().next().filter(|b| matches!(b, b'0' | b'9'))?;
    let count = digits.bytes().take_while(|&b| b == digit).count();
    if digits[count..].starts_with(|c: char| c.is_ascii_digit()) || count > 9 {
        return None;
    }
    let all = format!("{ns:09}");
    let kept = if digit == b'0' { &all[..count] } else { all[..count].trim_end_matches('0') };
    let text = if kept.is_empty() { String::new() } else { format!("{}{kept}", &rest[..1]) };
    Some((1 + count, text))
}
