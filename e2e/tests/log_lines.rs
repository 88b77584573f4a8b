//! What callers choose gets into a service's log only as text that can be seen, and only in part if it is long.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use e2e::{binary, wait::within};
use http::Request;
use tokio::net::TcpStream;

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls a method of a country service, and returns the line that it logs for that.
async fn logged(format: &str, method: &str) -> String {
    let mut command = Command::new(binary::fanout());
    command.args(["country-service", "--listen", "127.0.0.1:0", "--delay", "0", "--log-format", format]);
    let mut service = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(service.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let listening = log.find(|line| line.contains("listening")).unwrap();
    let port = listening.split_once("127.0.0.1:").unwrap().1;
    let port: u16 = port.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();

    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let url = format!("http://127.0.0.1:{port}/fanout.country.v1.CountryService/{method}");
    let request = Request::post(url).header("content-type", "application/grpc").body(()).unwrap();
    let (reply, _) = client.send_request(request, true).unwrap();
    within("a reply", reply).await.unwrap();
    log.find(|line| line.contains("request finished")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_a_caller_names_is_written_out_and_cut() {
    let method = format!("x\u{9b}2J\u{202e}\u{200b}{}", "a".repeat(8_000));
    for (format, expected) in [("text", r"x\u{9b}2J\u{202e}\u{200b}aaa"), ("json", r"x\u009b2J\u202e\u200baaa")] {
        let line = logged(format, &method).await;
        assert!(line.contains(expected), "{format}: {line:?}");
        assert!(!line.contains(['\u{9b}', '\u{202e}', '\u{200b}']), "{format}: {line:?}");
        assert!(line.len() < 1_000, "{format}: {} bytes", line.len());
    }
}
