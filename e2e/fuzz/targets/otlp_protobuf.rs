//! See [`fuzz::otlp_protobuf`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(otlp_protobuf);
