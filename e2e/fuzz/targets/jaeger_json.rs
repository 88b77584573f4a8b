//! See [`fuzz::jaeger_json`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(jaeger_json);
