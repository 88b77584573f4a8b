//! A service whose database cannot be reached yet waits and reports that.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use e2e::{connect, service::Service};
use fanout_proto::user::v1::{GetUserRequest, user_service_client::UserServiceClient};
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_database_is_waited_for() {
    // Nothing listens on the discard port of the loopback.
    let args = ["--database", "postgres://ada:secret@127.0.0.1:9/users", "--delay", "0"];
    let service = Service::start("user-service", &args, "waiting for the database");
    let mut users = UserServiceClient::new(connect(&service.url).await);
    let status = users.get_user(GetUserRequest { user_id: "ada".into() }).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the service is still starting"));
    let unhealthy = service_kit::health::check(&service.url, std::time::Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(unhealthy.to_string(), "NOT_SERVING");
}
