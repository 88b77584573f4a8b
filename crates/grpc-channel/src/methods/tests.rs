use std::time::Duration;

use super::*;

fn described(name: &str, is_idempotent: bool) -> DescribedMethod {
    DescribedMethod {
        service: "example.v1.Users".to_owned(),
        name: name.to_owned(),
        kind: MethodKind::Unary,
        is_idempotent,
    }
}

fn methods(service_config: &str) -> Methods {
    let descriptors = Descriptors { methods: vec![described("Get", true), described("Create", false)] };
    Methods::new(&descriptors, ServiceConfig::from_json(service_config).unwrap(), &Config::default())
}

fn get(methods: &Methods, path: &str) -> Method {
    methods.get(&path.parse().unwrap())
}

#[test]
fn the_contract_says_what_is_idempotent_and_what_it_does_not_name_is_not() {
    let methods = methods("{}");
    for (path, kind, is_idempotent) in [
        ("/example.v1.Users/Get", MethodKind::Unary, true),
        ("/example.v1.Users/Create", MethodKind::Unary, false),
        ("/example.v1.Users/Drop", MethodKind::Unknown, false),
    ] {
        let method = get(&methods, path);
        assert_eq!((method.path(), method.kind(), method.is_idempotent()), (path, kind, is_idempotent));
    }
}

#[test]
fn a_method_is_resolved_once() {
    let methods = methods("{}");
    for path in ["/example.v1.Users/Get", "/other.v1.Other/Get"] {
        assert!(get(&methods, path).is_same(&get(&methods, path)), "{path}");
    }
}

#[test]
fn methods_that_nobody_described_are_not_kept_without_limit() {
    let methods = methods("{}");
    (0..2 * MAX_UNKNOWN).for_each(|number| drop(get(&methods, &format!("/other.v1.Other/M{number}"))));
    assert_eq!(methods.unknown.read().len(), MAX_UNKNOWN);
}

#[test]
fn the_entry_of_a_method_goes_before_its_services_and_that_before_the_one_for_all() {
    let methods = methods(
        r#"{"methodConfig": [
            {"name": [{}], "timeout": "3s"},
            {"name": [{"service": "example.v1.Users"}], "timeout": "2s"},
            {"name": [{"service": "example.v1.Users", "method": "Get"}], "timeout": "1s"}
        ]}"#,
    );
    for (path, seconds) in
        [("/example.v1.Users/Get", 1), ("/example.v1.Users/Create", 2), ("/example.v1.Users/Drop", 2), ("/a.B/C", 3)]
    {
        assert_eq!(get(&methods, path).policy().timeout, Some(Duration::from_secs(seconds)), "{path}");
    }
}
