//! Requests that are not gRPC, or not what the method takes, are their caller's errors: at every service, over h2 itself.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use bytes::Bytes;
use e2e::{
    scrape::{PROMETHEUS, series, wait_for_series},
    service::Service,
    up::Up,
    wait::within,
};
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

const METHODS: [(&str, &str); 3] = [
    ("gateway", "fanout.gateway.v1.GatewayService/GetProfile"),
    ("user-service", "fanout.user.v1.UserService/GetUser"),
    ("country-service", "fanout.country.v1.CountryService/GetCountry"),
];

/// A request that is wrong in one way, and the HTTP status of its reply. The `grpc-status` is `INVALID_ARGUMENT`.
struct Wrong {
    what: &'static str,
    method: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    status: u16,
}

const fn wrong(what: &'static str, body: &'static [u8]) -> Wrong {
    Wrong { what, method: "POST", content_type: "application/grpc", body, status: 200 }
}

/// Field 1 of each method's request is a text: `ada`.
const MESSAGE: &[u8] = b"\0\0\0\0\x05\x0a\x03ada";

const REQUESTS: [Wrong; 10] = [
    Wrong { method: "GET", status: 405, ..wrong("GET", MESSAGE) },
    Wrong { method: "PUT", status: 405, ..wrong("PUT", MESSAGE) },
    Wrong { content_type: "application/json", status: 415, ..wrong("JSON", b"{}") },
    Wrong { content_type: "application/grpc-web", status: 415, ..wrong("gRPC-Web", MESSAGE) },
    wrong("no message", b""),
    wrong("a part of a prefix", b"\0\0\0"),
    wrong("a part of a message", b"\0\0\0\0\x09\x0a\x03ada"),
    wrong("two messages", b"\0\0\0\0\x05\x0a\x03ada\0\0\0\0\x05\x0a\x03ada"),
    wrong("a message that is not protobuf", b"\0\0\0\0\x02\xff\xff"),
    wrong("a text that is not UTF-8", b"\0\0\0\0\x03\x0a\x01\xff"),
];

async fn connect(url: &str) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

// === impl Wrong ===

impl Wrong {
    /// Sends the request. Returns the HTTP status, `grpc-status` and `grpc-message` of the reply.
    async fn send(&self, client: &mut SendRequest<Bytes>, url: &str, path: &str) -> (u16, String, String) {
        let request = Request::builder().method(self.method).uri(format!("{url}/{path}"));
        let request = request.header("content-type", self.content_type).header("te", "trailers").body(()).unwrap();
        let (reply, mut body) = client.send_request(request, false).unwrap();
        // A server may reply and close the stream before it has read the message: its reply counts.
        let _ = body.send_data(Bytes::from_static(self.body), true);
        let reply = within(self.what, reply).await.unwrap();
        let text = |name| reply.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        (reply.status().as_u16(), text("grpc-status"), text("grpc-message"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_a_grpc_request_is_the_callers_error() {
    let mut up = Up::start(&["--delay", "0"]);
    for (service, path) in METHODS {
        let url = up.url(service);
        let mut client = connect(&url).await;
        for request in &REQUESTS {
            let (status, code, message) = request.send(&mut client, &url, path).await;
            assert_eq!((status, &*code), (request.status, "3"), "{service}: {}: {message}", request.what);
            assert!(!message.is_empty(), "{service}: {}", request.what);
        }
    }
    up.stop();
    for (service, path) in METHODS {
        let is_logged = |line: &serde_json::Value| line["method"] == path && line["code"] == "INVALID_ARGUMENT";
        assert_eq!(up.count(is_logged), REQUESTS.len(), "{service}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_them_without_an_error_of_the_server() {
    let service = Service::start_with("country-service", &["--delay", "0"], &PROMETHEUS, "serving");
    let (_, path) = METHODS[2];
    let mut client = connect(&service.url).await;
    for request in &REQUESTS {
        request.send(&mut client, &service.url, path).await;
    }
    let name = "rpc_server_call_duration_seconds_count";
    let labels =
        format!("rpc_method=\"{path}\",rpc_response_status_code=\"INVALID_ARGUMENT\",rpc_system_name=\"grpc\"");
    wait_for_series(&service.metrics, name, &[format!("{name}{{{labels}}} {}", REQUESTS.len())]);
    assert!(series(&service.metrics, name).iter().all(|series| !series.contains("error_type")));
}
