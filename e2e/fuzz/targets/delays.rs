//! See [`fuzz::delays`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(delays);
