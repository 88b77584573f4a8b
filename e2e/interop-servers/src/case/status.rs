//! Statuses that the server chooses, and those of methods that it does not have.

use tonic::{Code, Status};

use super::{Target, Verdict, expect};
use crate::testing::{
    EchoStatus, Empty, SimpleRequest, StreamingOutputCallRequest,
    unimplemented_service_client::UnimplementedServiceClient,
};

/// Needs percent-encoding: control characters, and characters of three and of four bytes.
const SPECIAL: &str = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

pub(super) async fn status_code_and_message(target: &Target<'_>) -> Verdict {
    let message = "test status message";
    expect_unknown(&unary(target, message).await?, message)?;

    let request =
        StreamingOutputCallRequest { response_status: echo(message), ..StreamingOutputCallRequest::default() };
    // The status may come with the headers or after them.
    let status = match target.client().full_duplex_call(tokio_stream::once(request)).await {
        Err(status) => status,
        Ok(replies) => replies.into_inner().message().await.err().ok_or("the stream succeeded")?,
    };
    expect_unknown(&status, message)
}

pub(super) async fn special_status_message(target: &Target<'_>) -> Verdict {
    expect_unknown(&unary(target, SPECIAL).await?, SPECIAL)
}

pub(super) async fn unimplemented_method(target: &Target<'_>) -> Verdict {
    let status = target.client().unimplemented_call(Empty {}).await.err().ok_or("the call succeeded")?;
    expect("the code", status.code(), Code::Unimplemented)
}

pub(super) async fn unimplemented_service(target: &Target<'_>) -> Verdict {
    let mut client = UnimplementedServiceClient::new(target.channel.clone());
    let status = client.unimplemented_call(Empty {}).await.err().ok_or("the call succeeded")?;
    expect("the code", status.code(), Code::Unimplemented)
}

/// Makes a unary call that the server ends with the code 2 and this message.
async fn unary(target: &Target<'_>, message: &str) -> Result<Status, &'static str> {
    let request = SimpleRequest { response_status: echo(message), ..SimpleRequest::default() };
    target.client().unary_call(request).await.err().ok_or("the call succeeded")
}

#[allow(clippy::unnecessary_wraps, reason = "the fields of messages are optional")]
fn echo(message: &str) -> Option<EchoStatus> {
    Some(EchoStatus { code: 2, message: message.to_owned() })
}

fn expect_unknown(status: &Status, message: &str) -> Verdict {
    expect("the code", status.code(), Code::Unknown)?;
    expect("the message", status.message(), message)
}
