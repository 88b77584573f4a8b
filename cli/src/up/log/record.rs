//! What a log line of a service means for the short log.

use std::{borrow::Cow, fmt::Write as _};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A line of the short log, or what else a log line says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// A request of the gateway has ended.
    Request(Request),
    /// A warning, an error, or something else that is always shown.
    Notice(Notice),
    /// The service drains, with this many requests in flight.
    Draining(u64),
    /// The drain has ended, and this many requests were cut off.
    CutOff(u64),
    /// Anything that the short log does not show.
    Other,
}

/// A request that has ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    /// The UTC time of day, such as `03:10:40`.
    pub(crate) time: String,
    /// The method without its service, such as `GetProfile`.
    pub(crate) method: String,
    /// The status code, such as `OK`.
    pub(crate) code: String,
    pub(crate) duration_ms: u64,
    /// What overlapping the calls saved, if the gateway knows it.
    pub(crate) saved_ms: Option<f64>,
}

/// A line that is shown as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The UTC time of day.
    pub(crate) time: String,
    /// `WARN`, `ERROR` or another level.
    pub(crate) level: String,
    /// Message and fields.
    pub(crate) text: String,
}

/// The fields that decide what a line means.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    level: Cow<'a, str>,
    #[serde(borrow)]
    target: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    code: Option<Cow<'a, str>>,
    duration_ms: Option<u64>,
    saved_ms: Option<f64>,
    in_flight: Option<u64>,
}

/// The target of telemetry's own lines, such as the address of the metrics.
const TELEMETRY: &str = "service_kit::telemetry";

/// Fields that a notice leaves out.
const HIDDEN: [&str; 7] = ["timestamp", "level", "service", "target", "message", "trace_id", "span_id"];

// === impl Record ===

impl Record {
    /// Reads a JSON line of a service's log. Returns `None` if it is none.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let fields: Fields<'_> = serde_json::from_str(line).ok()?;
        let is_notice = matches!(&*fields.level, "WARN" | "ERROR") || fields.target == TELEMETRY;
        Some(match (&*fields.message, fields.in_flight) {
            ("draining" | "still draining", Some(in_flight)) => Self::Draining(in_flight),
            (
                "the drain was ended: requests in flight are cut off"
                | "the drain timed out: requests in flight are cut off",
                Some(in_flight),
            ) => Self::CutOff(in_flight),
            ("request finished" | "request cancelled by its caller", _) => {
                Request::from_fields(fields).map_or(Self::Other, Self::Request)
            }
            _ if is_notice => Self::Notice(Notice::from_line(&fields, line)),
            _ => Self::Other,
        })
    }
}

// === impl Request ===

impl Request {
    fn from_fields(fields: Fields<'_>) -> Option<Self> {
        let method = fields.method?;
        let method = method.rsplit_once('/').map_or(&*method, |(_, name)| name).to_owned();
        let (code, duration_ms) = (fields.code?.into_owned(), fields.duration_ms?);
        Some(Self { time: time_of_day(&fields.timestamp), method, code, duration_ms, saved_ms: fields.saved_ms })
    }
}

// === impl Notice ===

impl Notice {
    fn from_line(fields: &Fields<'_>, line: &str) -> Self {
        let all: Map<String, Value> = serde_json::from_str(line).unwrap_or_default();
        let mut text = fields.message.clone().into_owned();
        for (name, value) in all.iter().filter(|(name, _)| !HIDDEN.contains(&name.as_str())) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(text, " {name}={value}");
        }
        Self { time: time_of_day(&fields.timestamp), level: fields.level.clone().into_owned(), text }
    }
}

/// Returns the hour, minute and second of an RFC 3339 timestamp.
fn time_of_day(timestamp: &str) -> String {
    timestamp.split_once('T').and_then(|(_, time)| time.get(..8)).unwrap_or("--:--:--").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: &str, rest: &str) -> String {
        format!(
            r#"{{"timestamp":"2026-11-23T03:10:40.792602Z","level":"{level}","service":"gateway","target":"x",{rest}}}"#
        )
    }

    #[test]
    fn a_request_has_its_short_method_and_its_figures() {
        let text = line(
            "INFO",
            r#""message":"request finished","method":"fanout.gateway.v1.GatewayService/GetProfile","code":"OK","duration_ms":3004,"saved_ms":3001.25"#,
        );
        let request = Request {
            time: "03:10:40".to_owned(),
            method: "GetProfile".to_owned(),
            code: "OK".to_owned(),
            duration_ms: 3004,
            saved_ms: Some(3001.25),
        };
        assert_eq!(Record::parse(&text), Some(Record::Request(request)));
        let cancelled = line(
            "INFO",
            r#""message":"request cancelled by its caller","method":"Get\"It","code":"CANCELLED","duration_ms":1"#,
        );
        let Some(Record::Request(request)) = Record::parse(&cancelled) else { panic!("a request") };
        assert_eq!((&*request.method, &*request.code, request.saved_ms), ("Get\"It", "CANCELLED", None));
    }

    #[test]
    fn warnings_are_notices_with_their_fields() {
        let text = line("WARN", r#""message":"slow","backend":"user","trace_id":"1","failures":3"#);
        let notice = Notice {
            time: "03:10:40".to_owned(),
            level: "WARN".to_owned(),
            text: "slow backend=user failures=3".to_owned(),
        };
        assert_eq!(Record::parse(&text), Some(Record::Notice(notice)));
        assert_eq!(Record::parse(&line("INFO", r#""message":"slow""#)), Some(Record::Other));
    }

    #[test]
    fn a_drain_has_the_number_of_requests_in_flight() {
        let parse = |message: &str| Record::parse(&line("INFO", &format!(r#""message":"{message}","in_flight":2"#)));
        assert_eq!(parse("draining"), Some(Record::Draining(2)));
        assert_eq!(parse("still draining"), Some(Record::Draining(2)));
        for how in ["was ended", "timed out"] {
            let message = format!("the drain {how}: requests in flight are cut off");
            assert_eq!(parse(&message), Some(Record::CutOff(2)));
        }
    }

    #[test]
    fn anything_else_is_no_record() {
        for text in ["", "thread 'main' panicked", "{}", "[1]", r#"{"message":"up"}"#] {
            assert_eq!(Record::parse(text), None, "{text}");
        }
    }
}
