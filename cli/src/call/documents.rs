//! Prints a reply as JSON, for programs.
//!
//! A unary reply is one document: the reply in protobuf's own JSON form. Of a stream, each message is one line. A request
//! that fails ends with a document of its own:
//!
//! ```json
//! { "error": { "code": "NOT_FOUND", "message": "user: no user has the id \"nobody\"" } }
//! ```

use std::{io, time::Duration};

use rpc_layers::trace::code_name;
use serde_json::{Value, json};

use crate::{
    call::{
        exchange::{Ended, Reader},
        rpc::{Reply, Rpc},
    },
    terminal::stdout,
};

/// Prints messages as JSON.
pub(super) struct Documents {
    /// Whether each document is one line.
    is_stream: bool,
}

// === impl Documents ===

impl Documents {
    pub(super) fn new(rpc: &Rpc) -> Self {
        Self { is_stream: rpc.is_stream() }
    }

    fn print(&self, document: &Value) -> io::Result<()> {
        let text = if self.is_stream { document.to_string() } else { format!("{document:#}") };
        stdout::print(&(text + "\n"))
    }
}

impl Reader for Documents {
    fn message(&mut self, reply: &Reply, _: Duration) -> io::Result<()> {
        self.print(&reply.json())
    }

    fn end(&mut self, ended: Ended) -> io::Result<()> {
        let Err(error) = ended.result else { return Ok(()) };
        self.print(&json!({ "error": { "code": code_name(error.code), "message": error.message } }))
    }
}
