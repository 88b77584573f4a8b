//! `fanout call`: one request, its calls as a picture, and its reply.
//!
//! # Layout
//!
//! * [`args`]: the flags.
//! * `rpc`: the method and the message that they describe, by the contract's descriptors.
//! * `error_details`: details of errors, of which some have no form in JSON.
//! * `exchange`: sends the message, and receives the messages of the reply one by one.
//! * `screen`: shows them to people; `documents`: prints them as JSON.
//! * `json_layout`: JSON that fits the terminal's width.
//! * `other_clients`: the commands of other clients that make the same request.

pub mod args;
mod documents;
mod error_details;
mod exchange;
mod json_layout;
mod other_clients;
mod rpc;
mod screen;

pub use self::args::CallArgs;
use self::{documents::Documents, exchange::Reader, rpc::Rpc, screen::Screen};
use crate::{
    completion::{ClientError, Completion},
    gateway_client::{
        connector::Connector,
        request::{RequestArgs, Strategy},
    },
};

/// Returns grpcurl's command for a request, on one line.
pub(crate) fn grpcurl(request: &RequestArgs, strategy: Option<Strategy>) -> String {
    let [grpcurl, _] = other_clients::commands(&Rpc::of_request(request, strategy), &request.options, usize::MAX);
    grpcurl
}

/// Runs the command: makes the request, and prints each message of its reply as soon as it is there.
///
/// # Errors
///
/// Returns an error if there is no gateway at the address, if it rejects the request before it makes a call, or if
/// standard output cannot be written.
pub async fn call(args: &CallArgs) -> Result<Completion, ClientError> {
    let channel = Connector::new(&args.options)?.connect_checked().await?;
    let rpc = Rpc::new(args);
    let mut reader: Box<dyn Reader> =
        if args.output.json { Box::new(Documents::new(&rpc)) } else { Box::new(Screen::new(args, &rpc)) };
    let ended = exchange::run(channel, &rpc, &args.options, &mut *reader).await?;
    if let Some(reason) = ended.rejection() {
        return Err(ClientError::Rejected(reason.to_owned()));
    }
    let completion = if ended.result.is_ok() { Completion::Success } else { Completion::RequestsFailed };
    reader.end(ended)?;
    Ok(completion)
}
