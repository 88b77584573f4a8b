//! See [`fuzz::framing`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(framing);
