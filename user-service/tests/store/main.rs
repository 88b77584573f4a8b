//! The store: the same tests on SQLite and on PostgreSQL.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

mod authority;
mod cluster;
mod failures;
mod readiness;
mod spans;
mod tls;

use std::collections::BTreeSet;

use futures::future::join_all;
use tempfile::TempDir;
use user_service::{
    Database, NewUser, Store, StoreError,
    user::{PageSize, User},
};

use crate::cluster::Cluster;

/// An empty database for one test.
pub(crate) struct Fresh {
    pub(crate) database: Database,
    _dir: Option<TempDir>,
}

// === impl Fresh ===

impl Fresh {
    pub(crate) fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", dir.path().join("users.db").display()).parse().unwrap();
        Self { database, _dir: Some(dir) }
    }

    async fn postgres() -> Option<Self> {
        let url = Cluster::shared()?.database().await;
        Some(Self { database: url.parse().unwrap(), _dir: None })
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.database).await.unwrap()
    }
}

/// Defines two tests for each function.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Fresh::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                if let Some(fresh) = super::Fresh::postgres().await {
                    super::$test(fresh).await;
                }
            })*
        }
    };
}

on_both! {
    a_created_user_comes_back
    a_created_user_is_there_after_opening_again
    look_ups_at_once_find_each_user
    an_id_is_taken_once
    seed_fills_an_empty_table_once
    seed_leaves_other_users_alone
    seeds_at_once_add_everybody_once
    opening_at_once_makes_one_schema
    the_order_is_that_of_the_bytes
    pages_show_each_user_once_in_order
    pages_stay_whole_while_users_are_added
    a_closed_store_is_unavailable
}

pub(crate) fn new_user(id: &str) -> NewUser {
    NewUser::new(id.into(), format!("User {id}"), format!("{id}@example.org"), "GB".into()).unwrap()
}

/// Returns all users, in pages of this size.
async fn all(store: &Store, size: i32) -> Vec<User> {
    let size = PageSize::new(size).unwrap();
    let mut users: Vec<User> = Vec::new();
    loop {
        let after = users.last().map(|user| user.id.clone());
        let page = store.list(size, after.as_deref()).await.unwrap();
        assert!(page.users.len() == size.get() || !page.more, "a page before the last is full");
        users.extend(page.users);
        if !page.more {
            return users;
        }
    }
}

async fn a_created_user_comes_back(fresh: Fresh) {
    let store = fresh.open().await;
    assert_eq!(store.get("çağrı").await.unwrap(), None);
    let new = NewUser::new("ada".into(), "Ağa \u{1f980} O'Neil \"x\"".into(), String::new(), "TR".into()).unwrap();
    let created = store.create(new).await.unwrap();
    assert_eq!(store.get("ada").await.unwrap().as_ref(), Some(&created));
    assert_eq!(created.display_name, "Ağa \u{1f980} O'Neil \"x\"");
    assert_eq!((created.id.as_str(), created.email.as_str(), created.country_code.as_str()), ("ada", "", "TR"));
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
    assert!(age.abs_diff(u128::try_from(created.create_time).unwrap()) < 60_000_000, "microseconds");
    store.ping().await.unwrap();
}

async fn a_created_user_is_there_after_opening_again(fresh: Fresh) {
    let store = fresh.open().await;
    let created = store.create(new_user("ada")).await.unwrap();
    store.close().await;
    assert_eq!(fresh.open().await.get("ada").await.unwrap(), Some(created));
}

async fn look_ups_at_once_find_each_user(fresh: Fresh) {
    let store = fresh.open().await;
    fill(&store, 0..100).await;
    // More than share a query, some for nobody, and each for somebody else.
    let ids: Vec<_> = (0..200).map(numbered).collect();
    let found = join_all(ids.iter().map(|id| store.get(id))).await;
    for (number, user) in found.into_iter().enumerate() {
        let user = user.unwrap().map(|user| user.id);
        assert_eq!(user.as_ref(), (number < 100).then_some(&ids[number]));
    }
}

async fn an_id_is_taken_once(fresh: Fresh) {
    let store = fresh.open().await;
    let first = store.create(new_user("ada")).await.unwrap();
    let error = store.create(new_user("ada")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Exists { id } if id == "ada"), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(store.get("ada").await.unwrap(), Some(first), "and the first user stays");
}

async fn seed_fills_an_empty_table_once(fresh: Fresh) {
    let store = fresh.open().await;
    assert_eq!(store.seed().await.unwrap(), 12);
    assert_eq!(store.seed().await.unwrap(), 0);
    let users = all(&store, 5).await;
    assert_eq!(users.len(), 12);
    for user in users {
        let User { id, display_name, email, country_code, create_time } = user;
        assert!(email.ends_with("@example.org") || email.ends_with("@example.com"), "{email}");
        assert!(create_time > 1_700_000_000_000_000, "{create_time}");
        NewUser::new(id, display_name, email, country_code).unwrap();
    }
    assert_eq!(store.get("grace").await.unwrap().unwrap().display_name, "Grace Hopper");
}

async fn seed_leaves_other_users_alone(fresh: Fresh) {
    let store = fresh.open().await;
    store.create(new_user("zoe")).await.unwrap();
    assert_eq!(store.seed().await.unwrap(), 0);
    assert_eq!(all(&store, 0).await.len(), 1);
}

async fn seeds_at_once_add_everybody_once(fresh: Fresh) {
    let stores = [fresh.open().await, fresh.open().await, fresh.open().await, fresh.open().await];
    let seeds = stores.clone().map(|store| tokio::spawn(async move { store.seed().await.unwrap() }));
    let mut added = 0;
    for seed in seeds {
        added += seed.await.unwrap();
    }
    assert_eq!(added, 12);
    assert_eq!(all(&stores[0], 0).await.len(), 12);
}

async fn opening_at_once_makes_one_schema(fresh: Fresh) {
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let database = fresh.database.clone();
            tokio::spawn(async move { Store::open(&database).await })
        })
        .collect();
    let mut stores = 0;
    for open in opened {
        match open.await.unwrap() {
            Ok(store) => {
                store.ping().await.unwrap();
                stores += 1;
            }
            // SQLite may time out; the service tries again.
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    assert!(stores > 0);
}

async fn the_order_is_that_of_the_bytes(fresh: Fresh) {
    let store = fresh.open().await;
    let ids = ["b", "a_b", "a-b", "ab", "a", "a0", "0", "aa", "a-", "a_", "9", "10", "a1b", "a-1", "z", "0z"];
    for id in ids {
        store.create(new_user(id)).await.unwrap();
    }
    let listed: Vec<String> = all(&store, 3).await.into_iter().map(|user| user.id).collect();
    assert_eq!(listed, BTreeSet::from(ids).into_iter().collect::<Vec<_>>(), "as Rust compares bytes");
}

/// Returns the id of the user with a number.
fn numbered(number: u32) -> String {
    // Users with consecutive numbers are not neighbours in the order of ids.
    format!("u{:08x}", number.wrapping_mul(0x9e37_79b1))
}

async fn fill(store: &Store, numbers: std::ops::Range<u32>) {
    for number in numbers {
        store.create(new_user(&numbered(number))).await.unwrap();
    }
}

async fn pages_show_each_user_once_in_order(fresh: Fresh) {
    let store = fresh.open().await;
    fill(&store, 0..1003).await;
    let ids: BTreeSet<String> = (0..1003).map(numbered).collect();
    for size in [1, 7, 0, 333, 999, 1000] {
        let listed = all(&store, size).await;
        assert!(listed.iter().map(|user| &user.id).eq(&ids), "{size} a page");
    }
    let page = store.list(PageSize::MAX, ids.last().map(String::as_str)).await.unwrap();
    assert!(page.users.is_empty() && !page.more, "nobody comes after the last");
}

async fn pages_stay_whole_while_users_are_added(fresh: Fresh) {
    let store = fresh.open().await;
    fill(&store, 0..300).await;
    let adding = tokio::spawn({
        let store = store.clone();
        async move { fill(&store, 300..600).await }
    });
    let mut rounds = 0;
    while rounds < 3 || !adding.is_finished() {
        let listed: Vec<String> = all(&store, 13).await.into_iter().map(|user| user.id).collect();
        assert!(listed.is_sorted_by(|a, b| a < b), "in order, nobody twice");
        let listed: BTreeSet<_> = listed.into_iter().collect();
        assert!((0..300).all(|number| listed.contains(&numbered(number))), "nobody left out");
        rounds += 1;
    }
    adding.await.unwrap();
    assert_eq!(all(&store, 1000).await.len(), 600);
}

async fn a_closed_store_is_unavailable(fresh: Fresh) {
    let store = fresh.open().await;
    store.close().await;
    let error = store.get("ada").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}
