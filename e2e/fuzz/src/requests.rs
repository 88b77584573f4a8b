//! Requests as protobuf: what passes the checks has the form that the contract promises, and an error names every field
//! that is wrong in the space that a reply has.

#![expect(clippy::needless_pass_by_value, reason = "checks take what a service takes")]

use std::sync::LazyLock;

use country_service::{Catalogue, Countries};
use fanout_proto::{
    country::v1::{GetCountryRequest, spliced::country_service_server::CountryService as _},
    gateway::v1::{GetHomeCountryRequest, GetProfileRequest, StreamUsersRequest},
    user::v1::{CreateUserRequest, ListUsersRequest},
    user_id,
};
use futures::FutureExt as _;
use gateway::request::{MAX_IN_FLIGHT, MAX_USER_IDS, ProfileQuery, UsersQuery};
use prost::Message;
use service_kit::domain_error::DomainError as _;
use tonic::{Code, Request, Status};
use user_service::{NewUser, UserError, page_token, user::PageSize, validate::Violations};

use crate::status::assert_status;

static COUNTRIES: LazyLock<Countries> = LazyLock::new(|| Countries::new(Catalogue::new()));

/// Takes the method from the first byte, and the encoded message from the others.
pub fn run(input: &[u8]) {
    let Some((method, message)) = input.split_first() else { return };
    match method {
        b'p' => check(message, |request: GetProfileRequest| ProfileQuery::try_from(request).map(check_profile)),
        b'h' => check(message, |request: GetHomeCountryRequest| ProfileQuery::try_from(request).map(check_profile)),
        b's' => check(message, |request: StreamUsersRequest| UsersQuery::try_from(request).map(check_users)),
        b'c' => check(message, create_user),
        b'l' => check(message, list_users),
        b'g' => check(message, get_country),
        _ => {}
    }
}

/// Reads a message and checks it as its service does.
fn check<M: Message + Default, E: Into<Status>>(message: &[u8], check: impl FnOnce(M) -> Result<(), E>) {
    let Ok(request) = M::decode(message) else { return };
    if let Err(error) = check(request) {
        assert_status(error.into(), Code::InvalidArgument);
    }
}

fn check_profile(query: ProfileQuery) {
    assert_eq!(user_id::check(&query.user_id), Ok(()));
}

fn check_users(query: UsersQuery) {
    assert!((1..=MAX_USER_IDS).contains(&query.ids.len()));
    assert!((1..=MAX_IN_FLIGHT as usize).contains(&query.max_in_flight));
    assert!(query.ids.iter().all(|id| user_id::check(id).is_ok()));
}

fn create_user(request: CreateUserRequest) -> Result<(), Status> {
    let CreateUserRequest { user_id: id, display_name, email, country_code } = request;
    let well_formed = user_id::check(&id).is_ok()
        && (1..=200).contains(&display_name.chars().count())
        && !display_name.contains(char::is_control)
        && email.len() <= 254
        && !email.contains(|c: char| c.is_control() || c.is_whitespace())
        && (email.is_empty() || email.matches('@').count() == 1)
        && country_code.len() == 2
        && country_code.bytes().all(|byte| byte.is_ascii_uppercase());
    let user = NewUser::new(id.clone(), display_name, email, country_code).map_err(invalid)?;
    assert!(well_formed, "{user:?}");
    assert_eq!(user.id(), id);
    Ok(())
}

fn list_users(request: ListUsersRequest) -> Result<(), Status> {
    let mut violations = Violations::default();
    let size = violations.check("page_size", PageSize::new(request.page_size));
    let after = violations.check("page_token", page_token::decode(&request.page_token));
    violations.finish().map_err(invalid)?;
    assert!((1..=PageSize::MAX.get()).contains(&size.unwrap().get()));
    assert!(after.unwrap().is_none_or(|id| user_id::check(&id).is_ok()));
    Ok(())
}

fn invalid(violations: Violations) -> Status {
    UserError::from(violations).to_status()
}

fn get_country(request: GetCountryRequest) -> Result<(), Status> {
    let code = request.code.clone();
    let reply = COUNTRIES.get_country(Request::new(request)).now_or_never().expect("it waits for nothing");
    match reply {
        Ok(country) => {
            let country = country.into_inner().to_message().unwrap();
            assert!(country.code.eq_ignore_ascii_case(&code));
            Ok(())
        }
        Err(status) if status.code() == Code::NotFound => {
            assert!(code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()), "{code:?}");
            assert_status(status, Code::NotFound);
            Ok(())
        }
        Err(status) => Err(status),
    }
}
