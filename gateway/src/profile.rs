//! The domain: which calls answer which question.
//!
//! A new backend's call is one more line in the `join`.

use fan_out::{AsCompleted, Call, CallError, FanOut, Outcome};
use fanout_proto::{
    Encoded,
    country::v1::{Country, ListCountriesResponse},
    user::v1::User,
};
use rpc_layers::CallContext;

use crate::{
    backend::{Countries, Reply, Users},
    error::BackendError,
    request::{How, ManyUsers, OneUser},
};

/// The answer of one call.
pub type Answer<T> = Result<Encoded<T>, CallError<BackendError>>;

/// Users as they come.
pub type UserStream = AsCompleted<UserCalls, Encoded<User>, BackendError>;

/// The calls for users that have not started.
pub type UserCalls = Box<dyn Iterator<Item = Call<Reply<User>>> + Send>;

/// Puts answers of several services together.
#[derive(Clone, Debug)]
pub struct Profiles {
    users: Users,
    countries: Countries,
}

// === impl Profiles ===

impl Profiles {
    /// Asks these services.
    pub fn new(users: Users, countries: Countries) -> Self {
        Self { users, countries }
    }

    /// A user and all countries: two calls that do not depend on each other.
    pub fn profile(
        &self,
        OneUser { id, how }: OneUser,
        on: &CallContext,
    ) -> impl Future<Output = Outcome<(Answer<User>, Answer<ListCountriesResponse>)>> + Send + use<> {
        fan_out(how).join((self.users.get(id, on), self.countries.list(on)))
    }

    /// A user, then that user's country: a chain, whatever the strategy.
    pub fn home_country(
        &self,
        OneUser { id, how }: OneUser,
        on: &CallContext,
    ) -> impl Future<Output = Outcome<((Answer<User>, Answer<Country>),)>> + Send + use<> {
        fan_out(how).join((self.users.get(id, on).then(self.countries.get_after(home, on)),))
    }

    /// Many users, each as soon as it is there.
    pub fn users(&self, ManyUsers { ids, max_in_flight, how }: ManyUsers, on: CallContext) -> UserStream {
        let users = self.users.clone();
        let calls: UserCalls = Box::new(ids.into_iter().map(move |id| users.get(id.clone(), &on).name(id)));
        fan_out(how).as_completed(max_in_flight, calls)
    }
}

fn fan_out(how: How) -> FanOut {
    FanOut::new(how.strategy).on_failure(how.policy)
}

/// The code of the country that a user calls home.
fn home(user: &Encoded<User>) -> Result<String, BackendError> {
    match user.to_message() {
        Ok(user) => Ok(user.country_code),
        Err(error) => Err(BackendError::malformed("user", &error)),
    }
}
