//! See [`fuzz::zipkin_json`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(zipkin_json);
