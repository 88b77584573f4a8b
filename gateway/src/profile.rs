//! The domain: the calls that each request makes.

use fan_out::{AsCompleted, Call, CallError, FanOut, Outcome};
use fanout_proto::{
    Encoded,
    country::v1::{Country, GetCountryRequest, ListCountriesRequest, ListCountriesResponse},
    user::v1::{GetUserRequest, User},
};
use rpc_layers::CallContext;

use crate::{
    backends::{Backends, COUNTRY, Method, Reply, USER},
    error::BackendError,
    request::{FanOutOptions, ProfileQuery, UsersQuery},
};

static GET_USER: Method<GetUserRequest, User> = Method::new(USER, "/fanout.user.v1.UserService/GetUser");
static GET_COUNTRY: Method<GetCountryRequest, Country> =
    Method::new(COUNTRY, "/fanout.country.v1.CountryService/GetCountry");
static LIST_COUNTRIES: Method<ListCountriesRequest, ListCountriesResponse> =
    Method::new(COUNTRY, "/fanout.country.v1.CountryService/ListCountries");

/// The result of one call.
pub type CallResult<T> = Result<Encoded<T>, CallError<BackendError>>;

/// Users in the order in which their calls end.
pub type UserStream = AsCompleted<UserCalls, Encoded<User>, BackendError>;

/// Calls for users that have not started.
pub type UserCalls = Box<dyn Iterator<Item = Call<Reply<User>>> + Send>;

/// Combines the replies of several services.
#[derive(Clone, Debug)]
pub struct Profiles {
    backends: Backends,
}

// === impl Profiles ===

impl Profiles {
    /// Returns profiles from these backends.
    pub fn new(backends: Backends) -> Self {
        Self { backends }
    }

    /// Gets a user and all countries: two calls that do not depend on each other.
    pub fn profile(
        &self,
        ProfileQuery { user_id, options }: ProfileQuery,
        ctx: &CallContext,
    ) -> impl Future<Output = Outcome<(CallResult<User>, CallResult<ListCountriesResponse>)>> + Send + use<> {
        let user = self.backends.start(&GET_USER, &GetUserRequest { user_id }, ctx);
        let countries = self.backends.start(&LIST_COUNTRIES, &ListCountriesRequest {}, ctx);
        fan_out(options).join((user, countries))
    }

    /// Gets a user, then that user's country: a chain under every strategy.
    pub fn home_country(
        &self,
        ProfileQuery { user_id, options }: ProfileQuery,
        ctx: &CallContext,
    ) -> impl Future<Output = Outcome<((CallResult<User>, CallResult<Country>),)>> + Send + use<> {
        let user = self.backends.start(&GET_USER, &GetUserRequest { user_id }, ctx);
        let country = |user: &_| Ok(GetCountryRequest { code: country_code(user)? });
        fan_out(options).join((user.then(self.backends.after(&GET_COUNTRY, country, ctx)),))
    }

    /// Gets many users, each as soon as its call has ended.
    pub fn users(&self, UsersQuery { ids, max_in_flight, options }: UsersQuery, ctx: CallContext) -> UserStream {
        let backends = self.backends.clone();
        let get = move |id: String| backends.start(&GET_USER, &GetUserRequest { user_id: id.clone() }, &ctx).name(id);
        let calls: UserCalls = Box::new(ids.into_iter().map(get));
        fan_out(options).as_completed(max_in_flight, calls)
    }
}

fn fan_out(options: FanOutOptions) -> FanOut {
    FanOut::new(options.strategy).on_failure(options.policy)
}

/// Returns the code of a user's country.
fn country_code(user: &Encoded<User>) -> Result<String, BackendError> {
    match user.to_message() {
        Ok(user) => Ok(user.country_code),
        Err(error) => Err(BackendError::malformed("user", &error)),
    }
}
