//! The gateway under test, its files, and calls to it.

use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    process::{Command, Output},
};

use e2e::{binary, connect, service::Service, wait::within};
use fanout_proto::gateway::v1::{GetProfileRequest, StreamUsersRequest, gateway_service_client::GatewayServiceClient};
use serde_json::Value;
use tempfile::TempDir;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// A message of a gateway that has read a file again.
pub(crate) const CHANGED: &str = "a file has changed, and is in force";

/// Files for a gateway.
pub(crate) struct Files(TempDir);

/// A gateway that asks for an identity. It has no backends: requests that are let in are found invalid.
pub(crate) struct Edge {
    pub(crate) service: Service,
    client: GatewayServiceClient<Channel>,
    /// How often a file has changed.
    changes: usize,
}

// === impl Files ===

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file in place at once, as a program does that is careful with files in use, and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs `fanout key` with a file of this name.
    pub(crate) fn key(&self, args: &[&str], name: &str) -> Output {
        let mut command = Command::new(binary::fanout());
        command.arg("key").args(args).arg("--file").arg(self.path(name)).output().unwrap()
    }

    /// Makes a key, and returns it.
    pub(crate) fn new_key(&self, name: &str, file: &str) -> String {
        let made = self.key(&["new", name], file);
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim_end().to_owned()
    }
}

// === impl Edge ===

impl Edge {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, &[]).await
    }

    pub(crate) async fn start_with(flags: &[&str], env: &[(&str, &str)]) -> Self {
        let service = Service::start_with("gateway", flags, env, "listening");
        let client = GatewayServiceClient::new(connect(&service.url).await);
        Self { service, client, changes: 0 }
    }

    /// Makes a request with these headers that is found invalid if it is let in.
    pub(crate) async fn call(&self, headers: &[(&'static str, &str)]) -> Status {
        self.client.clone().get_profile(request(GetProfileRequest::default(), headers)).await.unwrap_err()
    }

    /// The same with another method.
    pub(crate) async fn stream(&self, headers: &[(&'static str, &str)]) -> Status {
        self.client.clone().stream_users(request(StreamUsersRequest::default(), headers)).await.unwrap_err()
    }

    /// Returns whether a request with these credentials is let in, or why not.
    pub(crate) async fn try_with(&self, bearer: &str) -> Result<(), String> {
        outcome(&self.call(&[("authorization", &format!("Bearer {bearer}"))]).await)
    }

    /// Connects from this address, which is one of the loopback's.
    pub(crate) async fn stranger(&self, from: IpAddr) -> GatewayServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(self.service.url.clone()).unwrap().local_address(Some(from));
        GatewayServiceClient::new(within("a connection", endpoint.connect()).await.unwrap())
    }

    /// Waits until the gateway has read a file again that has changed.
    pub(crate) async fn changed(&mut self) {
        self.changes += 1;
        let is_change = |line: &Value| line["message"] == CHANGED;
        self.service.log.wait_for_number(self.changes, CHANGED, is_change).await;
    }

    /// Returns how many warnings it has logged so far, other than that its backends are not there.
    pub(crate) fn warnings(&self) -> Vec<Value> {
        let is_own = |line: &Value| !line["target"].as_str().unwrap().starts_with("grpc_channel");
        self.service.log.lines(|line| line["level"] == "WARN" && is_own(line))
    }
}

/// Returns a request with these headers.
pub(crate) fn request<T>(message: T, headers: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// Returns whether a request was let in, or its code and the reason why not.
pub(crate) fn outcome(status: &Status) -> Result<(), String> {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("{status:?}"));
    match (status.code(), info.domain.as_str()) {
        (Code::InvalidArgument, "fanout.gateway.v1") => Ok(()),
        (code, "fanout") => Err(format!("{code:?} {}", info.reason)),
        _ => panic!("{status:?}"),
    }
}
