//! See [`fuzz::log_line`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(log_line);
