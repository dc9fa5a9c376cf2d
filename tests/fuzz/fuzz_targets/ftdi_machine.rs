//! libFuzzer's entry to `outboard_tests::fuzz::ftdi::machine`, which says what is checked.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| outboard_tests::fuzz::ftdi::machine(data));
