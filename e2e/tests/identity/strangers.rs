//! What callers without an identity may not do.

use e2e::{backends::Backends, collector::Collector};
use fanout_proto::gateway::v1::{GetProfileRequest, gateway_service_client::GatewayServiceClient};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tonic::{Code, Status};

use crate::edge::{Edge, Files, request};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Returns the trace's id and its flags in `traceresponse`.
fn trace(metadata: &tonic::metadata::MetadataMap) -> (String, String) {
    let header = metadata.get("traceresponse").unwrap().to_str().unwrap();
    let parts: Vec<_> = header.split('-').collect();
    (parts[1].to_owned(), parts[3].to_owned())
}

fn traced(status: &Status) -> (String, String) {
    trace(status.metadata())
}

fn traceparent() -> (&'static str, String) {
    ("traceparent", format!("00-{TRACE}-{PARENT}-01"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_no_baggage_through_and_asks_for_no_faults() {
    let (files, backends) = (Files::new(), Backends::start_except(&[]));
    let key = format!("Bearer {}", files.new_key("reports", "keys"));
    let policy = files.write("policy", "anonymous *\nkey:* *\n");
    let keys = files.path("keys").to_str().unwrap().to_owned();
    let common =
        [backends.gateway_args(), ["--api-keys", &keys, "--policy", &policy].map(str::to_owned).to_vec()].concat();
    // The backends apply overrides; whether they get any is the gateway's decision.
    let fault = ("baggage", "user.error-rate=1");
    for (flags, of_stranger) in [(&[][..], Ok(())), (&["--allow-overrides"], Err(Code::InvalidArgument))] {
        let flags: Vec<_> =
            common.iter().map(String::as_str).chain(flags.iter().copied()).chain(["--retries", "0"]).collect();
        let edge = Edge::start(&flags).await;
        edge.service.log.wait_for("its backends are there", |line| line["message"] == "serving").await;
        let mut client = GatewayServiceClient::new(e2e::connect(&edge.service.url).await);
        let mut call = async |headers: &[(&'static str, &str)]| {
            let message = GetProfileRequest { user_id: "ada".to_owned(), ..GetProfileRequest::default() };
            client.get_profile(request(message, headers)).await
        };
        assert_eq!(call(&[fault]).await.map(drop).map_err(|status| status.code()), of_stranger, "{flags:?}");
        let identified = call(&[fault, ("authorization", &key)]).await.unwrap_err();
        assert_eq!(identified.code(), Code::Unavailable, "{identified:?}");
        call(&[("baggage", "tenant=7")]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_trace_is_linked_and_not_continued() {
    let (files, collector) = (Files::new(), Collector::start().await);
    let key = format!("Bearer {}", files.new_key("reports", "keys"));
    let policy = files.write("policy", "anonymous *\nkey:* *\n");
    let keys = files.path("keys").to_str().unwrap().to_owned();
    let edge = Edge::start_with(&["--api-keys", &keys, "--policy", &policy], &collector.env()).await;
    let (name, traceparent) = traceparent();
    let (own, _) = traced(&edge.call(&[(name, &traceparent)]).await);
    assert_ne!(own, TRACE);
    let expected = [("gateway", "fanout.gateway.v1.GatewayService/GetProfile", SpanKind::Server)];
    let spans = collector.trace(&own, &expected).await;
    assert_eq!((spans[0].parent.as_str(), &spans[0].links[..]), ("", &[PARENT.to_owned()][..]));

    let (continued, _) = traced(&edge.call(&[(name, &traceparent), ("authorization", &key)]).await);
    assert_eq!(continued, TRACE);
    let spans = collector.trace(TRACE, &expected).await;
    assert_eq!((spans[0].parent.as_str(), spans[0].links.len()), (PARENT, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_cannot_have_a_trace_sampled() {
    let (files, collector) = (Files::new(), Collector::start().await);
    let key = format!("Bearer {}", files.new_key("reports", "keys"));
    let policy = files.write("policy", "* *\nanonymous *\n");
    let keys = files.path("keys").to_str().unwrap().to_owned();
    let env = [&collector.env()[..], &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]].concat();
    let edge = Edge::start_with(&["--api-keys", &keys, "--policy", &policy], &env).await;
    let (name, traceparent) = traceparent();
    let (_, flags) = traced(&edge.call(&[(name, &traceparent)]).await);
    assert_eq!(flags, "00");
    let (_, flags) = traced(&edge.call(&[(name, &traceparent), ("authorization", &key)]).await);
    assert_eq!(flags, "01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_everybody_is_trusted_on_loopback_unless_told_otherwise() {
    let (name, traceparent) = traceparent();
    for (flags, is_trusted) in [(&[][..], true), (&["--trust-context", "identified"], false)] {
        let edge = Edge::start(flags).await;
        // Credentials that nobody asks for are of no importance.
        let status = edge.call(&[(name, &traceparent), ("authorization", "Bearer x")]).await;
        assert_eq!(traced(&status).0 == TRACE, is_trusted, "{flags:?}");
        assert_eq!(edge.service.log.count(|line| line["target"] == "audit"), 0);
    }
}
