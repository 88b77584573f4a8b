//! The open connections of the endpoint, and which of them gives way to a new one.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::{Id, JoinSet};

use super::MAX_CONNECTIONS;

/// The open connections. Dropping it closes them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    /// In the order in which they were accepted.
    open: VecDeque<Open>,
}

#[derive(Debug)]
struct Open {
    task: tokio::task::AbortHandle,
    asked: Asked,
}

/// Whether a connection has sent a request. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<AtomicBool>);

// === impl Asked ===

impl Asked {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Connections ===

impl Connections {
    /// Serves another connection. If there are too many, the oldest one gives way that has not sent a request, or else
    /// the oldest of all: silent connections keep no scrape out.
    pub(super) fn add<F>(&mut self, serve: impl FnOnce(Asked) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended.map_or_else(|error| error.id(), |(id, ())| id));
        }
        if self.open.len() >= MAX_CONNECTIONS {
            let silent = self.open.iter().position(|open| !open.asked.get());
            if let Some(open) = self.open.remove(silent.unwrap_or(0)) {
                open.task.abort();
            }
        }
        let asked = Asked::default();
        let task = self.tasks.spawn(serve(asked.clone()));
        self.open.push_back(Open { task, asked });
    }

    fn forget(&mut self, task: Id) {
        self.open.retain(|open| open.task.id() != task);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use parking_lot::Mutex;

    use super::*;

    /// Says when it is dropped.
    struct Served(usize, Arc<Mutex<Vec<usize>>>);

    impl Drop for Served {
        fn drop(&mut self) {
            self.1.lock().push(self.0);
        }
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_gives_way() {
        let (mut connections, ended) = (Connections::default(), Arc::<Mutex<Vec<_>>>::default());
        let mut add = |number, has_asked| {
            let served = Served(number, Arc::clone(&ended));
            connections.add(|asked| async move {
                if has_asked {
                    asked.set();
                }
                let _served = served;
                pending::<()>().await;
            });
        };
        add(0, true);
        for number in 1..MAX_CONNECTIONS {
            add(number, false);
        }
        tokio::task::yield_now().await;
        assert!(ended.lock().is_empty());
        add(100, true);
        add(101, true);
        tokio::task::yield_now().await;
        assert_eq!(*ended.lock(), [1, 2], "those that have sent a request stay");
        for number in 200..300 {
            add(number, true);
            tokio::task::yield_now().await;
        }
        assert!(ended.lock().contains(&0), "where nobody is silent, the oldest gives way");
        drop(connections);
    }

    #[tokio::test]
    async fn those_that_have_ended_are_forgotten() {
        let mut connections = Connections::default();
        for _ in 0..3 * MAX_CONNECTIONS {
            connections.add(|_| std::future::ready(()));
            tokio::task::yield_now().await;
        }
        assert!(connections.open.len() <= 2, "{}", connections.open.len());
    }
}
