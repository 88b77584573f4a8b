//! See [`fuzz::overlap`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(overlap);
