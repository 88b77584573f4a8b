use std::time::Duration;

use tonic::Code;

use super::*;
use crate::{
    backoff::{Backoff, Jitter},
    code_set::CodeSet,
    config::{Config, HedgeAfter},
    descriptors::{DescribedMethod, MethodKind},
    method_policy::{HedgePolicy, RetryPolicy},
};

fn policy(document: &str) -> MethodPolicy {
    let config = ServiceConfig::from_json(document).unwrap();
    config.policy("/a.B/C", &MethodPolicy::of(&Config::default()))
}

#[test]
fn nothing_said_leaves_the_channels_settings() {
    let defaults = MethodPolicy::of(&Config::default());
    for document in ["{}", r#"{"methodConfig": []}"#, r#"{"methodConfig": [{"name": [{}]}]}"#] {
        assert_eq!(policy(document), defaults, "{document}");
    }
}

#[test]
fn every_entry_is_taken() {
    let retried = policy(
        r#"{"methodConfig": [{
            "name": [{"service": "x.Y"}, {"service": "a.B", "method": "C"}],
            "timeout": "1.000000001s",
            "waitForReady": true,
            "retryPolicy": {
                "maxAttempts": 7,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 1.5,
                "retryableStatusCodes": ["unavailable", 8]
            }
        }]}"#,
    );
    assert_eq!((retried.timeout, retried.wait_for_ready), (Some(Duration::new(1, 1)), true));
    let RetryPolicy { max_retries, backoff, codes, is_explicit, is_transparent } = retried.retry;
    assert_eq!((max_retries, is_explicit, is_transparent), (4, true, true), "five attempts are the most");
    let (initial, max) = (Duration::from_millis(100), Duration::from_secs(1));
    assert_eq!(backoff, Backoff { initial, max, multiplier: 1.5, jitter: Jitter::Fifth });
    assert_eq!(codes, CodeSet::from_iter([Code::Unavailable, Code::ResourceExhausted]));

    let hedged = policy(
        r#"{"methodConfig": [{
            "name": [{}],
            "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.05s", "nonFatalStatusCodes": ["UNAVAILABLE"]}
        }]}"#,
    );
    let HedgePolicy { after, max_attempts, non_fatal } = hedged.hedge;
    assert_eq!((after, max_attempts), (HedgeAfter::Delay(Duration::from_millis(50)), 3));
    assert_eq!(non_fatal, Some(CodeSet::only(Code::Unavailable)));
    assert_eq!(hedged.retry.max_retries, 0, "a method is hedged or retried");

    let config = ServiceConfig::from_json(r#"{"retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1239}}"#).unwrap();
    assert_eq!(config.retry_throttling(), Some(RetryThrottling { max_tokens: 10.0, token_ratio: 0.123 }));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let retry = |changed: &str| {
        let mut fields = vec![
            r#""maxAttempts": 2"#,
            r#""initialBackoff": "0.1s""#,
            r#""maxBackoff": "1s""#,
            r#""backoffMultiplier": 2"#,
            r#""retryableStatusCodes": ["UNAVAILABLE"]"#,
        ];
        let name = changed.split(':').next().unwrap();
        fields.retain(|field| !field.starts_with(name));
        fields.push(changed);
        format!(r#"{{"methodConfig": [{{"name": [{{}}], "retryPolicy": {{{}}}}}]}}"#, fields.join(","))
    };
    let entry = |text: &str| format!(r#"{{"methodConfig": [{{{text}}}]}}"#);
    for (document, path, message) in [
        ("{".to_owned(), "the document", "EOF"),
        ("[]".to_owned(), "the document", "invalid"),
        ("{} {}".to_owned(), "the document", "trailing"),
        (r#"{"methodConfigs": []}"#.to_owned(), "methodConfigs", "unknown field `methodConfigs`, expected"),
        (entry(r#""timeout": "1s""#), "methodConfig[0]", "missing field `name`"),
        (entry(r#""name": []"#), "methodConfig[0].name", "is empty"),
        (entry(r#""name": [{"method": "C"}]"#), "methodConfig[0].name[0]", "without its service"),
        (entry(r#""name": [{}, {}]"#), "methodConfig[0].name[1]", "same name"),
        (entry(r#""name": [{}], "timeout": "1m""#), "methodConfig[0].timeout", r#"is "1m": seconds"#),
        (entry(r#""name": [{}], "timeout": "-1s""#), "methodConfig[0].timeout", "seconds"),
        (entry(r#""name": [{}], "timeout": "1.0000000001s""#), "methodConfig[0].timeout", "seconds"),
        (entry(r#""name": [{}], "waitForReady": 1"#), "methodConfig[0].waitForReady", "invalid type"),
        (
            entry(r#""name": [{}], "maxRequestMessageBytes": 1"#),
            "methodConfig[0].maxRequestMessageBytes",
            "unknown field",
        ),
        (retry(r#""maxAttempts": 1"#), "methodConfig[0].retryPolicy.maxAttempts", "is 1: 2 or more"),
        (retry(r#""initialBackoff": "0s""#), "methodConfig[0].retryPolicy.initialBackoff", "is 0"),
        (retry(r#""backoffMultiplier": 0"#), "methodConfig[0].retryPolicy.backoffMultiplier", "more than 0"),
        (retry(r#""retryableStatusCodes": []"#), "methodConfig[0].retryPolicy.retryableStatusCodes", "is empty"),
        (
            retry(r#""retryableStatusCodes": ["DOWN"]"#),
            "methodConfig[0].retryPolicy.retryableStatusCodes",
            r#""DOWN" is no"#,
        ),
        (retry(r#""retryableStatusCodes": [17]"#), "methodConfig[0].retryPolicy.retryableStatusCodes", "17 is no"),
        (r#"{"": 1}"#.to_owned(), "the document", "unknown field"),
        (
            r#"{"retryThrottling": {"maxTokens": 1001, "tokenRatio": 1}}"#.to_owned(),
            "retryThrottling.maxTokens",
            "1000",
        ),
        (
            r#"{"retryThrottling": {"maxTokens": 10, "tokenRatio": 0}}"#.to_owned(),
            "retryThrottling.tokenRatio",
            "more than 0",
        ),
    ] {
        let error = ServiceConfig::from_json(&document).unwrap_err();
        assert_eq!(error.path, path, "{document}: {error}");
        assert!(error.message.contains(message), "{document}: {error}");
    }
    let both = retry(r#""maxAttempts": 2"#)
        .replace(r#""retryPolicy""#, r#""hedgingPolicy": {"maxAttempts": 2}, "retryPolicy""#);
    let error = ServiceConfig::from_json(&both).unwrap_err();
    assert_eq!((error.path.as_str(), error.message.contains("both")), ("methodConfig[0]", true));
}

#[test]
fn names_are_held_against_the_contract() {
    let method = |name: &str| DescribedMethod {
        service: "a.B".to_owned(),
        name: name.to_owned(),
        kind: MethodKind::Unary,
        is_idempotent: true,
    };
    let descriptors = Descriptors { methods: vec![method("C"), method("D")] };
    let check = |name: &str| {
        ServiceConfig::from_json(&format!(r#"{{"methodConfig": [{{"name": [{name}]}}]}}"#)).unwrap().check(&descriptors)
    };
    for good in ["{}", r#"{"service": "a.B"}"#, r#"{"service": "a.B", "method": "D"}"#] {
        assert_eq!(check(good), Ok(()));
    }
    let error = check(r#"{"service": "a.B", "method": "E"}"#).unwrap_err();
    assert_eq!(error.message, r#""E" is no method of a.B: C, D are"#);
    let error = check(r#"{"service": "a.X"}"#).unwrap_err();
    assert_eq!(error.message, r#""a.X" is no service of the contract: a.B are"#);
}

#[test]
fn an_error_repeats_a_part_of_the_document_and_nothing_that_cannot_be_seen() {
    let long = "x\u{202e}".repeat(10_000);
    for document in [
        format!(r#"{{"{long}": 1}}"#),
        format!(r#"{{"methodConfig": "{long}"}}"#),
        format!(r#"{{"methodConfig": [{{"name": [{{}}], "timeout": "{long}"}}]}}"#),
        format!(r#"{{"methodConfig": [{{"name": [], "retryPolicy": {{"retryableStatusCodes": ["{long}"]}}}}]}}"#),
    ] {
        let error = ServiceConfig::from_json(&document).unwrap_err().to_string();
        assert!(error.len() < 4500 && !error.contains('\u{202e}'), "{} bytes: {error:.1000}", error.len());
    }
}
