//! See [`fuzz::requests`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(requests);
