//! An aggregator of two tonic services: one page out of a product and its reviews.

mod services;
mod shop;

use fan_out::{CallError, FanOut, Strategy, call};
use grpc_channel::{Channel, Descriptors};
use rpc_layers::{CallContext, deadline::ServerDeadlineLayer};
use shop::{
    GetPageRequest, GetProductRequest, ListReviewsRequest, Page, Report, catalog_service_client::CatalogServiceClient,
    page_service_client::PageServiceClient, page_service_server::PageService, page_service_server::PageServiceServer,
    review_service_client::ReviewServiceClient,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

struct Pages {
    catalog: CatalogServiceClient<Channel>,
    reviews: ReviewServiceClient<Channel>,
}

#[tonic::async_trait]
impl PageService for Pages {
    async fn get_page(&self, request: Request<GetPageRequest>) -> Result<Response<Page>, Status> {
        // The deadline, the baggage and the trace of the request go on with its calls.
        let context = CallContext::of(request.extensions(), request.metadata().as_ref());
        let GetPageRequest { product_id: id, sequential } = request.into_inner();
        let product = with(&context, GetProductRequest { id: id.clone() });
        let reviews = with(&context, ListReviewsRequest { product_id: id });
        let (mut catalog, mut reviewers) = (self.catalog.clone(), self.reviews.clone());
        let strategy = if sequential { Strategy::Sequential } else { Strategy::Concurrent };
        let calls = (
            call("catalog", async move { catalog.get_product(product).await }),
            call("reviews", async move { reviewers.list_reviews(reviews).await }),
        );
        let ((product, reviews), report) =
            Box::pin(FanOut::new(strategy).join(calls)).await.into_result().map_err(|failed| match failed.error {
                CallError::Failed(status) => status,
                other => Status::internal(other.to_string()),
            })?;
        let [wall_ms, saved_ms, avoidable_ms] = [report.wall, report.saved, report.avoidable]
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let report = Report { wall_ms, saved_ms, avoidable_ms };
        let (product, reviews) = (product.into_inner(), reviews.into_inner().reviews);
        Ok(Response::new(Page { product: Some(product), reviews, report: Some(report) }))
    }
}

fn with<T>(context: &CallContext, message: T) -> Request<T> {
    let mut request = Request::new(message);
    context.insert_into(request.extensions_mut());
    request
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = Descriptors::decode(shop::FILE_DESCRIPTOR_SET)?;
    let connect = |name: &'static str, urls: Vec<String>| {
        Ok::<_, grpc_channel::InvalidTarget>(Channel::builder(name, urls)?.descriptors(descriptors.clone()).connect())
    };
    let catalog = CatalogServiceClient::new(connect("catalog", services::start_catalogs().await?)?);
    let reviews = ReviewServiceClient::new(connect("reviews", services::start_reviews().await?)?);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = Server::builder()
        .layer(ServerDeadlineLayer::new(None))
        .add_service(PageServiceServer::new(Pages { catalog, reviews }))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);

    let mut pages = PageServiceClient::connect(url).await?;
    for sequential in [true, false] {
        let page = pages.get_page(GetPageRequest { product_id: "lamp".to_owned(), sequential }).await?.into_inner();
        services::print(if sequential { "one by one" } else { "at the same time" }, &page);
    }
    Ok(())
}
