//! A typed method of a backend.

use std::marker::PhantomData;

use http::uri::PathAndQuery;

use super::Backend;

/// A method of a backend, which takes a `Q` and returns an `R`.
#[derive(Debug)]
pub struct Method<Q, R> {
    backend: Backend,
    name: &'static str,
    path: PathAndQuery,
    messages: PhantomData<fn(Q) -> R>,
}

// === impl Method ===

impl<Q, R> Method<Q, R> {
    /// Names the method at this path, such as `/fanout.user.v1.UserService/GetUser`.
    pub const fn new(backend: Backend, path: &'static str) -> Self {
        Self { backend, name: path, path: PathAndQuery::from_static(path), messages: PhantomData }
    }

    /// Returns the backend that has the method.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Returns the method as reports name it: its path without the first slash.
    pub fn name(&self) -> &'static str {
        self.name.trim_start_matches('/')
    }

    pub(crate) fn path(&self) -> &PathAndQuery {
        &self.path
    }
}
