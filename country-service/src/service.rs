//! Adapts the RPCs to the catalogue and back.

use std::sync::Arc;

use fanout_proto::{
    Encoded,
    country::v1::{
        Country, GetCountryRequest, ListCountriesRequest, ListCountriesResponse,
        spliced::country_service_server::CountryService,
    },
};
use service_kit::domain_error::respond;
use tonic::{Request, Response, Status};

use crate::{
    catalogue::{Catalogue, NotAlpha2},
    error::CountryError,
};

/// Implements `fanout.country.v1.CountryService`. Cloning it costs a reference count.
#[derive(Clone, Debug)]
pub struct Countries {
    catalogue: Arc<Catalogue>,
}

// === impl Countries ===

impl Countries {
    /// Returns a service of this catalogue.
    pub fn new(catalogue: Catalogue) -> Self {
        Self { catalogue: Arc::new(catalogue) }
    }

    fn get(&self, code: String) -> Result<Encoded<Country>, CountryError> {
        match self.catalogue.get(&code) {
            Ok(Some(country)) => Ok(country),
            Ok(None) => Err(CountryError::NotFound { code: code.to_ascii_uppercase() }),
            Err(NotAlpha2) => Err(CountryError::IllFormed { code }),
        }
    }
}

#[tonic::async_trait]
impl CountryService for Countries {
    async fn get_country(&self, request: Request<GetCountryRequest>) -> Result<Response<Encoded<Country>>, Status> {
        respond(self.get(request.into_inner().code))
    }

    async fn list_countries(
        &self,
        _: Request<ListCountriesRequest>,
    ) -> Result<Response<Encoded<ListCountriesResponse>>, Status> {
        Ok(Response::new(self.catalogue.list()))
    }
}
