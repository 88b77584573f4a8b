//! Which identity may call which method.

use super::Identity;
use crate::trace::KnownMethods;

/// Which identity may call which method. What no line allows is refused.
///
/// A policy is a text. Each line has an identity and the methods that it may call, separated by spaces; `#` begins a
/// comment. Several lines for one identity add up.
///
/// ```text
/// key:reports                          fanout.gateway.v1.GatewayService/GetProfile
/// token:*                              fanout.gateway.v1.GatewayService/*
/// certificate:spiffe://example.org/*   *
/// anonymous                            fanout.gateway.v1.GatewayService/GetHomeCountry
/// ```
///
/// An identity may end with `*`, which stands for any text; `*` alone is every identity, but not `anonymous`: a caller
/// without credentials. A method is `SERVICE/METHOD`, `SERVICE/*` or `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    who: Who,
    methods: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    Identity(Pattern),
}

/// A text, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

/// The error for a text that is not a [`Policy`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct InvalidPolicy {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it, and what is allowed.
    pub message: String,
}

// === impl Policy ===

impl Policy {
    /// Reads a policy for services with these methods.
    ///
    /// # Errors
    ///
    /// Returns an error for the first line that is not of the form above, or names a method that there is not.
    pub fn parse(text: &str, methods: &KnownMethods) -> Result<Self, InvalidPolicy> {
        let rules = text.lines().enumerate().filter_map(|(index, line)| {
            let line = line.split_once('#').map_or(line, |(line, _comment)| line);
            let mut words = line.split_whitespace();
            let who = words.next()?;
            Some(Rule::parse(who, words, methods).map_err(|message| InvalidPolicy { line: index + 1, message }))
        });
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether a caller with this identity, or without one, may call a method such as `package.Service/Method`.
    pub fn allows(&self, identity: Option<&Identity>, method: &str) -> bool {
        self.0.iter().any(|rule| rule.who.is(identity) && rule.methods.iter().any(|pattern| pattern.matches(method)))
    }
}

// === impl Rule ===

impl Rule {
    fn parse<'a>(who: &str, methods: impl Iterator<Item = &'a str>, known: &KnownMethods) -> Result<Self, String> {
        let who = Who::parse(who)?;
        let methods = methods.map(|method| parse_method(method, known)).collect::<Result<Vec<_>, _>>()?;
        if methods.is_empty() {
            return Err("no method follows the identity: expected SERVICE/METHOD, SERVICE/* or *".to_owned());
        }
        Ok(Self { who, methods })
    }
}

fn parse_method(text: &str, known: &KnownMethods) -> Result<Pattern, String> {
    let pattern = Pattern::parse(text).filter(|pattern| match pattern {
        Pattern::Exact(_) => true,
        Pattern::Prefix(prefix) => prefix.is_empty() || prefix.ends_with('/'),
    });
    if let Some(pattern) = pattern
        && known.names().any(|method| pattern.matches(method))
    {
        return Ok(pattern);
    }
    let mut names: Vec<_> = known.names().collect();
    names.sort_unstable();
    Err(format!("{text:?} is no method of the contract: expected *, SERVICE/* or one of {}", names.join(", ")))
}

// === impl Who ===

impl Who {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "anonymous" {
            return Ok(Self::Anonymous);
        }
        let has_mechanism = |text: &str| {
            super::Mechanism::ALL.iter().any(|mechanism| {
                text.strip_prefix(mechanism.prefix())
                    .and_then(|rest| rest.strip_prefix(':'))
                    .is_some_and(|name| !name.is_empty())
            })
        };
        if is_open_domain(text) {
            return Err(format!(
                "{text:?} allows other trust domains too, which only begin alike: expected /* at its end"
            ));
        }
        let pattern = Pattern::parse(text).filter(|_| text == "*" || has_mechanism(text));
        pattern.map(Self::Identity).ok_or_else(|| {
            format!(
                "{text:?} is no identity: expected key:NAME, token:SUBJECT or certificate:NAME, whose end may be *, * for \
                 every identity, or anonymous"
            )
        })
    }

    fn is(&self, identity: Option<&Identity>) -> bool {
        match (self, identity) {
            (Self::Anonymous, None) => true,
            (Self::Identity(pattern), Some(identity)) => pattern.matches_identity(identity),
            (Self::Anonymous, Some(_)) | (Self::Identity(_), None) => false,
        }
    }
}

/// Returns whether the `*` of a SPIFFE id or another URI is in its authority: `spiffe://example.org*` is
/// `spiffe://example.org.evil` too.
fn is_open_domain(text: &str) -> bool {
    let prefix = text.strip_suffix('*').and_then(|text| text.split_once("://"));
    prefix.is_some_and(|(_, authority_and_path)| !authority_and_path.contains('/'))
}

// === impl Pattern ===

impl Pattern {
    /// Returns `None` if there is a `*` that is not at the end.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('*') {
            None => Some(Self::Exact(text.to_owned())),
            Some((prefix, "")) => Some(Self::Prefix(prefix.to_owned())),
            Some(_) => None,
        }
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
        }
    }

    /// Compares without a copy of the identity as one text.
    fn matches_identity(&self, identity: &Identity) -> bool {
        let (text, is_exact) = match self {
            Self::Exact(text) => (text, true),
            Self::Prefix(text) => (text, false),
        };
        if text.is_empty() {
            return !is_exact;
        }
        let rest = text.strip_prefix(identity.mechanism().prefix()).and_then(|rest| rest.strip_prefix(':'));
        rest.is_some_and(|name| if is_exact { identity.name() == name } else { identity.name().starts_with(name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Mechanism;

    const CHECK: &str = "grpc.health.v1.Health/Check";
    const WATCH: &str = "grpc.health.v1.Health/Watch";

    fn parse(text: &str) -> Result<Policy, String> {
        let methods = KnownMethods::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        Policy::parse(text, &methods).map_err(|error| error.to_string())
    }

    fn allows(policy: &str, who: Option<(Mechanism, &str)>, method: &str) -> bool {
        let identity = who.map(|(mechanism, name)| Identity::new(mechanism, name));
        parse(policy).unwrap().allows(identity.as_ref(), method)
    }

    #[test]
    fn what_no_line_allows_is_refused() {
        let key = |name| Some((Mechanism::ApiKey, name));
        let policy = "# who what\nkey:a  grpc.health.v1.Health/Check # one\n\nkey:b grpc.health.v1.Health/*\nkey:a *\n";
        assert!(allows(policy, key("a"), WATCH), "lines add up");
        assert!(allows(policy, key("b"), WATCH));
        assert!(!allows("key:a grpc.health.v1.Health/Check", key("a"), WATCH));
        assert!(!allows("key:a *", key("ab"), CHECK), "a name is whole");
        assert!(!allows("key:a *", Some((Mechanism::Token, "a")), CHECK), "a mechanism's names are its own");
        assert!(!allows("", key("a"), CHECK));
        assert!(!allows("key:a grpc.health.v1.Health/*", key("a"), "grpc.health.v1.HealthX/Check"));
    }

    #[test]
    fn an_identity_may_end_with_a_star_and_anonymous_is_none() {
        let certificate = |name| Some((Mechanism::Certificate, name));
        let policy = "certificate:spiffe://example.org/* *";
        assert!(allows(policy, certificate("spiffe://example.org/web"), CHECK));
        assert!(!allows(policy, certificate("spiffe://example.com/web"), CHECK));
        for (policy, identified, anonymous) in
            [("* *", true, false), ("anonymous *", false, true), ("key:* *", false, false)]
        {
            assert_eq!(allows(policy, Some((Mechanism::Token, "ada")), CHECK), identified, "{policy}");
            assert_eq!(allows(policy, None, CHECK), anonymous, "{policy}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_with_what_is_allowed() {
        for (text, needed) in [
            ("key:a grpc.health.v1.Health/Chek", &["line 1", "\"grpc.health.v1.Health/Chek\"", CHECK, WATCH][..]),
            ("\nkey:a grpc.health.v1.Healt/*", &["line 2", "grpc.health.v1.Healt/*"]),
            ("key:a grpc.health.v1.Health/C*", &["C*", "SERVICE/*"]),
            ("key:a", &["no method", "SERVICE/METHOD"]),
            ("reports *", &["\"reports\"", "key:NAME", "anonymous"]),
            ("key: *", &["\"key:\""]),
            ("key:*a *", &["\"key:*a\""]),
            ("certificate:spiffe://example.org* *", &["\"certificate:spiffe://example.org*\"", "/*"]),
            ("certificate:spiffe://* *", &["\"certificate:spiffe://*\"", "/*"]),
        ] {
            let error = parse(text).unwrap_err();
            assert!(needed.iter().all(|needed| error.contains(needed)), "{error}");
        }
    }
}
