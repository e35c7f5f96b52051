//! Random work on a log beside a plain list of commits, with reopening, closing, killing and following in between.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod common;

use std::sync::Arc;

use common::{TIME, commit_of, numbered, open_from, options};
use logwood_wal::{Disk, Error, Finding, Follower, Kind, LogOptions, Lsn, MemoryDisk, OpsBuffer, verify};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// A group of commits, each with values of these lengths, in so many buffers.
    Append(Vec<(Vec<usize>, bool)>),
    Sync,
    Rotate,
    Prepare,
    /// Everything but the last few commits.
    Retire(u64),
    Rest(u64),
    Size(u64),
    Close,
    Kill,
    Follow,
}

fn step() -> impl Strategy<Value = Step> {
    let commit = (prop::collection::vec(0_usize..400, 0..4), any::<bool>());
    prop_oneof![
        8 => prop::collection::vec(commit, 1..4).prop_map(Step::Append),
        2 => Just(Step::Sync),
        1 => Just(Step::Rotate),
        1 => Just(Step::Prepare),
        1 => (0_u64..20).prop_map(Step::Retire),
        1 => (0_u64..20).prop_map(Step::Rest),
        1 => (1_000_u64..5_000).prop_map(Step::Size),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        3 => Just(Step::Follow),
    ]
}

type Model = Vec<common::Commit>;

fn commit(lsn: Lsn, lengths: &[usize], split: bool) -> Vec<OpsBuffer> {
    let mut buffers = vec![OpsBuffer::new(), OpsBuffer::new()];
    for (index, &length) in lengths.iter().enumerate() {
        let kind = if length % 7 == 0 { Kind::Delete } else { Kind::Put };
        let buffer = if split { index % 2 } else { 0 };
        buffers[buffer]
            .push(length as u32, kind, format!("{lsn}/{index}").as_bytes(), &vec![9; length])
            .unwrap();
    }
    buffers
}

fn follow(follower: &mut Follower, model: &Model) {
    while let Some(record) = follower.next().unwrap() {
        assert_eq!(commit_of(&record.record()), model[record.lsn() as usize - 1]);
    }
    assert_eq!(follower.position(), model.len() as Lsn + 1);
}

fn run(steps: &[Step], options: &dyn Fn() -> LogOptions) -> Result<(), Error> {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let mut model: Model = Vec::new();
    let mut from = 1;
    let mut log = open_from(&disk, options(), from)?.0;
    let mut follower = Follower::open(Arc::clone(&disk), "log", 1)?;
    for step in steps {
        match step {
            Step::Append(group) => {
                let first = log.next_lsn();
                let buffers: Vec<Vec<OpsBuffer>> = (first..)
                    .zip(group)
                    .map(|(lsn, (lengths, split))| commit(lsn, lengths, *split))
                    .collect();
                let parts: Vec<Vec<&OpsBuffer>> =
                    buffers.iter().map(|parts| parts.iter().collect()).collect();
                let records: Vec<&[&OpsBuffer]> = parts.iter().map(Vec::as_slice).collect();
                assert_eq!(log.append(&records)?, first + group.len() as Lsn - 1);
                for (lsn, parts) in (first..).zip(&buffers) {
                    let ops = parts.iter().flat_map(OpsBuffer::ops);
                    let ops = ops.map(|op| (op.keyspace, op.kind, op.key.to_vec(), op.value.to_vec()));
                    model.push((lsn, ops.collect()));
                }
            }
            Step::Sync => assert_eq!(log.sync()?, model.len() as Lsn),
            Step::Rotate => log.rotate()?,
            Step::Prepare => log.prepare()?,
            Step::Size(bytes) => log.set_file_bytes(*bytes, 2 * bytes),
            Step::Retire(kept) | Step::Rest(kept) => {
                // A follower that lags behind what is retired is another test's.
                follow(&mut follower, &model);
                from = from.max((model.len() as Lsn + 1).saturating_sub(*kept));
                match step {
                    Step::Rest(_) => log.rest(from - 1)?,
                    _ => log.retire(from - 1)?,
                }
            }
            Step::Close | Step::Kill => {
                let close = matches!(step, Step::Close);
                if close && log.close()? > model.len() as Lsn {
                    model.push((model.len() as Lsn + 1, Vec::new()));
                }
                let (reopened, recovered, replayed) = open_from(&disk, options(), from)?;
                log = reopened;
                assert_eq!(replayed, &model[from as usize - 1..]);
                assert!(recovered.last == model.len() as Lsn && recovered.first <= from);
                assert!(!close || recovered.closed || model.is_empty());
            }
            Step::Follow => follow(&mut follower, &model),
        }
        assert_eq!(log.next_lsn(), model.len() as Lsn + 1);
    }
    follow(&mut follower, &model);
    let summary = verify(&*disk, "log", &mut |finding| assert!(!matches!(finding, Finding::Damage(_))))?;
    assert_eq!(summary.last, model.len() as Lsn);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_list_of_commits(steps in prop::collection::vec(step(), 1..40), prewrite: bool) {
        run(&steps, &|| LogOptions { prewrite, ..options(2500) }).unwrap();
    }
}

#[test]
fn commits_carry_the_time_of_the_clock() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let mut log = open_from(&disk, options(2500), 0).unwrap().0;
    log.append(&[&[&numbered(1, 1)]]).unwrap();
    let mut follower = Follower::open(disk, "log", 0).unwrap();
    assert_eq!(follower.next().unwrap().unwrap().record().time_micros, TIME);
}
