//! Histories of concurrent transactions, searched for anomalies of isolation.
//!
//! Transactions append elements to lists, and read lists. A list tells more than a value would: whoever reads
//! `[1, 4, 2]` has seen which versions there were, and in which order. From all reads together follows which transaction
//! must have come before which; if one must have come before itself, the database was not serializable, and the cycle
//! is the proof. These are the rules of Elle (Kyle Kingsbury and Peter Alvaro, "Elle: Inferring Isolation Anomalies from
//! Experimental Observations", VLDB 2020), and the names are those of Atul Adya's thesis ("Weak Consistency: A
//! Generalized Theory and Optimistic Implementations for Distributed Transactions", MIT, 1999).
//!
//! A [`Recorder`] is told what is done, by as many threads as there are, and [`Recorder::check`] reports what is wrong:
//!
//! ```
//! use logwood_fuzz::history::{Anomaly, Outcome, Recorder};
//!
//! let recorder = Recorder::new();
//! let (mut first, mut second) = (recorder.begin(), recorder.begin());
//! first.read("ann", &[]);
//! second.read("ann", &[]);
//! first.append("ann", 1);
//! second.append("ann", 2);
//! first.end(Outcome::Committed);
//! second.end(Outcome::Committed); // a serializable database refuses it
//! let mut last = recorder.begin();
//! last.read("ann", &[2]);
//! last.end(Outcome::Committed);
//!
//! let report = recorder.check();
//! assert!(report.has(Anomaly::LostUpdate), "{report}");
//! ```
//!
//! # Rules for the program that records
//!
//! - [`Recorder::begin`] comes before the transaction begins, [`Attempt::end`] after its commit returned; in between
//!   everything is told in the order in which the transaction did it.
//! - An element is appended to a list once in the whole history, by any transaction.
//! - What a list is does not matter: a row that is read, extended and written; an array in a document; rows, documents
//!   or relations that are read as a range and sorted by a place that they carry. A list that is not there is empty.
//! - A last transaction that reads every list makes the check sharper: an element that is in no read has no known place.
//!
//! # What is derived
//!
//! The versions of a list are the prefixes of the longest read; every other read must be one of them. An edge goes
//!
//! - `ww` from who appended an element to who appended the next one,
//! - `wr` from who appended the last element of a read to who read it,
//! - `rw` from who read a version to who appended the element behind it; it is a *predicate* edge if the list was not
//!   there when a range was read, and its first element is a phantom,
//! - `real time` from a transaction to all that began after it had ended. With these, cycles disprove strict
//!   serializability: their names end in `-realtime`.
//!
//! A transaction without appends, such as a snapshot, stands where it read, and so do the reads of a transaction that
//! was refused: they too must be of one moment.
//!
//! Strongly connected components are found in linear time (Tarjan); within one, the shortest cycle of each kind by a
//! breadth-first search from its edges, up to a bound of work that only a component of many thousand edges reaches.
//!
//! [`Recorder::check_recovered`] tells whether what a crash left agrees with a history.

mod anomaly;
mod cycle;
mod graph;
mod observe;
mod order;
mod record;
mod recovered;
#[cfg(test)]
mod tests;

pub use anomaly::{Anomaly, Finding, Report};
pub use record::{Attempt, Outcome, Recorder};
