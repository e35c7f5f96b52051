//! The log on a bad disk: what was acknowledged is there, what was not is there wholly or not at all.
//!
//! Every failure names its seed, its call and its kind of crash; these repeat it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod crashes;
mod damage;
mod faults;
mod life;
mod model;
