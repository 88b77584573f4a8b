//! Runs each of gRPC's interop cases against each server. A test checks nothing, and says so, if the server's
//! runtime is not installed; `FANOUT_REQUIRE_INTEROP=1` makes that a failure.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use interop_servers::{case::Case, server::Runtime};

const TIMEOUT: Duration = Duration::from_mins(1);

async fn check(case: Case, runtime: Runtime) {
    let Some(server) = runtime.server() else { return };
    if let Err(why) = case.run(server).await {
        panic!("{} against {}: {why}", case.name(), runtime.name());
    }
}

/// Declares a test for each case and server.
macro_rules! cases {
    ($($name:ident: $case:ident,)*) => {
        mod python {
            $(#[tokio::test] async fn $name() { super::check(super::Case::$case, super::Runtime::Python).await; })*
        }
        mod node {
            $(#[tokio::test] async fn $name() { super::check(super::Case::$case, super::Runtime::Node).await; })*
        }

        #[test]
        fn each_case_is_tested_under_its_name() {
            let tested = [$((stringify!($name), Case::$case),)*];
            assert_eq!(tested, Case::ALL.map(|case| (case.name(), case)));
        }
    };
}

cases! {
    empty_unary: EmptyUnary,
    large_unary: LargeUnary,
    client_streaming: ClientStreaming,
    server_streaming: ServerStreaming,
    ping_pong: PingPong,
    empty_stream: EmptyStream,
    custom_metadata: CustomMetadata,
    status_code_and_message: StatusCodeAndMessage,
    special_status_message: SpecialStatusMessage,
    unimplemented_method: UnimplementedMethod,
    unimplemented_service: UnimplementedService,
    cancel_after_begin: CancelAfterBegin,
    cancel_after_first_response: CancelAfterFirstResponse,
    timeout_on_sleeping_server: TimeoutOnSleepingServer,
}

/// All of them have its standard error, which ends with the last.
#[test]
fn the_servers_of_a_killed_test_end() {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_test_with_servers", "--ignored", "--nocapture"]);
    let mut parent = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, mut stderr) = (BufReader::new(parent.stdout.take().unwrap()), parent.stderr.take().unwrap());
    let (sender, events) = mpsc::channel();
    let started = sender.clone();
    thread::spawn(move || started.send(stdout.lines().map_while(Result::ok).any(|line| line.contains("started"))));
    assert!(events.recv_timeout(TIMEOUT).unwrap(), "the servers have not started");
    parent.kill().unwrap();
    parent.wait().unwrap();
    thread::spawn(move || sender.send(stderr.read_to_end(&mut Vec::new()).is_ok()));
    assert!(events.recv_timeout(TIMEOUT).expect("servers still run after their parent was killed"));
}

#[test]
#[ignore = "the test that the other one kills"]
fn a_test_with_servers() {
    for runtime in Runtime::ALL {
        runtime.server();
    }
    println!("started");
    // Until it is killed; by itself it ends at once.
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}
