//! Runs `targets::model_rows` on what libFuzzer makes up.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logwood_fuzz::targets::model_rows(data));
