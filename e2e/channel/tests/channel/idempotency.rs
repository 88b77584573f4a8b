//! What is sent again, and what is not.

use channel_tests::raw::{Act, RawServer};
use grpc_channel::{Cause, Config, Pushback};
use h2::Reason;
use tonic::{Code, Status};

use crate::{Client, cause, client, seen, text};

/// The first call gets this, the others succeed.
async fn first(act: Act) -> (RawServer, Client) {
    let server = RawServer::start(move |number| if number == 0 { act.clone() } else { Act::Reply("again") }).await;
    let client = client(&[server.url()], Config::default()).await;
    (server, client)
}

async fn list(client: &mut Client) -> Result<String, Status> {
    let reply = client.list(text("a")).await?.into_inner().message().await?;
    Ok(reply.expect("it has one reply").text)
}

async fn chat(client: &mut Client) -> Result<String, Status> {
    let mut replies = client.chat(tokio_stream::iter([text("a"), text("b")])).await?.into_inner();
    Ok(replies.message().await?.expect("it has one reply").text)
}

const BROKEN: Act = Act::ReadAndReset(Reason::INTERNAL_ERROR);

/// The contract's `idempotency_level` alone decides.
#[tokio::test]
async fn only_an_idempotent_call_is_sent_again_after_its_stream_broke() {
    let (server, mut client) = first(BROKEN).await;
    assert_eq!(client.get(text("a")).await.unwrap().into_inner().text, "again");
    assert_eq!(server.calls(), 2);

    let (server, mut client) = first(BROKEN).await;
    let status = client.create(text("a")).await.unwrap_err();
    assert_eq!((status.code(), cause(&status), seen(&status)), (Code::Unavailable, Cause::Lost, true));
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn only_an_idempotent_call_is_sent_again_after_unavailable() {
    let (server, mut client) = first(Act::Status("14", None)).await;
    assert_eq!(client.get(text("a")).await.unwrap().into_inner().text, "again");
    assert_eq!(server.calls(), 2);

    let (server, mut client) = first(Act::Status("14", None)).await;
    let status = client.create(text("a")).await.unwrap_err();
    assert_eq!((cause(&status), server.calls()), (Cause::Answered(Pushback::Unsaid), 1));
}

#[tokio::test]
async fn a_pushback_forbids_retries() {
    let (server, mut client) = first(Act::Status("14", Some("-1"))).await;
    let status = client.get(text("a")).await.unwrap_err();
    assert_eq!((cause(&status), server.calls()), (Cause::Answered(Pushback::Never), 1));
}

/// A stream that was sent is not sent again, whatever its messages.
#[tokio::test]
async fn a_stream_that_was_sent_is_not_sent_again() {
    for act in [BROKEN, Act::Status("14", None), Act::ReplyAndReset("cut", Reason::INTERNAL_ERROR)] {
        let (server, mut client) = first(act.clone()).await;
        let mut replies = match client.list(text("a")).await {
            Ok(replies) => replies.into_inner(),
            Err(status) => {
                assert_eq!((status.code(), server.calls()), (Code::Unavailable, 1), "{act:?}");
                continue;
            }
        };
        let status = loop {
            match replies.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{act:?}: it succeeded"),
                Err(status) => break status,
            }
        };
        assert_eq!((status.code(), server.calls()), (Code::Unavailable, 1), "{act:?}");
        assert!(seen(&status), "{act:?}");
    }
}

/// The server promises that it did not process the call, so everything whose messages are still there is sent again, also
/// what is not idempotent.
#[tokio::test]
async fn what_was_refused_is_sent_again() {
    let (server, mut client) = first(Act::Refuse).await;
    assert_eq!(client.create(text("a")).await.unwrap().into_inner().text, "again");
    assert_eq!(server.calls(), 2);

    let (server, mut client) = first(Act::Refuse).await;
    assert_eq!(list(&mut client).await.unwrap(), "again");
    assert_eq!(server.calls(), 2);
}

/// Of a request that streams, messages were taken from the caller: they cannot be sent again, even if the server refused
/// the call.
#[tokio::test]
async fn a_request_of_which_messages_were_taken_is_not_sent_again() {
    for act in [Act::Refuse, BROKEN] {
        let (server, mut client) = first(act.clone()).await;
        let status = chat(&mut client).await.unwrap_err();
        assert_eq!((status.code(), server.calls()), (Code::Unavailable, 1), "{act:?}: {status:?}");
        assert_eq!(seen(&status), act != Act::Refuse, "{act:?}");

        let (server, mut client) = first(act.clone()).await;
        let status = client.collect(tokio_stream::iter([text("a"), text("b")])).await.unwrap_err();
        assert_eq!((status.code(), server.calls()), (Code::Unavailable, 1), "{act:?}: {status:?}");
    }
}
