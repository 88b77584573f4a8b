//! Users, new users and pages of users.

use crate::validate::{self, Violations};

/// A stored user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The unique id.
    pub id: String,
    /// The name as the user writes it.
    pub display_name: String,
    /// The email address; may be empty.
    pub email: String,
    /// The country: its ISO 3166-1 alpha-2 code in upper case.
    pub country_code: String,
    /// When the user was stored, in microseconds since the Unix epoch.
    pub create_time: i64,
}

/// A user to store: each field has the form that the contract requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) email: String,
    pub(crate) country_code: String,
}

/// The maximum number of users of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(pub(crate) u16);

/// A page of users in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The users.
    pub users: Vec<User>,
    /// Whether there are users after these.
    pub more: bool,
}

// === impl NewUser ===

impl NewUser {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// Returns all invalid fields by their names in the request.
    pub fn new(id: String, display_name: String, email: String, country_code: String) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        violations.check("user_id", validate::user_id(&id));
        violations.check("display_name", validate::display_name(&display_name));
        violations.check("email", validate::email(&email));
        violations.check("country_code", validate::country_code(&country_code));
        violations.finish()?;
        Ok(Self { id, display_name, email, country_code })
    }

    /// Returns the unique id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the user as stored at this time.
    pub(crate) fn at(self, create_time: i64) -> User {
        let Self { id, display_name, email, country_code } = self;
        User { id, display_name, email, country_code, create_time }
    }
}

// === impl PageSize ===

impl PageSize {
    /// The size if a request does not set it.
    pub const DEFAULT: Self = Self(50);
    /// The maximum size.
    pub const MAX: Self = Self(1000);

    /// Checks a size; 0 stands for [`DEFAULT`](Self::DEFAULT).
    ///
    /// # Errors
    ///
    /// Returns a message if it is negative or more than [`MAX`](Self::MAX).
    pub fn new(size: i32) -> Result<Self, String> {
        match u16::try_from(size) {
            Ok(0) => Ok(Self::DEFAULT),
            Ok(size) if size <= Self::MAX.0 => Ok(Self(size)),
            _ => Err(format!("is {size}: must be 0 to {}, where 0 stands for {}", Self::MAX.0, Self::DEFAULT.0)),
        }
    }

    /// Returns the number of users.
    pub fn get(self) -> usize {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_every_invalid_field() {
        let violations = NewUser::new("Ada".into(), String::new(), "ada".into(), "gb".into()).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["user_id", "display_name", "email", "country_code"]);
    }

    #[test]
    fn a_page_has_a_default_and_a_maximum_size() {
        assert_eq!(PageSize::new(0), Ok(PageSize::DEFAULT));
        assert_eq!(PageSize::new(1).unwrap().get(), 1);
        assert_eq!(PageSize::new(1000), Ok(PageSize::MAX));
        for size in [-1, 1001, 65_537, i32::MIN, i32::MAX] {
            assert!(PageSize::new(size).unwrap_err().contains(&format!("is {size}: must be 0 to 1000")));
        }
    }
}
