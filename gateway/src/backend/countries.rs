//! The country service's client.

use fan_out::{Attempts, Call, Step, call, step};
use fanout_proto::{
    Encoded,
    country::v1::{Country, GetCountryRequest, ListCountriesRequest, ListCountriesResponse},
};
use service_kit::HandedOn;

use super::{Backend, Method};
use crate::error::BackendError;

const GET_COUNTRY: Method = Method("/fanout.country.v1.CountryService/GetCountry");
const LIST_COUNTRIES: Method = Method("/fanout.country.v1.CountryService/ListCountries");

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
    pub fn list(
        &self,
        handed_on: &HandedOn,
    ) -> Call<impl Future<Output = Result<Encoded<ListCountriesResponse>, BackendError>> + Send + use<>> {
        let attempts = Attempts::default();
        let request = ListCountriesRequest {};
        let reply = self.0.clone().call(LIST_COUNTRIES, request, handed_on.clone(), attempts.clone());
        call(self.0.name(), reply).method(LIST_COUNTRIES.name()).attempts(&attempts)
    }

    /// The call for one country that follows another call, whose answer `code` reads.
    pub fn get_after<T>(
        &self,
        code: impl FnOnce(&T) -> Result<String, BackendError> + Send + 'static,
        handed_on: &HandedOn,
    ) -> Step<
        impl FnOnce(&T) -> futures::future::BoxFuture<'static, Result<Encoded<Country>, BackendError>> + Send + 'static,
    > {
        let attempts = Attempts::default();
        let (backend, handed_on, sent) = (self.0.clone(), handed_on.clone(), attempts.clone());
        let get = move |before: &T| -> futures::future::BoxFuture<'static, _> {
            let code = code(before);
            Box::pin(async move {
                let request = GetCountryRequest { code: code? };
                backend.call(GET_COUNTRY, request, handed_on, sent).await
            })
        };
        step(self.0.name(), get).method(GET_COUNTRY.name()).attempts(&attempts)
    }
}
