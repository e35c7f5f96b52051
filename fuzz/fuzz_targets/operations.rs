//! Runs `targets::operations` on what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logwood_fuzz::targets::operations(data));
