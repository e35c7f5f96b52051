//! The command of the explorer: tries seed after seed, and stops at the first broken promise.

#![cfg_attr(feature = "libfuzzer", no_main)]
#![cfg_attr(
    not(feature = "libfuzzer"),
    expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")
)]

// cargo-fuzz builds every binary of the package with its own `main`; this one is none of its targets.
#[cfg(feature = "libfuzzer")]
libfuzzer_sys::fuzz_target!(|_data: &[u8]| {});

#[cfg(not(feature = "libfuzzer"))]
mod command;

#[cfg(not(feature = "libfuzzer"))]
fn main() -> std::process::ExitCode {
    command::run()
}
