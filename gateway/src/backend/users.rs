//! The user service's client.

use fan_out::{Attempts, Call, call};
use fanout_proto::{
    Encoded,
    user::v1::{GetUserRequest, User},
};
use service_kit::HandedOn;

use super::{Backend, Method};
use crate::error::BackendError;

const GET_USER: Method = Method("/fanout.user.v1.UserService/GetUser");

/// Calls the user service.
#[derive(Clone, Debug)]
pub struct Users(Backend);

// === impl Users ===

impl Users {
    /// A client of this backend.
    pub fn new(backend: Backend) -> Self {
        Self(backend)
    }

    /// A call for one user.
    pub fn get(
        &self,
        id: String,
        handed_on: &HandedOn,
    ) -> Call<impl Future<Output = Result<Encoded<User>, BackendError>> + Send + use<>> {
        let attempts = Attempts::default();
        let request = GetUserRequest { user_id: id };
        let reply = self.0.clone().call(GET_USER, request, handed_on.clone(), attempts.clone());
        call(self.0.name(), reply).method(GET_USER.name()).attempts(&attempts)
    }
}
