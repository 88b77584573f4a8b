//! See [`fuzz::baggage`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(baggage);
