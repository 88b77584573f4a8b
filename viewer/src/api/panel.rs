//! The run panel: requests to the gateway.

use std::{sync::Arc, time::Duration};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    api::{
        Context,
        respond::{ApiError, json},
    },
    body::Body,
    gateway::{Action, Gateway, GatewayError},
};

/// How many runs there may be at a time. A further one is refused: a button that is pressed twice is no load test.
pub(super) const MAX_RUNNING: usize = 2;

/// How many bytes a body may have.
const MAX_BODY: usize = 64 << 10;

/// How long a run may take, whatever its deadlines: a comparison is three requests one after the other, of at most a
/// minute each.
const MAX_TIME: Duration = Duration::from_secs(200);

/// How long the gateway may take to say what it has.
const DESCRIBE_TIME: Duration = Duration::from_secs(10);

/// Returns the document of `/api/gateway`.
pub(super) async fn describe(context: &Context) -> Result<Response<Body>, ApiError> {
    Ok(json(&within(DESCRIBE_TIME, gateway(context)?.describe()).await?))
}

/// Returns what a path asks for.
pub(super) fn action(segments: &[&str]) -> Result<Action, ApiError> {
    match segments {
        ["run"] => Ok(Action::Run),
        ["compare"] => Ok(Action::Compare),
        ["questions", number] => number
            .parse()
            .map(Action::Question)
            .map_err(|_| ApiError::not_found(format!("there is no question '{number}'"))),
        _ => Err(ApiError::not_found("there is no such action".to_owned())),
    }
}

/// Runs the requests of a body.
pub(super) async fn act(
    context: &Context,
    running: &Arc<Semaphore>,
    action: Action,
    body: Incoming,
) -> Result<Response<Body>, ApiError> {
    let gateway = gateway(context)?;
    let _permit = running.try_acquire().map_err(|_| {
        let message = format!("{MAX_RUNNING} runs are in progress; wait for one to end");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, message)
    })?;
    let body = context.budget.read(body, MAX_BODY).await?;
    let body = if body.bytes.is_empty() { Ok(serde_json::json!({})) } else { serde_json::from_slice(&body.bytes) };
    let body =
        body.map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")))?;
    Ok(json(&within(MAX_TIME, gateway.act(action, body)).await?))
}

/// Waits for the gateway, for this time at most. Whatever it does is cancelled then.
async fn within<T>(time: Duration, answer: impl Future<Output = Result<T, GatewayError>>) -> Result<T, ApiError> {
    let late =
        |_| ApiError::new(StatusCode::GATEWAY_TIMEOUT, format!("the gateway took longer than {} s", time.as_secs()));
    Ok(timeout(time, answer).await.map_err(late)??)
}

fn gateway(context: &Context) -> Result<&dyn Gateway, ApiError> {
    context
        .options
        .gateway
        .as_deref()
        .ok_or_else(|| ApiError::not_found("there is no gateway: start the viewer with --gateway URL".to_owned()))
}
