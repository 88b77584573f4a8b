//! An acknowledged `CreateUser` survives `kill -9`.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use e2e::{connect, service::Service, wait::within};
use fanout_proto::user::v1::{CreateUserRequest, ListUsersRequest, user_service_client::UserServiceClient};
use tokio::sync::Notify;

const ROUNDS: usize = 5;
const ACKNOWLEDGED_A_ROUND: usize = 200;
const WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_dash_nine_loses_no_acknowledged_user() {
    let data = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", data.path().join("users.db").display());
    let args = ["--database", &database, "--delay", "0", "--log", "info,rpc_layers::trace=warn"];
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut service = Service::start("user-service", &args, "serving");
    for round in 0..ROUNDS {
        let (next, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let before = acknowledged.lock().unwrap().len();
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (next, enough) = (Arc::clone(&next), Arc::clone(&enough));
                let (acknowledged, url) = (Arc::clone(&acknowledged), service.url.clone());
                tokio::spawn(async move {
                    let mut users = UserServiceClient::new(connect(&url).await);
                    // Continues until the service is killed.
                    loop {
                        let user_id = format!("user-{round}-{}", next.fetch_add(1, Ordering::Relaxed));
                        let request = CreateUserRequest {
                            user_id: user_id.clone(),
                            display_name: "A user".into(),
                            email: String::new(),
                            country_code: "GB".into(),
                        };
                        if users.create_user(request).await.is_err() {
                            return;
                        }
                        let mut acknowledged = acknowledged.lock().unwrap();
                        acknowledged.push(user_id);
                        if acknowledged.len() >= before + ACKNOWLEDGED_A_ROUND {
                            enough.notify_one();
                        }
                    }
                })
            })
            .collect();
        within("enough acknowledged users", enough.notified()).await;
        service.kill();
        for writer in writers {
            within("the end of a writer without a server", writer).await.unwrap();
        }
        service = Service::start("user-service", &args, "serving");
        let stored = all_ids(&service.url).await;
        let acknowledged = acknowledged.lock().unwrap();
        assert!(acknowledged.len() >= before + ACKNOWLEDGED_A_ROUND);
        let lost: Vec<_> = acknowledged.iter().filter(|id| stored.binary_search(id).is_err()).collect();
        assert!(lost.is_empty(), "round {round} lost {lost:?} of {}", acknowledged.len());
    }
}

/// Returns every stored id, in order.
async fn all_ids(url: &str) -> Vec<String> {
    let mut users = UserServiceClient::new(connect(url).await);
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = users.list_users(ListUsersRequest { page_size: 1000, page_token }).await.unwrap().into_inner();
        ids.extend(page.users.into_iter().map(|user| user.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}
