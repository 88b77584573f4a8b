//! What somebody else runs: a catalog with two replicas, and reviews. Each call takes a while.

use std::{io, time::Duration};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::shop::{
    GetProductRequest, ListReviewsRequest, ListReviewsResponse, Page, Product,
    catalog_service_server::{CatalogService, CatalogServiceServer},
    review_service_server::{ReviewService, ReviewServiceServer},
};

struct Catalog;
struct Reviews;

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn get_product(&self, request: Request<GetProductRequest>) -> Result<Response<Product>, Status> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let id = request.into_inner().id;
        let title = format!("A very good {id}");
        Ok(Response::new(Product { id, title }))
    }
}

#[tonic::async_trait]
impl ReviewService for Reviews {
    async fn list_reviews(&self, _: Request<ListReviewsRequest>) -> Result<Response<ListReviewsResponse>, Status> {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(Response::new(ListReviewsResponse { reviews: vec!["It shines.".to_owned(), "So it does.".to_owned()] }))
    }
}

/// Starts two replicas of the catalog. Returns their URLs.
pub(crate) async fn start_catalogs() -> io::Result<Vec<String>> {
    let mut urls = Vec::new();
    for _ in 0..2 {
        let (listener, url) = bind().await?;
        tokio::spawn(Server::builder().add_service(CatalogServiceServer::new(Catalog)).serve_with_incoming(listener));
        urls.push(url);
    }
    Ok(urls)
}

/// Starts the reviews. Returns their URL.
pub(crate) async fn start_reviews() -> io::Result<Vec<String>> {
    let (listener, url) = bind().await?;
    tokio::spawn(Server::builder().add_service(ReviewServiceServer::new(Reviews)).serve_with_incoming(listener));
    Ok(vec![url])
}

async fn bind() -> io::Result<(TcpListenerStream, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((TcpListenerStream::new(listener), url))
}

/// Prints a page and its report.
#[allow(clippy::print_stdout, reason = "it is what the example is for")]
pub(crate) fn print(how: &str, page: &Page) {
    let title = page.product.as_ref().map_or("", |product| &product.title);
    let report = page.report.unwrap_or_default();
    println!("{title}, {} reviews", page.reviews.len());
    println!(
        "  two calls {how}: wall {} ms, saved {} ms, avoidable {} ms",
        report.wall_ms, report.saved_ms, report.avoidable_ms
    );
}
