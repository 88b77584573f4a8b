//! Reads a gateway's report.

use fanout_proto::gateway::v1::{CallReport, FanOutReport};
use prost::Message as _;
use tonic::Status;

/// Returns the report of the call with this name.
pub fn call<'a>(report: &'a FanOutReport, name: &str) -> &'a CallReport {
    report.calls.iter().find(|call| call.name == name).unwrap_or_else(|| panic!("no call {name} in {report:#?}"))
}

/// Returns the report in the trailer of a request that failed.
pub fn of_failure(status: &Status) -> FanOutReport {
    let report = status.metadata().get_bin("fanout-report-bin").expect("a report in the trailer");
    FanOutReport::decode(report.to_bytes().unwrap()).unwrap()
}
