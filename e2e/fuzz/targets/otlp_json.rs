//! See [`fuzz::otlp_json`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(otlp_json);
