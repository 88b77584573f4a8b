//! The user service's client.

use fan_out::{Attempts, Call, call};
use fanout_proto::user::v1::{GetUserRequest, User};
use rpc_layers::CallContext;

use super::{Backend, Method, Reply};

const GET_USER: Method = Method::idempotent("/fanout.user.v1.UserService/GetUser");

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
    pub(crate) fn get(&self, id: String, on: &CallContext) -> Call<Reply<User>> {
        let attempts = Attempts::default();
        let reply = self.0.call(GET_USER, &GetUserRequest { user_id: id }, on, &attempts);
        call(self.0.name(), reply).method(GET_USER.name()).attempts(&attempts)
    }
}
