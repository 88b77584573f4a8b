//! The result of one request with one strategy.

use std::time::Duration;

use crate::gateway_client::{report::Report, request::Strategy, rpc_error::RpcError};

/// One request with one strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The requested strategy.
    pub strategy: Strategy,
    /// How long the caller waited, by its own clock.
    pub waited: Duration,
    /// The report of the reply, or the error.
    ///
    /// Gateways of this project always send a report; `None` means that another one did not.
    pub result: Result<Option<Report>, RpcError>,
}

// === impl Run ===

impl Run {
    /// Returns the report of the reply or of the error.
    pub fn report(&self) -> Option<&Report> {
        match &self.result {
            Ok(report) => report.as_ref(),
            Err(error) => error.report.as_ref(),
        }
    }

    /// Returns why the gateway rejected the request before it made a call, whatever the strategy: for an override that
    /// no backend has, or another invalid field.
    pub fn rejection(&self) -> Option<&str> {
        let error = self.result.as_ref().err()?;
        error.is_rejection().then_some(error.message.as_str())
    }

    /// Returns the report of a reply whose calls all succeeded: only those can be compared.
    pub fn complete(&self) -> Option<&Report> {
        let report = self.result.as_ref().ok()?.as_ref()?;
        report.calls.iter().all(|call| call.state == crate::gateway_client::report::CallState::Ok).then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::compare::fixtures::unreachable;

    #[test]
    fn only_an_invalid_request_that_made_no_call_is_rejected() {
        let failed = |code, report| {
            let error = RpcError { code, message: "no".to_owned(), report };
            Run { result: Err(error), ..unreachable() }
        };
        assert_eq!(failed(Code::InvalidArgument, None).rejection(), Some("no"));
        assert_eq!(failed(Code::InvalidArgument, Some(Report::default())).rejection(), None, "a backend's answer");
        assert_eq!(failed(Code::NotFound, None).rejection(), None);
    }
}
