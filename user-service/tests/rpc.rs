//! The RPCs over a real connection, with the generated client, on SQLite.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use fanout_proto::user::v1::{
    CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse, User,
    user_service_client::UserServiceClient, user_service_server::UserServiceServer,
};
use service_kit::domain_error::DomainError as _;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Status,
    transport::{Channel, Server},
};
use tonic_types::{ErrorDetails, StatusExt as _};
use user_service::{Store, Users, error::DOMAIN};

/// A server, which ends with the test's runtime, and a client of it.
struct Service {
    client: UserServiceClient<Channel>,
    store: Store,
    dir: TempDir,
}

// === impl Service ===

impl Service {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", dir.path().join("users.db").display()).parse().unwrap();
        let store = Store::open(&database).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = UserServiceServer::new(Users::new(store.clone()));
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        let client = UserServiceClient::connect(format!("http://{address}")).await.unwrap();
        Self { client, store, dir }
    }

    async fn get(&mut self, id: &str) -> Result<User, Status> {
        Ok(self.client.get_user(GetUserRequest { user_id: id.to_owned() }).await?.into_inner())
    }

    async fn list(&mut self, page_size: i32, page_token: &str) -> Result<ListUsersResponse, Status> {
        let request = ListUsersRequest { page_size, page_token: page_token.to_owned() };
        Ok(self.client.list_users(request).await?.into_inner())
    }

    async fn create(&mut self, request: CreateUserRequest) -> Result<User, Status> {
        Ok(self.client.create_user(request).await?.into_inner())
    }
}

fn ada() -> CreateUserRequest {
    CreateUserRequest {
        user_id: "ada".into(),
        display_name: "Ada Lovelace".into(),
        email: "ada@example.org".into(),
        country_code: "GB".into(),
    }
}

/// Checks code and reason, and returns all details.
fn details(status: &Status, code: Code, reason: &str) -> ErrorDetails {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(!status.message().is_empty() && status.message().len() < 4096, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().expect("each error has its reason");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, DOMAIN));
    details
}

/// Checks that the details name exactly these fields.
fn invalid(status: &Status, fields: &[&str]) {
    let details = details(status, Code::InvalidArgument, "INVALID_REQUEST");
    let violations = &details.bad_request().unwrap().field_violations;
    let named: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(named, fields);
    for violation in violations {
        assert!(violation.description.len() > 10 && violation.description.len() < 1200);
        assert!(status.message().contains(&violation.field), "the message says it too: {status:?}");
    }
}

fn resource(status: &Status, code: Code, reason: &str, name: &str) {
    let details = details(status, code, reason);
    let resource = details.resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("fanout.user.v1.User", name));
    assert!(status.message().contains(name));
}

#[tokio::test]
async fn a_created_user_is_returned_and_found() {
    let mut service = Service::start().await;
    let created = service.create(ada()).await.unwrap();
    let CreateUserRequest { user_id, display_name, email, country_code } = ada();
    let time = created.create_time.unwrap();
    assert!(time.seconds > 1_700_000_000 && time.nanos % 1000 == 0, "to the microsecond: {time}");
    assert_eq!(created, User { id: user_id, display_name, email, country_code, create_time: Some(time) });
    assert_eq!(service.get("ada").await.unwrap(), created);
}

#[tokio::test]
async fn an_unknown_user_is_not_found() {
    let mut service = Service::start().await;
    resource(&service.get("nobody").await.unwrap_err(), Code::NotFound, "USER_NOT_FOUND", "nobody");
}

#[tokio::test]
async fn a_taken_id_already_exists() {
    let mut service = Service::start().await;
    service.create(ada()).await.unwrap();
    let status = service.create(ada()).await.unwrap_err();
    resource(&status, Code::AlreadyExists, "USER_EXISTS", "ada");
}

#[tokio::test]
async fn an_error_names_every_invalid_field() {
    let mut service = Service::start().await;
    for id in ["", "Ada", "-ada", "a b", "ada\0", &"x".repeat(1_000_000), &"\u{10ffff}".repeat(64)] {
        invalid(&service.get(id).await.unwrap_err(), &["user_id"]);
    }
    invalid(
        &service.create(CreateUserRequest::default()).await.unwrap_err(),
        &["user_id", "display_name", "country_code"],
    );
    let wrong = CreateUserRequest {
        user_id: "é".into(),
        display_name: "\u{7}".into(),
        email: "@".repeat(1_000_000),
        country_code: "gb".into(),
    };
    invalid(&service.create(wrong).await.unwrap_err(), &["user_id", "display_name", "email", "country_code"]);
    invalid(&service.create(CreateUserRequest { email: "ada".into(), ..ada() }).await.unwrap_err(), &["email"]);
    invalid(&service.list(-1, "ada").await.unwrap_err(), &["page_size", "page_token"]);
    invalid(&service.list(1001, "").await.unwrap_err(), &["page_size"]);
    resource(&service.get("ada").await.unwrap_err(), Code::NotFound, "USER_NOT_FOUND", "ada");
}

#[tokio::test]
async fn pages_follow_their_tokens() {
    let mut service = Service::start().await;
    let nobody = service.list(0, "").await.unwrap();
    assert_eq!(nobody, ListUsersResponse::default());
    service.store.seed().await.unwrap();

    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let page = service.list(5, &token).await.unwrap();
        ids.extend(page.users.into_iter().map(|user| user.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        assert_eq!(ids.len() % 5, 0, "a page before the last is full");
    }
    assert_eq!(ids.len(), 12);
    assert!(ids.is_sorted_by(|a, b| a < b));

    let exact = service.list(12, "").await.unwrap();
    assert_eq!((exact.users.len(), exact.next_page_token.as_str()), (12, ""), "no token to an empty page");
}

#[tokio::test]
async fn a_changed_or_foreign_token_is_rejected() {
    let mut service = Service::start().await;
    service.store.seed().await.unwrap();
    let token = service.list(5, "").await.unwrap().next_page_token;
    let swapped: String = token.chars().rev().collect();
    for wrong in [&token[1..], &token[..token.len() - 1], &format!("{token}A"), &swapped, "5", &"A".repeat(1_000_000)] {
        invalid(&service.list(5, wrong).await.unwrap_err(), &["page_token"]);
    }
    assert_eq!(service.list(5, &token).await.unwrap().users.len(), 5);
}

#[tokio::test]
async fn a_database_that_is_gone_is_unavailable() {
    let mut service = Service::start().await;
    service.store.close().await;
    for status in [
        service.get("ada").await.unwrap_err(),
        service.list(0, "").await.unwrap_err(),
        service.create(ada()).await.unwrap_err(),
    ] {
        details(&status, Code::Unavailable, "DATABASE_UNAVAILABLE");
        let place = service.dir.path().to_str().unwrap();
        assert!(!format!("{status:?}").contains(place), "where the file is concerns no caller: {status:?}");
    }
}

#[tokio::test]
async fn a_damaged_database_is_data_loss() {
    let mut service = Service::start().await;
    let path = service.dir.path().join("users.db");
    service.store.seed().await.unwrap();
    service.store.close().await;
    // The users are on the last page of the file.
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();

    let store = Store::open(&format!("sqlite:{}", path.display()).parse().unwrap()).await.unwrap();
    let error = store.get("ada").await.unwrap_err();
    let status = user_service::UserError::from(error).to_status();
    details(&status, Code::DataLoss, "DATABASE_CORRUPT");
    assert!(service.get("ada").await.is_err());
}
