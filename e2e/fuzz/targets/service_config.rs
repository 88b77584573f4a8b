//! See [`fuzz::service_config`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(service_config);
