//! Runs `targets::log_frame` on what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logwood_fuzz::targets::log_frame(data));
