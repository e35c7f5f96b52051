//! What a damaged database may answer, and what a check of it must find.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logwood::{CheckReport, Database, Error, Result};

use crate::allocations;
use crate::frozen::Frozen;
use crate::world::{Files, QUESTIONS, options, writable};

/// Longer than any case takes, by far.
const HANG: Duration = Duration::from_secs(60);

/// One damaged database.
pub(crate) struct Case {
    pub(crate) story: String,
    pub(crate) files: Files,
    /// Whether it is opened and read even if the check has found damage, and for writing as well.
    pub(crate) thorough: bool,
}

/// The file and offset that an error names.
fn place(error: &Error) -> Option<(&str, u64)> {
    match error {
        Error::Corrupt { path, offset, .. } => Some((path, *offset)),
        Error::Log(logwood_wal::Error::Corrupt { path, offset, .. }) => Some((path, *offset)),
        Error::Log(logwood_wal::Error::Retired { .. }) => Some(("the log", 0)),
        // To a reader beside a writer, a file that is gone is as good as swept.
        Error::Outdated { path } => Some((path, 0)),
        Error::Index(logwood_index::Error::Corrupt { file, offset, .. }) => Some((file, *offset)),
        _ => None,
    }
}

/// The answers of a database, with the errors where it has none; each error names file and offset.
fn answers(db: &Result<Database>, story: &str) -> Vec<Option<String>> {
    let named = |error: &Error| assert!(place(error).is_some(), "{story}: {error:?} names no place");
    let db = match db {
        Ok(db) => db,
        Err(error) => {
            named(error);
            return vec![None; QUESTIONS.len()];
        }
    };
    let ask = |question: &crate::world::Question| question(db).inspect_err(named).ok();
    QUESTIONS.iter().map(ask).collect()
}

/// Makes sure that all answers belong to one of the states that are right; without any missing if `whole`.
fn agree(found: &[Option<String>], right: &[Vec<String>], whole: bool, story: &str) {
    let missing = found.iter().any(Option::is_none);
    let fits = |state: &Vec<String>| {
        found.iter().zip(state).all(|(found, right)| found.as_ref().is_none_or(|found| found == right))
    };
    let last = right.last().map(Vec::as_slice).unwrap_or_default();
    assert!(right.iter().any(fits), "{story}: wrong data\n{found:#?}\nright is\n{last:#?}");
    assert!(!(whole && missing), "{story}: a check finds it sound, and yet it cannot be read: {found:?}");
}

/// Checks, opens and reads one damaged database; `right` are the states that it may be in.
pub(crate) fn judge(case: &Case, right: &[Vec<String>]) -> CheckReport {
    let Case { story, files, thorough } = case;
    let disk = Arc::new(Frozen(files.clone()));
    let report = match logwood::check_on(disk.clone()) {
        Ok(report) => report,
        // There is no database any more, and that is what it says.
        Err(error @ Error::NotADatabase { .. }) => panic!("{story}: {error}"),
        Err(error) => panic!("{story}: {error}"),
    };
    let sound = report.is_sound();
    if !sound && !thorough {
        return report;
    }
    let db = Database::open_on(disk, options(4).read_only(true));
    agree(&answers(&db, story), right, sound, story);
    drop(db);
    if *thorough || sound {
        let db = Database::open_on(Arc::new(writable(files)), options(4));
        if let Ok(db) = &db {
            // Background work may fail for the damage; it must not spread it.
            while db.maintain().is_ok_and(|more| more) {}
        }
        agree(&answers(&db, story), right, sound, story);
    }
    report
}

/// Runs the cases of all jobs in two threads. A case that never ends ends the process.
pub(crate) fn in_threads<T: Sync>(jobs: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicU64::new(0);
    let (done, finished) = std::sync::mpsc::channel();
    let failed = Mutex::new(None);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            let (done, next, work, failed) = (done.clone(), &next, &work, &failed);
            threads.spawn(move || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        allocations::watched(|| work(job));
                    })) {
                        *failed.lock().unwrap() = Some(panic);
                        next.store(jobs.len() as u64, Ordering::Relaxed);
                    }
                    done.send(()).unwrap();
                }
            });
        }
        drop(done);
        loop {
            match finished.recv_timeout(HANG) {
                Ok(()) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    eprintln!("a case before number {} does not end", next.load(Ordering::Relaxed));
                    std::process::abort();
                }
            }
        }
    });
    if let Some(panic) = failed.into_inner().unwrap() {
        std::panic::resume_unwind(panic);
    }
    allocations::check();
}
