//! See [`fuzz::page_token`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(page_token);
