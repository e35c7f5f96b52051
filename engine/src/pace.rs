//! How fast commits may go while merges are behind, and merges while there is no hurry.
//!
//! Flushes go on during merges, so a writer that is faster than merging makes level 0 deep. From a depth on, each byte of
//! a commit costs its writer time, twice as much for every few segments more. So all are slowed early and a little, until
//! as much comes in as is merged, and nobody waits for a whole merge.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::maintenance::Background;
use crate::options::Options;
use crate::shared::Shared;
use crate::sync::Mutex;
use crate::version::Tables;

/// The depth of a keyspace's level 0 from which on merging comes before the next flush, and commits are slowed: a get asks
/// each segment, and each is a mapped file.
pub(crate) const LEVEL_0_DEEP: usize = 12;
/// From here on memtables wait for the merge, and commits for that.
pub(crate) const LEVEL_0_MAX: usize = 36;
/// What a byte costs at first, in nanoseconds.
const BYTE_NS: f64 = 1.0;
/// So many segments more make it cost twice as much: 64 times as much where it ends.
const DOUBLING: f64 = 4.0;

/// Shorter waits are put together, for whoever makes it so much.
const WAIT_NS_MIN: u64 = 1_000_000;
/// The longest wait of one commit.
const WAIT_NS_MAX: u64 = 100_000_000;

/// How long a merge rests at once, in microseconds: what waits for it is looked after in between.
const REST_MICROS_MAX: i64 = 10_000;
const REST_MICROS_MIN: i64 = 1_000;

/// What commits owe.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// That of the deepest level 0.
    depth: AtomicUsize,
    /// Nanoseconds that nobody has waited yet. Held by who waits them, so that others do not go faster by being many.
    debt: Mutex<u64>,
}

impl Pace {
    pub(crate) fn of(tables: &Tables) -> Self {
        let pace = Self::default();
        pace.note(tables);
        pace
    }

    /// The tables have changed.
    pub(crate) fn note(&self, tables: &Tables) {
        let depths = tables.values().map(|levels| levels.depth());
        self.depth.store(depths.max().unwrap_or(0), Ordering::Relaxed);
    }

    /// Has a commit of so many bytes wait as long as it should.
    pub(crate) fn brake(&self, background: &Background, bytes: usize) {
        let price = nanos_a_byte(self.depth.load(Ordering::Relaxed));
        if price == 0.0 {
            return;
        }
        let mut debt = self.debt.lock();
        *debt += (bytes as f64 * price) as u64;
        if *debt >= WAIT_NS_MIN {
            background.pause(Duration::from_nanos(std::mem::take(&mut *debt).min(WAIT_NS_MAX)));
        }
    }
}

/// Holds one merge to [`Options::merge_bytes_per_second`], unless commits are slowed for want of merges.
#[derive(Debug)]
pub(crate) struct Throttle {
    since: i64,
    /// A clock may stand still: what was rested counts.
    rested: i64,
}

impl Throttle {
    pub(crate) fn new(options: &Options) -> Self {
        Self { since: options.clock.now_micros(), rested: 0 }
    }

    /// Rests, if more was written than the time allows. Says whether it did, so that there may be more to rest.
    pub(crate) fn rest(&mut self, shared: &Shared, written: u64) -> bool {
        let Options { merge_bytes_per_second, clock, background, .. } = &shared.options;
        if !background || shared.pace.depth.load(Ordering::Relaxed) >= LEVEL_0_DEEP {
            return false;
        }
        let due = u128::from(written) * 1_000_000 / u128::from(*merge_bytes_per_second);
        let passed = clock.now_micros().saturating_sub(self.since).max(self.rested);
        let early = i64::try_from(due).unwrap_or(i64::MAX).saturating_sub(passed);
        if early < REST_MICROS_MIN {
            return false;
        }
        let micros = early.min(REST_MICROS_MAX);
        self.rested += micros;
        shared.background.rest(Duration::from_micros(micros.unsigned_abs()));
        true
    }
}

fn nanos_a_byte(depth: usize) -> f64 {
    match depth.min(LEVEL_0_MAX).checked_sub(LEVEL_0_DEEP) {
        None => 0.0,
        Some(beyond) => BYTE_NS * (beyond as f64 / DOUBLING).exp2(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use logwood_wal::ManualClock;

    use super::*;
    use crate::database::Database;
    use crate::{Compression, KeyspaceOptions};

    #[test]
    fn a_merge_rests_as_long_as_it_is_early_and_commits_do_not_wait_for_it() {
        let clock = ManualClock::new(0);
        let options =
            Options::new().merge_bytes_per_second(64 << 20).clock(Arc::new(clock.clone())).seed(Some(1));
        let db = Database::open("memory://", options).unwrap();
        let rest = |written| {
            let mut throttle = Throttle::new(&db.shared.options);
            clock.advance(3_000);
            while throttle.rest(&db.shared, written) {}
            throttle.rested
        };
        // A second's worth is 64 MiB.
        assert_eq!(rest(64 << 10), 0);
        let rested = rest(1 << 20);
        assert!((14_626..=15_625).contains(&rested), "{rested} µs");
        db.shared.pace.depth.store(LEVEL_0_DEEP, Ordering::Relaxed);
        assert_eq!(rest(64 << 20), 0);
    }

    #[test]
    fn segments_of_large_entries_weigh_less() {
        let db = Database::open("memory://", Options::new().background(false).seed(Some(1))).unwrap();
        let plain = KeyspaceOptions::new().compression(Compression::None);
        let rows = db.keyspace_with("rows", plain).unwrap();
        let flush = |key: u8, bytes| {
            db.transact(|tx| tx.put(rows, &[key], &vec![key; bytes])).unwrap();
            db.flush().unwrap();
            db.shared.pace.depth.load(Ordering::Relaxed)
        };
        let depths: Vec<_> = (0..18).map(|key| flush(key, 40 << 10)).collect();
        assert_eq!((depths[11], depths[16], depths[17]), (2, 2, 3));
        assert_eq!(flush(18, 100), 7, "beside one of others");
        assert_eq!(flush(19, 100), 8);
    }

    #[test]
    fn the_price_of_a_byte_rises_evenly() {
        assert_eq!([0, 11, 12, 16, 20, 36, 100].map(nanos_a_byte), [0.0, 0.0, 1.0, 2.0, 4.0, 64.0, 64.0]);
        for depth in 13..=LEVEL_0_MAX {
            let step = nanos_a_byte(depth) / nanos_a_byte(depth - 1);
            assert!((1.1..1.3).contains(&step), "{step} at {depth}");
        }
    }
}
