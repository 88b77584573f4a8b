//! Which spans are calls, what identifies a call, and what its attributes say about it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::span::{Span, SpanKind, Value};

/// What the same call in another trace has in common with this one: service, name, kind, peer, method and the template
/// of its statement or address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity(u64);

/// Returns whether the span is a call by itself: something that its program waits for, or could.
///
/// CLIENT and PRODUCER spans are. So is a span without a kind that names the system that it calls, and a SERVER span of
/// another service whose caller's side is not in the trace.
pub(crate) fn is_call(span: &Span, parent: &Span) -> bool {
    const SYSTEMS: [&str; 5] = ["db.system.name", "db.system", "rpc.system.name", "rpc.system", "messaging.system"];
    match span.kind {
        SpanKind::Client | SpanKind::Producer => true,
        SpanKind::Unspecified => SYSTEMS.iter().any(|system| span.attribute(system).is_some()),
        SpanKind::Server => {
            span.service != parent.service && !matches!(parent.kind, SpanKind::Client | SpanKind::Producer)
        }
        SpanKind::Internal | SpanKind::Consumer => false,
    }
}

/// Returns whether calls inside of the span are made by the program of its parent: a task, a function, a middleware.
pub(crate) fn is_wrapper(span: &Span, parent: &Span) -> bool {
    matches!(span.kind, SpanKind::Internal | SpanKind::Unspecified) && span.service == parent.service
}

/// Returns whether the span is where its service's part of a trace begins.
pub(crate) fn is_entry(span: &Span, parent: Option<&Span>) -> bool {
    matches!(span.kind, SpanKind::Server | SpanKind::Consumer)
        || parent.is_none_or(|parent| parent.service != span.service)
}

/// Returns which attempt of a call the span is, from 1, if it says so: `fanout.attempt`, or one more than
/// `http.request.resend_count`.
pub(crate) fn attempt(span: &Span) -> Option<u64> {
    let number = |key: &str| match span.attribute(key)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Text(text) => text.parse().ok(),
        Value::Bool(_) | Value::Double(_) => None,
    };
    number("fanout.attempt").or_else(|| Some(number("http.request.resend_count")?.saturating_add(1)))
}

/// Returns whether a call reads something for which it needs nothing: a SELECT without WHERE or parameters, or a GET of
/// an address without query or parts that may be an id.
pub(crate) fn is_read_without_parameters(span: &Span) -> bool {
    if let Some(statement) = statement(span) {
        let bound = |(key, _): &(std::sync::Arc<str>, _)| key.starts_with("db.query.parameter");
        return is_select_of_all(statement) && !span.attributes.iter().any(bound);
    }
    matches!(http_method(span), Some("GET" | "HEAD")) && is_plain_address(span)
}

/// Returns whether a call is known to change something. What is known of an RPC does not tell.
pub(crate) fn is_write(span: &Span) -> bool {
    if span.kind == SpanKind::Producer {
        return true;
    }
    if let Some(statement) = statement(span) {
        return !starts_with_word(statement, "SELECT");
    }
    let operation = text(span, &["db.operation.name", "db.operation"]);
    operation.is_some_and(|operation| !starts_with_word(operation, "SELECT"))
        || http_method(span).is_some_and(|method| !matches!(method, "GET" | "HEAD" | "OPTIONS"))
}

fn text<'a>(span: &'a Span, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| span.attribute(key)?.as_text())
}

fn statement(span: &Span) -> Option<&str> {
    text(span, &["db.query.text", "db.statement"])
}

fn http_method(span: &Span) -> Option<&str> {
    text(span, &["http.request.method", "http.method"])
}

fn starts_with_word(statement: &str, word: &str) -> bool {
    words(statement).next().is_some_and(|first| first.eq_ignore_ascii_case(word))
}

fn words(statement: &str) -> impl Iterator<Item = &str> {
    statement.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn is_select_of_all(statement: &str) -> bool {
    // A second statement, and what drivers write for a bound value: ?, $1, :name, @name, %s, 'text'.
    let parameter = |c: char| matches!(c, '?' | '$' | ':' | '@' | '%' | '\'');
    let statement = statement.trim().trim_end_matches(';');
    starts_with_word(statement, "SELECT")
        && !statement.contains(|c| parameter(c) || c == ';')
        && !words(statement)
            .any(|word| ["WHERE", "HAVING", "INTO", "UPDATE"].iter().any(|no| word.eq_ignore_ascii_case(no)))
}

/// Returns whether an address has nothing that another call may have supplied: no query, and a template without
/// placeholders or a path of one part besides versions ("/api/v1/" counts as none).
fn is_plain_address(span: &Span) -> bool {
    if has_query(span) {
        return false;
    }
    if let Some(template) = text(span, &["url.template", "http.route"]) {
        return !template.contains(['{', ':', '<', '*', '?']);
    }
    let Some(path) = path(span) else { return false };
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != "api" && !is_version(part));
    parts.clone().count() <= 1 && !parts.clone().any(|part| part.contains(|c: char| c.is_ascii_digit()))
}

/// Returns whether any attribute has a query. Templates leave it out.
fn has_query(span: &Span) -> bool {
    let is_there = |query: &str| !query.is_empty();
    text(span, &["url.query"]).is_some_and(is_there)
        || ADDRESSES.iter().any(|key| text(span, &[key]).and_then(|address| split(address).1).is_some_and(is_there))
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Attributes that have an address or its path.
const ADDRESSES: [&str; 4] = ["url.full", "http.url", "url.path", "http.target"];

/// Returns the path of the address.
fn path(span: &Span) -> Option<&str> {
    text(span, &ADDRESSES).map(|address| split(address).0)
}

/// Returns the path and the query of an address.
fn split(address: &str) -> (&str, Option<&str>) {
    let address = address.split_once('#').map_or(address, |(before, _)| before);
    // In a query there may be another address.
    let (before, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
    let path = match before.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => before,
    };
    (path, query)
}

// === impl Identity ===

impl Identity {
    /// Returns the identity of a span.
    pub(crate) fn of(span: &Span) -> Self {
        const PLAIN: [&[&str]; 4] = [
            &["server.address", "net.peer.name", "peer.service", "http.host"],
            &["rpc.method"],
            &["db.namespace", "db.name"],
            &["http.request.method", "http.method"],
        ];
        let mut hasher = DefaultHasher::new();
        (&span.service, &span.name, span.kind).hash(&mut hasher);
        if !span.attributes.is_empty() {
            for keys in PLAIN {
                text(span, keys).hash(&mut hasher);
            }
            if let Some(statement) = statement(span) {
                hash_template(statement, &mut hasher);
            } else if let Some(path) = path(span) {
                hash_template(path, &mut hasher);
            }
        }
        Self(hasher.finish())
    }
}

/// Hashes a statement or a path without its values: quoted texts, and words with a digit.
fn hash_template(template: &str, hasher: &mut DefaultHasher) {
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first == '\'' {
            let end = rest[1..].find('\'').map_or(rest.len(), |at| at + 2);
            ("?", &rest[end..])
        } else if first.is_alphanumeric() || matches!(first, '_' | '-' | '$' | '%') {
            let end =
                rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '$' | '%')).unwrap_or(rest.len());
            let word = &rest[..end];
            let value = word.contains(|c: char| c.is_ascii_digit()) && !is_version(word) || word == "%s";
            (if value { "?" } else { word }, &rest[end..])
        } else {
            let end = first.len_utf8();
            // Blanks and commas are left out, so that lists of any length are alike once their values are.
            (if first.is_whitespace() || first == ',' { "" } else { &rest[..end] }, &rest[end..])
        };
        rest = after;
        if token == "?" {
            // One for any number in a row.
            rest = rest.trim_start_matches(|c: char| {
                c.is_whitespace() || c.is_ascii_digit() || matches!(c, ',' | '\'' | '?' | '$')
            });
        }
        if !token.is_empty() {
            token.bytes().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
            // No byte of a text, so that "a b" is not "ab".
            hasher.write_u8(0xff);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SpanId, TraceId};

    fn call(attributes: &[(&str, &str)]) -> Span {
        Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            parent: None,
            kind: SpanKind::Client,
            service: "app".into(),
            name: "call".into(),
            start: 0,
            end: 0,
            error: false,
            attributes: attributes.iter().map(|(key, value)| ((*key).into(), Value::from(*value))).collect(),
            links: Vec::new(),
        }
    }

    #[test]
    fn a_read_without_parameters_needs_nothing() {
        for (statement, without) in [
            ("SELECT * FROM countries", true),
            ("  select code, name from countries ORDER BY name LIMIT 10;", true),
            ("SELECT * FROM users WHERE id = 1", false),
            ("SELECT * FROM users LIMIT $1", false),
            ("SELECT * FROM users LIMIT %s", false),
            ("SELECT 'x'", false),
            ("SELECT * FROM a; DELETE FROM a", false),
            ("SELECT * FROM a FOR UPDATE", false),
            ("selection", false),
            ("INSERT INTO a SELECT * FROM b", false),
            ("", false),
        ] {
            assert_eq!(is_read_without_parameters(&call(&[("db.query.text", statement)])), without, "{statement}");
        }
        for (method, url, without) in [
            ("GET", "http://host:80/countries", true),
            ("GET", "https://host/api/v1/countries#top", true),
            ("GET", "/countries", true),
            ("GET", "http://host", true),
            ("GET", "http://host/countries?code=NL", false),
            ("GET", "http://host?code=NL", false),
            ("GET", "/countries?next=http://other/", false),
            ("GET", "/countries?", true),
            ("GET", "http://host/countries/NL", false),
            ("GET", "http://host/17", false),
            ("POST", "http://host/countries", false),
        ] {
            let span = call(&[("http.request.method", method), ("url.full", url)]);
            assert_eq!(is_read_without_parameters(&span), without, "{method} {url}");
        }
        let template = |template| call(&[("http.request.method", "GET"), ("url.template", template)]);
        assert!(is_read_without_parameters(&template("/shop/countries/all")));
        assert!(!is_read_without_parameters(&template("/users/{id}")));
        assert!(!is_read_without_parameters(&template("/countries?code=")));
        for (key, value) in [("url.query", "code=NL"), ("url.full", "http://host/shop?code=NL"), ("http.target", "/?a")]
        {
            let span = call(&[("http.method", "GET"), ("url.template", "/shop"), ("url.path", "/shop"), (key, value)]);
            assert!(!is_read_without_parameters(&span), "{key}: {value}");
        }
        assert!(!is_read_without_parameters(&call(&[("rpc.method", "ListCountries")])));
    }

    #[test]
    fn writes_are_known_by_statement_and_method() {
        assert!(is_write(&call(&[("db.statement", "UPDATE users SET name = 'x'")])));
        assert!(is_write(&call(&[("db.statement", "BEGIN")])));
        assert!(is_write(&call(&[("http.method", "POST")])));
        assert!(!is_write(&call(&[("db.statement", "select 1")])));
        assert!(!is_write(&call(&[("rpc.method", "CreateUser")])));
    }

    #[test]
    fn values_are_no_part_of_the_identity() {
        let same = |a: &str, b: &str| {
            let of = |text| Identity::of(&call(&[("db.query.text", text)]));
            of(a) == of(b)
        };
        assert!(same("SELECT * FROM users WHERE id = 17", "SELECT *  FROM users WHERE id = 4"));
        assert!(same("SELECT 1 WHERE name = 'ada'", "select 2 where name='it'"));
        assert!(same("x IN (1, 2, 3)", "x IN (7)"));
        assert!(!same("SELECT * FROM users", "SELECT * FROM countries"));
        assert!(!same("a b", "ab"));
        let of = |url| Identity::of(&call(&[("url.full", url)]));
        assert_eq!(of("http://host/users/17?a=b"), of("http://host/users/4"));
        assert_ne!(of("http://host/users/17"), of("http://host/orders/17"));
    }

    #[test]
    fn odd_texts_are_hashed_too() {
        for text in ["'", "'é", "é'é", "''", "$", "1'1", "\u{1F600}", "?,?"] {
            let _ = Identity::of(&call(&[("db.query.text", text), ("url.full", text)]));
            let _ = is_read_without_parameters(&call(&[("http.method", "GET"), ("url.full", text)]));
        }
    }
}
