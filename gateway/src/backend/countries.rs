//! The country service's client.

use std::future::ready;

use fan_out::{Attempts, Call, Step, call, step};
use fanout_proto::country::v1::{Country, GetCountryRequest, ListCountriesRequest, ListCountriesResponse};
use rpc_layers::CallContext;

use super::{Backend, Method, Reply};
use crate::error::BackendError;

const GET_COUNTRY: Method = Method::idempotent("/fanout.country.v1.CountryService/GetCountry");
const LIST_COUNTRIES: Method = Method::idempotent("/fanout.country.v1.CountryService/ListCountries");

/// Calls the country service.
#[derive(Clone, Debug)]
pub struct Countries(Backend);

// === impl Countries ===

impl Countries {
    /// A client of this backend.
    pub fn new(backend: Backend) -> Self {
        Self(backend)
    }

    /// A call for all countries.
    pub(crate) fn list(&self, on: &CallContext) -> Call<Reply<ListCountriesResponse>> {
        let attempts = Attempts::default();
        let reply = self.0.call(LIST_COUNTRIES, &ListCountriesRequest {}, on, &attempts);
        call(self.0.name(), reply).method(LIST_COUNTRIES.name()).attempts(&attempts)
    }

    /// The call for one country that follows another call, from whose answer `code` reads
    /// which.
    pub(crate) fn get_after<T, F>(
        &self,
        code: F,
        on: &CallContext,
    ) -> Step<impl FnOnce(&T) -> Reply<Country> + Send + use<T, F>>
    where
        F: FnOnce(&T) -> Result<String, BackendError> + Send + 'static,
    {
        let attempts = Attempts::default();
        let (backend, on, sent) = (self.0.clone(), on.clone(), attempts.clone());
        let get = move |before: &T| match code(before) {
            Ok(code) => backend.call(GET_COUNTRY, &GetCountryRequest { code }, &on, &sent),
            Err(error) => Box::pin(ready(Err(error))),
        };
        step(self.0.name(), get).method(GET_COUNTRY.name()).attempts(&attempts)
    }
}
