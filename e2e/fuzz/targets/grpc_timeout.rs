//! See [`fuzz::grpc_timeout`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(grpc_timeout);
