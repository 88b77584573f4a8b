//! See [`fuzz::discovery`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(discovery);
