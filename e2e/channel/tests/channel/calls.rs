//! What a generated client sends and gets: messages, metadata, errors, compression.

use channel_tests::{
    echo::EchoRequest,
    raw::{Act, RawServer},
    server::{Behaviour, EchoServer},
};
use grpc_channel::{Cause, Channel, Config, Failure, Pushback};
use tonic::{Code, Request, Status, codec::CompressionEncoding};

use crate::{Client, builder, callers::Rpc, cause, client, event, seen, text};

#[tokio::test]
async fn every_kind_of_call_gets_its_replies() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    for rpc in Rpc::ALL {
        rpc.call(&mut client).await.unwrap_or_else(|status| panic!("{rpc:?}: {status:?}"));
    }
    let counts = server.log().counts();
    assert_eq!((counts.begun, counts.ended, counts.messages), (5, 5, 8));
}

/// Without descriptors every call may stream, and none is idempotent.
#[tokio::test]
async fn a_channel_without_descriptors_makes_every_kind_of_call() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = Client::new(Channel::builder("echo", [server.url()]).unwrap().connect());
    for rpc in Rpc::ALL {
        rpc.call(&mut client).await.unwrap_or_else(|status| panic!("{rpc:?}: {status:?}"));
    }
    assert_eq!(server.log().counts().ended, 5);
}

#[tokio::test]
async fn metadata_goes_there_and_comes_back() {
    fn with_metadata<T>(message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-echo", "there and back".parse().unwrap());
        request
    }
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let one = || with_metadata(text("a"));
    let many = || with_metadata(tokio_stream::iter([text("a")]));
    let replies = [
        client.get(one()).await.unwrap().metadata().clone(),
        client.list(one()).await.unwrap().metadata().clone(),
        client.collect(many()).await.unwrap().metadata().clone(),
        client.chat(many()).await.unwrap().metadata().clone(),
    ];
    for metadata in replies {
        assert_eq!(metadata.get("x-echo").unwrap(), "there and back");
    }
    assert!(server.log().header("user-agent").unwrap().starts_with("grpc-channel/"));
    assert_eq!(server.log().header("te").as_deref(), Some("trailers"));
}

#[tokio::test]
async fn an_error_keeps_its_message_details_and_metadata() {
    let server = EchoServer::start(Behaviour::default()).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let bad = EchoRequest { code: Code::FailedPrecondition as i32, details: b"why".to_vec(), ..text("not so: ☺") };
    let many = |request| tokio_stream::iter([text("a"), request]);

    // Of a unary call the status comes instead of a reply; of streams after replies, in trailers.
    let unary = client.create(bad.clone()).await.unwrap_err();
    let collected = client.collect(many(bad.clone())).await.unwrap_err();
    let mut listed = client.list(EchoRequest { replies: 2, ..bad.clone() }).await.unwrap().into_inner();
    for _ in 0..2 {
        assert!(listed.message().await.unwrap().is_some());
    }
    let listed = listed.message().await.unwrap_err();
    let mut chat = client.chat(many(bad)).await.unwrap().into_inner();
    assert_eq!(chat.message().await.unwrap().unwrap().text, "a");
    let chat = chat.message().await.unwrap_err();

    for status in [&unary, &collected, &listed, &chat] {
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not so: ☺"));
        assert_eq!(status.details(), b"why");
        assert_eq!(status.metadata().get("x-why").unwrap(), "as it was asked for");
    }
    assert_eq!(cause(&unary), Cause::Answered(Pushback::Unsaid));
    assert!(seen(&unary));
    assert_eq!(server.log().counts().begun, 4, "nothing is sent twice");
}

/// The status in the headers of a reply without a body is the status of the call, streaming or not.
#[tokio::test]
async fn an_error_may_come_with_the_headers() {
    let server = RawServer::start(|_| Act::Status("9", None)).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let many = || tokio_stream::iter([text("a")]);
    let statuses: [Status; 4] = [
        client.get(text("a")).await.unwrap_err(),
        client.list(text("a")).await.map(drop).unwrap_err(),
        client.collect(many()).await.unwrap_err(),
        client.chat(many()).await.map(drop).unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unimplemented() {
    let server = EchoServer::start(Behaviour::default()).await;
    let channel = builder(&[server.url()]).connect();
    let mut grpc = tonic::client::Grpc::new(channel);
    let path = http::uri::PathAndQuery::from_static("/echo.v1.Nobody/Get");
    let codec = tonic_prost::ProstCodec::<EchoRequest, EchoRequest>::default();
    grpc.ready().await.unwrap();
    let status = grpc.unary(Request::new(text("a")), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

/// The channel passes on compressed messages in both directions: client and server agree on them.
#[tokio::test]
async fn messages_may_be_compressed() {
    let server = EchoServer::start(Behaviour::default()).await;
    let client = client(&[server.url()], Config::default()).await;
    let mut client = client.accept_compressed(CompressionEncoding::Gzip).send_compressed(CompressionEncoding::Gzip);
    let request = EchoRequest { padding: 100_000, payload: vec![1; 100_000], replies: 2, ..text("a") };

    let reply = client.get(request.clone()).await.unwrap();
    assert_eq!(reply.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(reply.into_inner().padding.len(), 100_000);
    assert_eq!(server.log().header("grpc-encoding").as_deref(), Some("gzip"));
    let mut replies = client.list(request.clone()).await.unwrap().into_inner();
    assert_eq!(replies.message().await.unwrap().unwrap().padding.len(), 100_000);
    let reply = client.collect(tokio_stream::iter([request.clone(), request])).await.unwrap().into_inner();
    assert_eq!(reply.payload_bytes, 200_000);
}

/// A reply that is no message ends as the client's decoder or the channel says, and the call is not sent again.
#[tokio::test]
async fn a_reply_may_be_garbage() {
    let server = RawServer::start(|_| Act::Bytes(b"\xff\xff\xff\xff\xff\xff")).await;
    let mut client = client(&[server.url()], Config::default()).await;
    let status = client.get(text("a")).await.unwrap_err();
    assert_eq!((status.code(), cause(&status)), (Code::Internal, Cause::Malformed));
    let streamed = match client.list(text("a")).await {
        Ok(replies) => replies.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert_eq!(streamed.code(), Code::Internal, "{streamed:?}");
    assert_eq!(server.calls(), 2);
}

/// A failure says whether a server may have seen the call.
#[tokio::test]
async fn a_call_to_nobody_was_not_seen() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = Config { retries: 0, ..Config::default() };
    let mut client = Client::new(builder(&[format!("http://{nobody}")]).config(config).connect());
    let status = event("the call fails", client.create(text("a"))).await.unwrap_err();
    assert_eq!((status.code(), cause(&status), seen(&status)), (Code::Unavailable, Cause::Unreachable, false));
    let failure = Failure::find_in(&status).unwrap();
    assert!(failure.to_string().contains("refused"), "{failure}");
}
