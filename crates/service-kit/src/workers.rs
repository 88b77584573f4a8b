//! The threads that serve connections, each with a runtime of its own.
//!
//! # Why a runtime for each
//!
//! The threads of one runtime take tasks from each other, so that each of them has to be able to wake any other, and whatever
//! they share is locked. A runtime that has one thread needs none of that: a request is read, run and answered by the thread
//! that waits for its connection. What is lost is that a thread without work takes another one's: a connection is given to
//! the thread that has the fewest, and stays there.
//!
//! Limits, budgets and counters are of the process: they are shared by all threads, as before.

use std::{
    iter,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// How long the end of a process waits for tasks that are still running. Only a blocking one takes longer than a
/// moment.
pub(crate) const RUNTIME_TIMEOUT: Duration = Duration::from_millis(100);

/// After how many turns of tasks a thread that has work looks for what has arrived, which timers are due, and which tasks
/// other threads have woken. tokio's 61 and 31 are for tasks that take a moment; a connection's turn has up to 32 calls, and
/// no other thread looks instead. With 61, a connection that sent ten thousand requests at once kept those to the backends
/// from being read for so long that they were taken for lost.
const LOOK_INTERVAL: u32 = 16;

/// The runtimes that serve connections. Clones share them.
#[derive(Clone, Debug)]
pub struct Workers(Arc<[Worker]>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: AtomicUsize,
}

/// A connection's place on a worker, for which it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    workers: Workers,
    index: usize,
}

// === impl Workers ===

impl Workers {
    /// Runs `main` on this thread, which is one of so many that serve connections, and returns its output. Without a number
    /// there are as many as the process has processors.
    ///
    /// Does not wait for blocking tasks: a name server that hangs holds the thread of a look-up for as long as it likes, and
    /// dropping a runtime waits for it. Other tasks that have not ended are dropped.
    ///
    /// # Panics
    ///
    /// Panics if the operating system starts no threads, or inside another runtime.
    pub fn block_on<F: Future>(threads: Option<NonZero<usize>>, main: impl FnOnce(Self) -> F) -> F::Output {
        let threads = threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZero::get);
        let stop = CancellationToken::new();
        let (running, ended) = mpsc::channel();
        let own = runtime();
        let others: Vec<Handle> = (1..threads).map(|index| start(index, stop.clone(), running.clone())).collect();
        drop(running);
        // Also if `main` panics.
        let stop = stop.drop_guard();
        let output = own.block_on(main(Self::of(iter::once(own.handle().clone()).chain(others))));
        drop(stop);
        own.shutdown_timeout(RUNTIME_TIMEOUT);
        // Nothing is sent: it is an error that the last of them has ended.
        let _ = ended.recv_timeout(RUNTIME_TIMEOUT);
        output
    }

    /// Returns the runtime that this is called in as the only one.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub(crate) fn current() -> Self {
        Self::of(iter::once(Handle::current()))
    }

    fn of(runtimes: impl Iterator<Item = Handle>) -> Self {
        Self(runtimes.map(|runtime| Worker { runtime, connections: AtomicUsize::new(0) }).collect())
    }

    /// Returns a place for a connection on the worker that has the fewest, the first of them if there are several.
    pub(crate) fn place(&self) -> Place {
        let connections = |(_, worker): &(usize, &Worker)| worker.connections.load(Ordering::Relaxed);
        let (index, worker) = self.0.iter().enumerate().min_by_key(connections).expect("there is one at least");
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Place { workers: self.clone(), index }
    }

    /// Returns the runtimes, the first of which is that of the main thread.
    pub(crate) fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.0.iter().map(|worker| &worker.runtime)
    }
}

// === impl Place ===

impl Place {
    /// Returns the runtime that the connection is to be served in.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.workers.0[self.index].runtime
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.workers.0[self.index].connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().event_interval(LOOK_INTERVAL).global_queue_interval(LOOK_INTERVAL);
    builder.build().expect("the operating system has what a runtime needs")
}

/// Starts a thread that runs tasks until it is told to stop. It drops `running` when it ends.
fn start(index: usize, stop: CancellationToken, running: mpsc::Sender<()>) -> Handle {
    let runtime = runtime();
    let handle = runtime.handle().clone();
    let run = move || {
        let _running = running;
        runtime.block_on(stop.cancelled());
        runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    };
    thread::Builder::new().name(format!("worker-{index}")).spawn(run).expect("the threads of the process start");
    handle
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, future::pending, sync::mpsc::RecvTimeoutError};

    use tokio::{sync::oneshot, task::spawn_blocking};

    use super::*;

    /// More than anything takes.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_connection_goes_to_the_worker_with_the_fewest() {
        Workers::block_on(NonZero::new(3), async |workers| {
            let index = |place: &Place| place.index;
            let mut places: Vec<_> = (0..6).map(|_| workers.place()).collect();
            assert_eq!(places.iter().map(index).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
            drop((places.remove(4), places.remove(1)));
            assert_eq!([workers.place(), workers.place(), workers.place()].map(|place| place.index), [1, 1, 0]);
            assert_eq!(index(&workers.place()), 1, "those that were dropped do not count");
        });
    }

    #[test]
    fn each_has_a_thread_of_its_own_and_the_first_is_the_one_that_is_there() {
        let main = thread::current().id();
        let threads: Vec<_> = Workers::block_on(NonZero::new(4), async |workers| {
            let ids = workers.runtimes().map(|runtime| runtime.spawn(async { thread::current().id() }));
            futures::future::try_join_all(ids).await.unwrap()
        });
        assert_eq!(threads[0], main);
        assert_eq!(threads.iter().collect::<HashSet<_>>().len(), 4);
    }

    /// The case of a name server that never answers: `getaddrinfo` blocks a thread.
    #[test]
    fn neither_a_blocking_task_nor_one_that_never_ends_holds_the_end() {
        let (_never_sent, blocking) = mpsc::channel::<()>();
        let (dropped, is_dropped) = mpsc::channel::<()>();
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            let output = Workers::block_on(NonZero::new(2), async |workers| {
                let (start, started) = oneshot::channel();
                let task = async move {
                    let _dropped = dropped;
                    spawn_blocking(move || {
                        let _ = start.send("blocking");
                        let _ = blocking.recv();
                    });
                    pending::<()>().await;
                };
                let _running = workers.runtimes().last().unwrap().spawn(task);
                started.await
            });
            let _ = done.send(output);
        });
        let output = ended.recv_timeout(LONG).expect("it does not wait for the tasks");
        assert_eq!(output, Ok("blocking"));
        assert_eq!(is_dropped.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected), "tasks are dropped");
    }
}
