//! The client channel under test.

use grpc_channel::Descriptors;

use crate::FILE_DESCRIPTOR_SET;

/// The channel that the generated clients run on.
pub type Channel = grpc_channel::Channel;

/// What the table calls the channel.
pub const NAME: &str = "`grpc-channel`";

/// Returns a channel to the server on this port of the loopback interface.
///
/// # Panics
///
/// Panics outside a tokio runtime.
pub fn connect(port: u16) -> Channel {
    let descriptors = Descriptors::decode(FILE_DESCRIPTOR_SET).expect("the contract was compiled with this crate");
    Channel::builder("interop", [format!("http://127.0.0.1:{port}")])
        .expect("a port makes a valid URL")
        .descriptors(descriptors)
        .connect()
}
