//! Bytes that changed at rest: damage is reported, or was a tail that nobody had acknowledged.

use std::sync::Arc;

use logwood_fuzz::{Rng, SimulatedDisk};
use logwood_wal::{Error, Log, Lsn, verify};

use crate::life::{Life, options};
use crate::model::{Content, content_of};

const STEPS: usize = 20;

/// The commits of a log, from the oldest on, and the last of them that one attests as durable.
#[derive(Debug, PartialEq)]
struct Opened {
    commits: Vec<(Lsn, Content)>,
    attested: Lsn,
}

fn open(disk: &SimulatedDisk, seed: u64) -> Result<Opened, Error> {
    let mut opened = Opened { commits: Vec::new(), attested: 0 };
    Log::open::<Error>(Arc::new(disk.clone()), options(seed, 0), 0, &mut |record| {
        opened.commits.push((record.lsn, content_of(record)));
        opened.attested = opened.attested.max(record.durable);
        Ok(())
    })?;
    Ok(opened)
}

/// The disk that a process leaves which is killed after a short life.
fn left_by_a_life(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    Life::begin(&disk, seed).run(STEPS, &format!("seed {seed}")).unwrap();
    disk.kill()
}

fn log_files(disk: &SimulatedDisk) -> Vec<(String, u64)> {
    let names = disk.names().into_iter().filter(|name| name.ends_with(".avro"));
    names.map(|name| (name.clone(), disk.read(&name).unwrap().len() as u64)).collect()
}

/// Opens a damaged log; what is left without an error must be what was written, up to the last attested commit.
fn open_damaged(disk: &SimulatedDisk, seed: u64, good: &Opened, context: &str) {
    match open(disk, seed) {
        Ok(found) => {
            assert!(good.commits.starts_with(&found.commits), "{context}: other commits than were written");
            let last = found.commits.last().map_or(0, |(lsn, _)| *lsn);
            assert!(
                last >= good.attested,
                "{context}: silently ends at {last}, {} is attested",
                good.attested
            );
        }
        Err(error) => {
            assert!(matches!(error, Error::Corrupt { .. } | Error::Version { .. }), "{context}: {error:?}");
            assert!(error.to_string().contains(".avro"), "{context}: no file is named: {error}");
        }
    }
}

#[test]
fn a_flipped_bit_is_reported_or_was_in_the_tail() {
    for seed in 300..306 {
        let disk = left_by_a_life(seed);
        let good = open(&disk.kill(), seed).unwrap();
        let mut rng = Rng::new(seed);
        for (name, bytes) in log_files(&disk) {
            for offset in 0..bytes {
                let bit = u8::try_from(rng.below(8)).unwrap();
                let damaged = disk.kill();
                damaged.flip(&name, offset, bit);
                let context = format!("seed {seed}, bit {bit} of byte {offset} of {name}");
                open_damaged(&damaged, seed, &good, &context);
            }
        }
    }
}

#[test]
fn a_cut_file_is_reported_or_lost_its_tail() {
    for seed in 310..316 {
        let disk = left_by_a_life(seed);
        let good = open(&disk.kill(), seed).unwrap();
        for (name, bytes) in log_files(&disk) {
            for len in 0..bytes {
                let damaged = disk.kill();
                damaged.truncate(&name, len);
                // A cut of the last file is not told from a tail that never was written.
                let attested = Opened { attested: 0, commits: good.commits.clone() };
                open_damaged(&damaged, seed, &attested, &format!("seed {seed}, {name} cut to {len}"));
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_found_by_verify() {
    for seed in 320..324 {
        let disk = left_by_a_life(seed);
        open_and_close(&disk, seed);
        let mut rng = Rng::new(seed);
        for (name, bytes) in log_files(&disk) {
            for offset in 0..bytes {
                let bit = u8::try_from(rng.below(8)).unwrap();
                disk.flip(&name, offset, bit);
                let mut findings = 0;
                let verified = verify(&disk, "log", &mut |_| findings += 1);
                assert!(
                    findings > 0 || verified.is_err(),
                    "seed {seed}, bit {bit} of byte {offset} of {name}"
                );
                disk.flip(&name, offset, bit);
            }
        }
        assert!(verify(&disk, "log", &mut |finding| panic!("{finding:?}")).is_ok());
    }
}

fn open_and_close(disk: &SimulatedDisk, seed: u64) {
    let opened = Log::open::<Error>(Arc::new(disk.clone()), options(seed, 0), 0, &mut |_| Ok(()));
    opened.unwrap().0.close().unwrap();
}
