#![no_main]
//! The body is in src/fuzzing.rs, where the tests run it too.

libfuzzer_sys::fuzz_target!(|input: &[u8]| virsnap::fuzzing::journal(input));
