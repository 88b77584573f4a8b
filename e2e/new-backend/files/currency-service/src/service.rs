//! Adapts the RPCs to the domain and back.

use fanout_proto::currency::v1::{Currency, GetCurrencyRequest, currency_service_server::CurrencyService};
use service_kit::domain_error::respond;
use tonic::{Request, Response, Status};

use crate::{currencies, error::CurrencyError};

/// Implements `fanout.currency.v1.CurrencyService`.
#[derive(Clone, Copy, Debug)]
pub struct Currencies;

#[tonic::async_trait]
impl CurrencyService for Currencies {
    async fn get_currency(&self, request: Request<GetCurrencyRequest>) -> Result<Response<Currency>, Status> {
        let GetCurrencyRequest { country_code } = request.into_inner();
        respond(currencies::of_country(&country_code).ok_or(CurrencyError::NotFound { country_code }))
    }
}
