//! Spans of which client and server each have a half with one id, as Zipkin's B3 propagation makes them.
//!
//! OTLP has no such spans: the server's half becomes a child of the client's with an id of its own, and gets the children
//! that its service has made.

use std::collections::{HashMap, HashSet};

use super::span::{Kind, SpanJson};
use crate::json_types::HexId;

/// Trace id, span id.
type Key = (Vec<u8>, Vec<u8>);

/// The server's half of a span.
struct Half {
    /// Its place in the list.
    index: usize,
    service: String,
    /// Its new id.
    id: Vec<u8>,
}

/// Gives each server's half of a span an id of its own, if the client's half is there too.
pub(super) fn separate(spans: &mut [SpanJson]) {
    let key = |span: &SpanJson| (span.trace_id.0.clone(), span.id.0.clone());
    let is_server = |span: &SpanJson| span.shared || span.kind == Some(Kind::Server);
    let (servers, clients): (Vec<_>, Vec<_>) = spans.iter().enumerate().partition(|(_, span)| is_server(span));
    let clients: HashMap<Key, String> =
        clients.into_iter().map(|(_, span)| (key(span), span.local.service_name.clone())).collect();
    let taken: HashSet<&[u8]> = spans.iter().map(|span| &span.id.0[..]).collect();
    let mut halves: HashMap<Key, Half> = HashMap::new();
    for (index, span) in servers {
        let (key, id) = (key(span), derived(&span.id.0));
        if clients.contains_key(&key) && !taken.contains(&id[..]) {
            halves.entry(key).or_insert(Half { index, service: span.local.service_name.clone(), id });
        }
    }
    for (index, span) in spans.iter_mut().enumerate() {
        if let Some(half) = halves.get(&key(span)).filter(|half| half.index == index) {
            span.parent_id = Some(HexId(std::mem::replace(&mut span.id.0, half.id.clone())));
        } else if let Some(parent) = &span.parent_id {
            let parent = (span.trace_id.0.clone(), parent.0.clone());
            let is_of_server = |half: &&Half| {
                half.service == span.local.service_name && clients.get(&parent).is_some_and(|it| *it != half.service)
            };
            if let Some(half) = halves.get(&parent).filter(is_of_server) {
                span.parent_id = Some(HexId(half.id.clone()));
            }
        }
    }
}

/// Returns the id that the server's half gets.
fn derived(id: &[u8]) -> Vec<u8> {
    let mut own = id.to_vec();
    if let Some(first) = own.first_mut() {
        *first ^= 0x80;
    }
    own
}
