//! The spans of queries, as a subscriber sees them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use futures::future::join_all;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt as _},
};

use user_service::{Database, Store};

use crate::{
    Fresh,
    cluster::{Cluster, PASSWORD},
    new_user,
};

type Fields = BTreeMap<&'static str, String>;

/// Records the fields of all spans of this crate in the order of their creation.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(span::Id, Fields)>>>);

struct Into<'a>(&'a mut Fields);

impl<S: Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, _: Context<'_, S>) {
        if attributes.metadata().target().starts_with("user_service") {
            let mut fields = Fields::new();
            attributes.record(&mut Into(&mut fields));
            self.0.lock().unwrap().push((id.clone(), fields));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, _: Context<'_, S>) {
        // The registry reuses the ids of closed spans: the last one counts.
        if let Some((_, fields)) = self.0.lock().unwrap().iter_mut().rev().find(|(made, _)| made == id) {
            values.record(&mut Into(fields));
        }
    }
}

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

/// Returns the spans of three queries: create, create with the same id, get.
async fn spans(database: &Database) -> [Fields; 3] {
    let spans = Spans::default();
    let store = Store::open(database).await.unwrap();
    let subscriber = tracing::subscriber::set_default(Registry::default().with(spans.clone()));
    store.create(new_user("ada")).await.unwrap();
    store.create(new_user("ada")).await.unwrap_err();
    store.get("ada").await.unwrap();
    drop(subscriber);
    let made = std::mem::take(&mut *spans.0.lock().unwrap());
    made.into_iter().map(|(_, fields)| fields).collect::<Vec<_>>().try_into().expect("a span for each query")
}

fn has(fields: &Fields, expected: &[(&str, &str)]) {
    for (name, value) in expected {
        assert_eq!(fields.get(name).map(String::as_str), Some(*value), "{name} in {fields:?}");
    }
}

fn has_not(fields: &Fields, names: &[&str]) {
    for name in names {
        assert!(!fields.contains_key(name), "{name} in {fields:?}");
    }
}

async fn look_ups_say_how_many_share_their_query(database: &Database) {
    let store = Store::open(database).await.unwrap();
    store.create(new_user("u7")).await.unwrap();
    // Alone, with and without a power of two, and as many as there may be.
    for lookups in [1, 2, 3, 33, 64] {
        let spans = Spans::default();
        let subscriber = tracing::subscriber::set_default(Registry::default().with(spans.clone()));
        let ids: Vec<_> = (0..lookups).map(|number| format!("u{}", number + 7)).collect();
        let found = join_all(ids.iter().map(|id| store.get(id))).await;
        drop(subscriber);
        let found: Vec<_> = found.into_iter().filter_map(|user| user.unwrap()).map(|user| user.id).collect();
        assert_eq!(found, ["u7"]);
        let shared: Vec<_> = spans.0.lock().unwrap().iter().map(|(_, made)| made.get(LOOKUPS).cloned()).collect();
        assert_eq!(shared, vec![(lookups > 1).then(|| lookups.to_string()); lookups], "each has a span");
    }
}

#[tokio::test]
async fn look_ups_share_queries_of_sqlite() {
    look_ups_say_how_many_share_their_query(&Fresh::sqlite().database).await;
}

#[tokio::test]
async fn look_ups_share_queries_of_postgres() {
    let Some(cluster) = Cluster::shared() else { return };
    look_ups_say_how_many_share_their_query(&cluster.database().await.parse().unwrap()).await;
}

const LOOKUPS: &str = "fanout.lookups";
const FAILURE: [&str; 3] = ["otel.status_code", "error.type", "db.response.status_code"];

#[tokio::test]
async fn a_query_of_sqlite_is_a_client_span_by_the_conventions() {
    let fresh = Fresh::sqlite();
    let [create, again, get] = spans(&fresh.database).await;
    let namespace = fresh.database.to_string().replace("sqlite:", "");
    has(
        &get,
        &[
            ("otel.name", "SELECT users"),
            ("otel.kind", "client"),
            ("db.system.name", "sqlite"),
            ("db.namespace", &namespace),
            ("db.operation.name", "SELECT"),
            ("db.collection.name", "users"),
            ("db.query.text", "SELECT id, display_name, email, country_code, create_time FROM users WHERE id = $1"),
        ],
    );
    has_not(&get, &FAILURE);
    has_not(&get, &["server.address", "server.port", LOOKUPS]);
    has(&create, &[("otel.name", "INSERT users"), ("db.operation.name", "INSERT")]);
    has_not(&create, &FAILURE);
    // SQLITE_CONSTRAINT_PRIMARYKEY
    has(&again, &[("otel.status_code", "ERROR"), ("error.type", "1555"), ("db.response.status_code", "1555")]);
}

#[tokio::test]
async fn a_query_of_postgres_records_the_server_and_no_password() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.database().await;
    let (_, port_and_name) = url.rsplit_once(':').unwrap();
    let (port, name) = port_and_name.split_once('/').unwrap();
    let [create, again, get] = spans(&url.parse().unwrap()).await;
    has(
        &get,
        &[
            ("otel.name", "SELECT users"),
            ("db.system.name", "postgresql"),
            ("db.namespace", name),
            ("server.address", "127.0.0.1"),
            ("server.port", port),
        ],
    );
    has(&again, &[("otel.status_code", "ERROR"), ("error.type", "23505"), ("db.response.status_code", "23505")]);
    assert!(!format!("{create:?}{again:?}{get:?}").contains(PASSWORD));
}
