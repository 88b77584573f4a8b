//! Who may call a service at the edge: API keys, tokens (JWT) and certificates, with a policy and an audit log.
//!
//! A service adds [`IdentityArgs`](crate::settings::IdentityArgs) to its settings, [starts](Authentication::start) what
//! they describe, and gives that to its [`Server`](crate::serve::Server).
//!
//! # Layout
//!
//! * `authentication`: [`Authentication`], what the flags describe, as it runs.
//! * `checker`: finds out which mechanism a request uses.
//! * [`api_keys`]: API keys, and the file that has their hashes.
//! * `tokens`: checks tokens; `key_set`: the keys that sign them; `token_cache`: those that were right;
//!   `attempts`: a limit on those that were wrong.
//! * `key_source`: where the keys come from, and when they are fetched again; `http_get`: fetches them.

pub mod api_keys;
mod attempts;
mod authentication;
mod checker;
mod http_get;
mod key_set;
mod key_source;
#[cfg(test)]
mod test_tokens;
mod token_cache;
mod tokens;

pub use self::{
    authentication::{Authentication, AuthenticationError},
    key_source::KeySource,
};
