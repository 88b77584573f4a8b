//! The client channel under test.

use tonic::transport::Endpoint;

use crate::case::Case;

/// The channel that the generated clients run on.
pub type Channel = tonic::transport::Channel;

/// What the table calls the channel.
pub const NAME: &str = "tonic's `Channel`";

/// Cases that the channel is known to fail at least sometimes, and why. Their tests check nothing.
pub const KNOWN_FAILURES: &[(Case, &str)] = &[
    (
        Case::CancelAfterFirstResponse,
        "a call whose replies are dropped is not cancelled while its stream of requests is open",
    ),
    (
        Case::TimeoutOnSleepingServer,
        "a timeout inside tonic's client ends the call as CANCELLED, not as DEADLINE_EXCEEDED",
    ),
];

/// Returns a channel to the server on this port of the loopback interface.
///
/// # Panics
///
/// Panics outside a tokio runtime.
pub fn connect(port: u16) -> Channel {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a port makes a valid URI").connect_lazy()
}
