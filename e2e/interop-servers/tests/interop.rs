//! Runs each of gRPC's interop cases against each server. A test checks nothing, and says so, if the server's
//! runtime is not installed; `FANOUT_REQUIRE_INTEROP=1` makes that a failure.

use interop_servers::{case::Case, server::Runtime};

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
