//! See [`fuzz::delay_flag`].

#![cfg_attr(feature = "libfuzzer", no_main)]

fuzz::target!(delay_flag);
