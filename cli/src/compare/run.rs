//! What came of one request with one strategy.

use std::time::Duration;

use crate::gateway_client::{report::Report, request::Strategy, rpc_error::RpcError};

/// One request with one strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The strategy that was asked for.
    pub strategy: Strategy,
    /// How long the caller waited, by its own clock.
    pub waited: Duration,
    /// The gateway's report of a reply, or why there is no reply.
    ///
    /// Each gateway of this project reports; `None` is one that does not.
    pub outcome: Result<Option<Report>, RpcError>,
}

// === impl Run ===

impl Run {
    /// The report, of a reply or of a failure.
    pub fn report(&self) -> Option<&Report> {
        match &self.outcome {
            Ok(report) => report.as_ref(),
            Err(error) => error.report.as_ref(),
        }
    }

    /// The report of a reply whose calls all went well: what can be compared.
    pub fn complete(&self) -> Option<&Report> {
        let report = self.outcome.as_ref().ok()?.as_ref()?;
        report.calls.iter().all(|call| call.state == crate::gateway_client::report::CallState::Ok).then_some(report)
    }
}
