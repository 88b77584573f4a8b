//! Finds the service that a request is for.

use std::{collections::HashMap, convert::Infallible, fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::TryFutureExt as _;
use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService};
use tower::{BoxError, Service, ServiceExt as _};

/// The services of a server, by their names.
///
/// tonic's `Routes` are axum's router, which takes a path apart into parameters, and wraps the bodies of request and reply
/// once more: it allocates several times for each request. A path in gRPC has two parts, and the first is the name of a service.
#[derive(Clone, Default)]
pub(crate) struct Routes(HashMap<&'static str, Arc<dyn Route>>);

/// The reply to come of a service.
pub(crate) type RouteFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

trait Route: Send + Sync {
    fn call(&self, request: Request<Body>) -> RouteFuture;
}

// === impl Routes ===

impl Routes {
    /// Adds a service, or replaces the one of the same name.
    pub(crate) fn add<S, R>(&mut self, service: S)
    where
        S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        self.0.insert(S::NAME, Arc::new(service));
    }

    /// Passes a request to its service. The answer is UNIMPLEMENTED if there is none.
    pub(crate) fn call<B>(&self, request: Request<B>) -> RouteFuture
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        match service_name(request.uri().path()).and_then(|name| self.0.get(name)) {
            Some(route) => route.call(request.map(Body::new)),
            None => Box::pin(std::future::ready(Ok(unknown_service()))),
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<S, R> Route for S
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    fn call(&self, request: Request<Body>) -> RouteFuture {
        Box::pin(self.clone().oneshot(request).map_ok(|response| response.map(Body::new)))
    }
}

/// Returns the name of the service in a path such as `/shop.v1.Basket/Get`.
fn service_name(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!method.is_empty()).then_some(service)
}

fn unknown_service() -> Response<Body> {
    let (head, ()) = Status::unimplemented("this server has no such service").into_http::<()>().into_parts();
    Response::from_parts(head, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_service_and_a_method() {
        assert_eq!(service_name("/shop.v1.Basket/Get"), Some("shop.v1.Basket"));
        for path in ["", "/", "*", "//", "/shop.v1.Basket", "/shop.v1.Basket/", "shop.v1.Basket/Get"] {
            assert_eq!(service_name(path), None, "{path:?}");
        }
    }

    #[tokio::test]
    async fn an_unknown_service_is_unimplemented() {
        let request = Request::builder().uri("/shop.v1.Basket/Get").body(Body::empty()).unwrap();
        let Ok(response) = Routes::default().call(request).await;
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!((status.code(), status.message()), (tonic::Code::Unimplemented, "this server has no such service"));
    }
}
