//! A viewer that gets more than it can keep, for a while: 20 seconds, or `VIEWER_SOAK_SECONDS` of them.
//!
//! It shares its processor with the sender here, and is not optimized: figures are in `docs/view.md`. What holds at any
//! speed is that its memory stays where it is, and that nothing is lost that was not counted.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod fixture;

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tokio::time::{Instant, interval};
use viewer::Options;

use self::fixture::Viewer;

/// Spans a second, and of a request.
const RATE: u64 = 20_000;
const BATCH: u64 = 1_000;

/// Full after about two seconds.
const MAX_BYTES: usize = 16 << 20;

/// How much the process may grow once the traces take all of that. It grows by 3 MiB here; 60 bytes lost for each span
/// would be as much as this in 20 seconds.
const MAX_GROWTH_MIB: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_and_everything_is_counted() {
    let seconds = std::env::var("VIEWER_SOAK_SECONDS").map_or(20, |seconds| seconds.parse().unwrap());
    let viewer = Viewer::with(Options { max_bytes: MAX_BYTES, ..Options::default() }).await;
    let mut client = TraceServiceClient::connect(format!("http://{}", viewer.grpc)).await.unwrap();
    let mut ticks = interval(Duration::from_secs(1).div_f64(20.0));
    let (begun, mut sent, mut settled) = (Instant::now(), 0, None);
    while begun.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        client.export(request(sent)).await.unwrap();
        sent += BATCH;
        if sent.is_multiple_of(RATE) {
            let list = viewer.get("/api/traces?limit=5").await;
            assert_eq!(list["traces"].as_array().unwrap().len(), 5);
            let is_full = viewer.get("/api/status").await["dropped"]["traces"] != 0;
            if is_full && begun.elapsed() > Duration::from_secs(seconds / 4) {
                settled.get_or_insert_with(|| (resident_mib(), sent));
            }
        }
    }
    let (before, sent_before) = settled.expect("it is full after a quarter of the time");
    let after = resident_mib();
    let status = viewer.get("/api/status").await;
    let number = |pointer: &str| status.pointer(pointer).unwrap().as_u64().unwrap();
    assert_eq!(number("/received/spans"), sent, "{status}");
    assert_eq!(number("/spans") + number("/dropped/spans"), sent, "{status}");
    assert!(number("/dropped/spans") > 0 && number("/bytes") <= MAX_BYTES as u64, "{status}");
    assert!(after < before + MAX_GROWTH_MIB, "{before} MiB became {after} MiB");
    println!("{sent} spans in {:?}, {before} MiB at {sent_before} became {after} MiB: {status}", begun.elapsed());
    viewer.stop().await;
}

/// Traces of 10 spans. `first` is the number of the first span.
fn request(first: u64) -> ExportTraceServiceRequest {
    let spans = (first..first + BATCH).map(|number| {
        let (trace, place) = (number / 10 + 1, number % 10);
        let start = 1_700_000_000_000_000_000 + trace * 1_000_000 + place * 1_000;
        Span {
            trace_id: [[7; 8], trace.to_be_bytes()].concat(),
            span_id: (place + 1).to_be_bytes().to_vec(),
            parent_span_id: if place == 0 { Vec::new() } else { 1_u64.to_be_bytes().to_vec() },
            name: format!("call {place}"),
            kind: 3,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 900,
            ..Span::default()
        }
    });
    let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

/// Returns the memory of this process, from Linux; 0 elsewhere.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
