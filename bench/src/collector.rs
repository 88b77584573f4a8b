//! An OTLP receiver that accepts spans and keeps none: its processor time is not the gateway's.

use std::net::SocketAddr;

use clap::Args;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tonic::{Request, Response, Status, transport::Server};

use crate::BoxError;

/// Where it listens.
#[derive(Args, Debug)]
pub(crate) struct CollectorArgs {
    /// An address with a port.
    #[arg(long)]
    listen: SocketAddr,
}

struct Collector;

/// Serves until it is killed.
pub(crate) async fn serve(args: CollectorArgs) -> Result<(), BoxError> {
    let service = TraceServiceServer::new(Collector).max_decoding_message_size(64 << 20);
    Server::builder().add_service(service).serve(args.listen).await?;
    Ok(())
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
