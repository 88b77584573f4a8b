//! A database that goes away beneath the running service, and comes back.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::{fs, path::Path};

use e2e::{connect, service::Service, wait::within};
use fanout_proto::user::v1::{CreateUserRequest, GetUserRequest, User, user_service_client::UserServiceClient};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

async fn watch(service: &Service) -> Streaming<HealthCheckResponse> {
    let mut health = HealthClient::new(connect(&service.url).await);
    health.watch(HealthCheckRequest::default()).await.unwrap().into_inner()
}

async fn assert_turns(health: &mut Streaming<HealthCheckResponse>, status: ServingStatus) {
    let next = within("a change of health", health.message()).await;
    assert_eq!(next.unwrap().unwrap().status(), status);
}

async fn create(service: &Service, id: &str) -> Result<User, Status> {
    let request = CreateUserRequest {
        user_id: id.to_owned(),
        display_name: "A user".to_owned(),
        email: String::new(),
        country_code: "GB".to_owned(),
    };
    Ok(UserServiceClient::new(connect(&service.url).await).create_user(request).await?.into_inner())
}

async fn is_stored(service: &Service, id: &str) -> bool {
    let mut users = UserServiceClient::new(connect(&service.url).await);
    users.get_user(GetUserRequest { user_id: id.to_owned() }).await.is_ok()
}

/// Moves the database with its log.
fn move_files(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        fs::rename(name(from), name(to)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_while_the_file_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (data.path().join("users.db"), data.path().join("elsewhere.db"));
    let database = format!("sqlite:{}", path.display());
    let args = ["--database", &database, "--delay", "0"];
    let mut service = Service::start("user-service", &args, "serving");
    let mut health = watch(&service).await;
    assert_turns(&mut health, ServingStatus::Serving).await;
    create(&service, "before").await.unwrap();

    move_files(&path, &elsewhere);
    // At once, not only when health has changed.
    let refused = create(&service, "meanwhile").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "DATABASE_UNAVAILABLE");
    assert_turns(&mut health, ServingStatus::NotServing).await;

    move_files(&elsewhere, &path);
    assert_turns(&mut health, ServingStatus::Serving).await;
    create(&service, "after").await.unwrap();
    service.kill();

    let service = Service::start("user-service", &args, "serving");
    assert!(is_stored(&service, "before").await && is_stored(&service, "after").await);
    assert!(!is_stored(&service, "meanwhile").await, "it was refused before it was written");
}
