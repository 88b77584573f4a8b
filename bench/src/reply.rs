//! What a reply has to be: a wrong or an empty one must not be taken for an answer.

use bytes::{Buf as _, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint};
use serde::{Deserialize, de::IgnoredAny};

/// A length-prefixed message has this before it: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// How long the backends' replies are, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) user: usize,
    pub(crate) countries: usize,
    /// How many countries there are.
    pub(crate) country_count: usize,
}

/// The shape of a reply's body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One message, of any length but zero.
    Any,
    /// One message of this length.
    Exactly(usize),
    /// A user and all countries, and a report or none.
    Profile(Lengths),
    /// As many users, each of this length, and the report.
    Users { number: usize, length: usize },
    /// A user and all countries, as JSON.
    ProfileAsJson(Lengths),
}

// === impl Shape ===

impl Shape {
    /// Checks a reply's body. Returns how many bytes its messages have.
    ///
    /// # Errors
    ///
    /// Returns an error that says what is there in place of what should be.
    pub(crate) fn check(self, body: &[u8]) -> Result<usize, String> {
        if let Self::ProfileAsJson(lengths) = self {
            return check_json(body, lengths);
        }
        let messages = messages(body).ok_or("a reply that is not length-prefixed messages")?;
        let bytes = messages.iter().map(|message| message.len()).sum();
        let is_right = match (self, messages.as_slice()) {
            (Self::Any, [message]) => !message.is_empty(),
            (Self::Exactly(length), [message]) => message.len() == length,
            (Self::Profile(lengths), [message]) => {
                let report = |rest: &[Field]| matches!(rest, [] | [(3, 1..)]);
                matches!(fields(message).as_deref(), Some([(1, user), (2, countries), rest @ ..])
                    if (*user, *countries) == (lengths.user, lengths.countries) && report(rest))
            }
            (Self::Users { number, length }, [users @ .., report]) => {
                users.len() == number
                    && users
                        .iter()
                        .all(|user| matches!(fields(user).as_deref(), Some([(1, 1..), (2, n)]) if *n == length))
                    && matches!(fields(report).as_deref(), Some([(4, 1..)]))
            }
            _ => false,
        };
        if is_right { Ok(bytes) } else { Err(format!("{} messages of {bytes} bytes are not {self:?}", messages.len())) }
    }
}

/// The number of a field, and the length of what is in it.
type Field = (u32, usize);

/// Takes a body apart into its messages.
pub(crate) fn messages(mut body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        let (prefix, rest) = body.split_at_checked(PREFIX)?;
        let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
        let (message, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        messages.push(message);
        body = rest;
    }
    Some(messages)
}

/// Returns the fields of a message that has only fields with a length.
pub(crate) fn fields(mut message: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while message.has_remaining() {
        let (number, WireType::LengthDelimited) = decode_key(&mut message).ok()? else { return None };
        let length = usize::try_from(decode_varint(&mut message).ok()?).ok()?;
        message = message.get(length..)?;
        fields.push((number, length));
    }
    Some(fields)
}

/// Returns the message of a body that has one.
pub(crate) fn only_message(body: &Bytes) -> Option<Bytes> {
    match messages(body)?.as_slice() {
        [message] => Some(body.slice_ref(message)),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Profile {
    user: User,
    #[serde(rename = "countryList")]
    country_list: CountryList,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Deserialize)]
struct CountryList {
    countries: Vec<IgnoredAny>,
}

fn check_json(body: &[u8], lengths: Lengths) -> Result<usize, String> {
    let profile: Profile = serde_json::from_slice(body).map_err(|error| format!("not a profile as JSON: {error}"))?;
    let (id, countries) = (profile.user.id, profile.country_list.countries.len());
    if id != crate::request::USER || countries != lengths.country_count {
        return Err(format!("a profile of {id:?} with {countries} countries, in place of {}", lengths.country_count));
    }
    Ok(body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn body(messages: &[Vec<u8>]) -> Vec<u8> {
        let framed =
            |message: &Vec<u8>| [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message.as_slice()].concat();
        messages.iter().flat_map(framed).collect()
    }

    const LENGTHS: Lengths = Lengths { user: 3, countries: 5, country_count: 2 };

    #[test]
    fn a_profile_has_both_replies_whole() {
        let [user, countries, report] = [field(1, b"ada"), field(2, b"gb fr"), field(3, b"r")];
        let profile = |parts: &[&Vec<u8>]| {
            Shape::Profile(LENGTHS).check(&body(&[parts.iter().copied().flatten().copied().collect()]))
        };
        assert_eq!(profile(&[&user, &countries, &report]), Ok(15));
        assert_eq!(profile(&[&user, &countries]), Ok(12));
        for wrong in
            [&[][..], &[&user], &[&user, &report], &[&user, &field(2, b"gb")], &[&user, &countries, &countries]]
        {
            assert!(profile(wrong).is_err(), "{wrong:?}");
        }
        assert!(Shape::Profile(LENGTHS).check(&[]).unwrap_err().starts_with("0 messages"));
    }

    #[test]
    fn a_stream_has_all_users_and_ends_with_the_report() {
        let user = || [field(1, b"id"), field(2, b"ada")].concat();
        let error = [field(1, b"id"), field(3, b"status")].concat();
        let report = || field(4, b"report");
        let users = |messages: &[Vec<u8>]| Shape::Users { number: 2, length: 3 }.check(&body(messages));
        assert!(users(&[user(), user(), report()]).is_ok());
        for wrong in [
            vec![user(), report()],
            vec![user(), user()],
            vec![user(), error, report()],
            vec![report(), user(), user()],
        ] {
            assert!(users(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn json_has_all_countries() {
        let check = |text: &str| Shape::ProfileAsJson(LENGTHS).check(text.as_bytes());
        assert!(check(r#"{"user": {"id": "ada", "email": ""}, "countryList": {"countries": [{}, {}]}}"#).is_ok());
        assert!(check(r#"{"user": {"id": "ada"}, "countryList": {"countries": [{}]}}"#).is_err());
        assert!(check(r#"{"detail": "a long text in place of a profile"}"#).unwrap_err().contains("user"));
    }

    #[test]
    fn what_is_cut_is_no_reply() {
        let whole = body(&[field(1, b"ada")]);
        assert_eq!(Shape::Exactly(5).check(&whole), Ok(5));
        assert!(Shape::Exactly(5).check(&whole[..9]).is_err());
        assert!(Shape::Any.check(&body(&[Vec::new()])).is_err());
        assert_eq!(fields(&field(1, b"ada")[..4]), None);
    }
}
