//! Adapts the RPCs to the domain and back.

use fanout_proto::user::v1::{
    self as proto, CreateUserRequest, GetUserRequest, ListUsersRequest, ListUsersResponse,
    user_service_server::UserService,
};
use prost_types::Timestamp;
use service_kit::domain_error::respond;
use tonic::{Request, Response, Status};

use crate::{
    error::UserError,
    page_token,
    store::Store,
    user::{NewUser, PageSize, User},
    validate::{self, Violations},
};

/// Implements `fanout.user.v1.UserService` with a store.
#[derive(Clone, Debug)]
pub struct Users {
    store: Store,
}

// === impl Users ===

impl Users {
    /// Returns a service of this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn get(&self, id: String) -> Result<proto::User, UserError> {
        validate::user_id(&id).map_err(|wrong| Violations::of("user_id", wrong))?;
        match self.store.get(&id).await? {
            Some(user) => Ok(user.into()),
            None => Err(UserError::NotFound { id }),
        }
    }

    async fn list(&self, request: ListUsersRequest) -> Result<ListUsersResponse, UserError> {
        let mut violations = Violations::default();
        let size = violations.check("page_size", PageSize::new(request.page_size));
        let after = violations.check("page_token", page_token::decode(&request.page_token));
        violations.finish()?;
        let page = self.store.list(size.unwrap_or(PageSize::DEFAULT), after.flatten().as_deref()).await?;
        let next_page_token = match page.users.last() {
            Some(last) if page.more => page_token::encode(&last.id),
            _ => String::new(),
        };
        Ok(ListUsersResponse { users: page.users.into_iter().map(Into::into).collect(), next_page_token })
    }

    async fn create(&self, request: CreateUserRequest) -> Result<proto::User, UserError> {
        let CreateUserRequest { user_id, display_name, email, country_code } = request;
        let user = NewUser::new(user_id, display_name, email, country_code)?;
        Ok(self.store.create(user).await?.into())
    }
}

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(&self, request: Request<GetUserRequest>) -> Result<Response<proto::User>, Status> {
        respond(self.get(request.into_inner().user_id).await)
    }

    async fn list_users(&self, request: Request<ListUsersRequest>) -> Result<Response<ListUsersResponse>, Status> {
        respond(self.list(request.into_inner()).await)
    }

    async fn create_user(&self, request: Request<CreateUserRequest>) -> Result<Response<proto::User>, Status> {
        respond(self.create(request.into_inner()).await)
    }
}

impl From<User> for proto::User {
    fn from(user: User) -> Self {
        let User { id, display_name, email, country_code, create_time } = user;
        Self { id, display_name, email, country_code, create_time: Some(timestamp(create_time)) }
    }
}

/// Converts microseconds since the epoch. Nanoseconds are never negative, so times before the epoch are rounded down to
/// seconds.
fn timestamp(micros: i64) -> Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).expect("less than a second has 30 bits");
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_become_seconds_and_nanoseconds() {
        assert_eq!(timestamp(1_700_000_000_123_456), Timestamp { seconds: 1_700_000_000, nanos: 123_456_000 });
        assert_eq!(timestamp(-1), Timestamp { seconds: -1, nanos: 999_999_000 });
        assert_eq!(timestamp(i64::MAX).nanos, 775_807_000);
    }
}
