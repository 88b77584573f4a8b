//! Puts a viewer under load, and measures it: `cargo run --release -p viewer --example load -- RATE SECONDS [MIB]`.
//!
//! Starts itself again as the viewer, so that its memory and its processor time are its own. Sends traces of 10 spans
//! (a request, its calls, their servers and queries) over gRPC at RATE spans a second, in batches of 500, while it asks
//! for the list, a trace and the operations all the time. Then holds what was counted against what was sent.

#![allow(missing_docs, reason = "a program")]

use std::{
    env, fs,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{interval, sleep},
};
use viewer::{Listeners, Options};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SPANS: u64 = 10;
const BATCH: u64 = 500;
const SENDERS: u64 = 4;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", mib] => serve(mib.parse()?).await,
        [rate, seconds] => load(rate.parse()?, seconds.parse()?, "128").await,
        [rate, seconds, mib] => load(rate.parse()?, seconds.parse()?, mib).await,
        _ => Err("expected RATE SECONDS [MIB]".into()),
    }
}

/// Runs a viewer until standard input ends. Says where it is.
async fn serve(mib: usize) -> Result<(), Failure> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = Listeners { page: bind().await?, otlp_grpc: bind().await?, otlp_http: bind().await? };
    println!("{} {}", listeners.page.local_addr()?, listeners.otlp_grpc.local_addr()?);
    let options = Options { max_bytes: mib << 20, ..Options::default() };
    let ended = async {
        let mut line = String::new();
        let _ = BufReader::new(tokio::io::stdin()).read_line(&mut line).await;
    };
    Ok(viewer::run(options, listeners, ended).await?)
}

async fn load(rate: u64, seconds: u64, mib: &str) -> Result<(), Failure> {
    let mut child =
        Command::new(env::current_exe()?).args(["serve", mib]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let result = measure(&mut child, rate, seconds).await;
    drop(child.stdin.take());
    child.wait()?;
    result
}

async fn measure(child: &mut Child, rate: u64, seconds: u64) -> Result<(), Failure> {
    let stdout = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    let (page, grpc) = line.trim().split_once(' ').ok_or("no addresses")?;
    let (sent, failed, running) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
    let begun = Instant::now();
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let client = TraceServiceClient::connect(format!("http://{grpc}")).await?;
        let (sent, failed) = (Arc::clone(&sent), Arc::clone(&failed));
        senders.push(tokio::spawn(send(client, sender, rate / SENDERS, seconds, sent, failed)));
    }
    let asker = tokio::spawn(ask(page.to_owned(), Arc::clone(&running)));
    let pid = child.id();
    let mut memory = Vec::new();
    while !senders.iter().all(tokio::task::JoinHandle::is_finished) {
        sleep(Duration::from_secs(1)).await;
        memory.push(resident_mib(pid)?);
    }
    for sender in senders {
        sender.await??;
    }
    let (elapsed, processor) = (begun.elapsed(), processor_seconds(pid)?);
    running.store(false, Ordering::Relaxed);
    let mut waits = asker.await??;
    waits.sort_unstable();
    let at = |share: usize| waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1))).copied();
    let status: serde_json::Value = serde_json::from_str(&get(page, "/api/status").await?)?;
    let number = |pointer: &str| status.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default();
    let sent = sent.load(Ordering::Relaxed);
    #[allow(clippy::cast_precision_loss, reason = "a figure to read")]
    let per_second = sent as f64 / elapsed.as_secs_f64();
    println!(
        "sent        {sent} spans in {:.1} s: {per_second:.0} a second; {} batches failed",
        elapsed.as_secs_f64(),
        failed.load(Ordering::Relaxed)
    );
    println!(
        "received    {}, kept {}, dropped {}",
        number("/received/spans"),
        number("/spans"),
        number("/dropped/spans")
    );
    println!("analyzed    all but {} traces", number("/not_analyzed"));
    println!("processor   {:.2} cores", processor / elapsed.as_secs_f64());
    let quarter = memory.len() / 4;
    println!(
        "memory      {} MiB after a quarter, {} at the end, {} at most",
        memory.get(quarter).unwrap_or(&0),
        memory.last().unwrap_or(&0),
        memory.iter().max().unwrap_or(&0)
    );
    println!(
        "page        {} answers: p50 {}, p95 {}, p99 {}, longest {}",
        waits.len(),
        milliseconds(at(50)),
        milliseconds(at(95)),
        milliseconds(at(99)),
        milliseconds(waits.last().copied())
    );
    let accounted = number("/spans") + number("/dropped/spans") + number("/duplicates");
    if number("/received/spans") != sent || accounted != sent {
        return Err(format!("{sent} were sent, {accounted} are accounted for").into());
    }
    Ok(())
}

fn milliseconds(wait: Option<Duration>) -> String {
    wait.map_or_else(|| "none".to_owned(), |wait| format!("{:.1} ms", wait.as_secs_f64() * 1e3))
}

async fn send(
    mut client: TraceServiceClient<tonic::transport::Channel>,
    sender: u64,
    rate: u64,
    seconds: u64,
    sent: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let batches = rate * seconds / BATCH;
    let mut ticks = interval(Duration::from_secs(seconds).div_f64(f64::from(u32::try_from(batches.max(1))?)));
    for number in 0..batches {
        ticks.tick().await;
        let traces = (0..BATCH / SPANS).map(|trace| trace_id(sender, number * BATCH / SPANS + trace));
        let request = request(&traces.collect::<Vec<_>>());
        match client.export(request).await {
            Ok(_) => sent.fetch_add(BATCH, Ordering::Relaxed),
            Err(_) => failed.fetch_add(1, Ordering::Relaxed),
        };
    }
    Ok(())
}

fn trace_id(sender: u64, number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(sender + 1).to_be_bytes());
    id[8..].copy_from_slice(&(number + 1).to_be_bytes());
    id
}

/// A request of traces: a server's span, three calls in turn, the server and two queries of each.
fn request(traces: &[[u8; 16]]) -> ExportTraceServiceRequest {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or_default() - 100_000_000;
    let services = ["shop", "price", "stock", "user"];
    let resource_spans = services.iter().enumerate().map(|(service, name)| {
        let spans = traces.iter().flat_map(|id| {
            let span = |number: u64, parent: u64, name: &str, kind: i32, start: u64, end: u64| Span {
                trace_id: id.to_vec(),
                span_id: number.to_be_bytes().to_vec(),
                parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
                name: name.to_owned(),
                kind,
                start_time_unix_nano: now + start * 1_000_000,
                end_time_unix_nano: now + end * 1_000_000,
                attributes: vec![
                    attribute("rpc.system.name", Value::StringValue("grpc".to_owned())),
                    attribute("rpc.method", Value::StringValue(format!("shop.v1.{name}"))),
                    attribute("server.port", Value::IntValue(50_051)),
                    attribute("network.peer.address", Value::StringValue("10.1.2.3".to_owned())),
                ],
                ..Span::default()
            };
            let at = service as u64;
            if service == 0 {
                let calls = (1..=3).map(|call| {
                    span(10 * call, 1, services[usize::try_from(call).unwrap_or(1)], 3, 30 * (call - 1), 30 * call)
                });
                std::iter::once(span(1, 0, "checkout", 2, 0, 91)).chain(calls).collect::<Vec<_>>()
            } else {
                let begin = 30 * (at - 1);
                vec![
                    span(10 * at + 1, 10 * at, "get", 2, begin + 1, begin + 29),
                    span(10 * at + 2, 10 * at + 1, "SELECT", 3, begin + 2, begin + 15),
                ]
            }
        });
        ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", Value::StringValue((*name).to_owned()))],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }],
            schema_url: String::new(),
        }
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Asks for what the page shows, over and over. Returns how long each answer took.
async fn ask(page: String, running: Arc<AtomicBool>) -> Result<Vec<Duration>, Failure> {
    let mut waits = Vec::new();
    while running.load(Ordering::Relaxed) {
        for path in
            ["/api/traces?limit=50", "/api/status", "/api/traces?min_avoidable=10ms&service=shop", "/api/operations"]
        {
            let begun = Instant::now();
            let answer = get(&page, path).await?;
            waits.push(begun.elapsed());
            if path.starts_with("/api/traces?limit") {
                let list: serde_json::Value = serde_json::from_str(&answer)?;
                if let Some(id) = list.pointer("/traces/0/trace_id").and_then(serde_json::Value::as_str) {
                    let begun = Instant::now();
                    get(&page, &format!("/api/traces/{id}")).await?;
                    waits.push(begun.elapsed());
                }
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(waits)
}

async fn get(address: &str, path: &str) -> Result<String, Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no response")?;
    if head.starts_with("HTTP/1.1 200") { Ok(body.to_owned()) } else { Err(format!("{path}: {head}").into()) }
}

/// Returns the memory of a process, from Linux.
fn resident_mib(pid: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

/// Returns the processor time of a process, from Linux, whose clock there ticks 100 times a second.
fn processor_seconds(pid: u32) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("no stat")?.1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}
