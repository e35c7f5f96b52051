//! Readers on other threads see each view constant and whole, while the writer overwrites every key, uses
//! nodes again, and grows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::Bound;
use std::sync::mpsc;
use std::thread;

use logwood_index::{Direction, Entries, Memtable, MemtableView};

const KEYS: u64 = 700;
const ROUNDS: u64 = 400;

fn key(i: u64) -> Vec<u8> {
    format!("key/{:016x}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes()
}

/// Round `round` gives every seventh key, from a shifting first one on, a value that names the round.
fn write_round(memtable: &mut Memtable, round: u64) {
    for i in (round % 7..KEYS + round).step_by(7) {
        let value = vec![round as u8; (i % 50) as usize];
        let value = (i % 11 != 0).then_some(&value[..]);
        assert!(memtable.apply(round, 1, &key(i), value).is_ok());
    }
}

/// Everything in the view was written by its own or an earlier round, and as that round writes it.
fn checksum(view: &MemtableView) -> (u64, u64) {
    let mut scan = view.scan(1, (Bound::Unbounded, Bound::Unbounded), Direction::Forward);
    let (mut count, mut sum, mut last) = (0, 0u64, Vec::new());
    while scan.next().is_ok_and(|any| any) {
        assert!(last.as_slice() < scan.key());
        assert!(scan.lsn() <= view.max_lsn());
        if let Some(value) = scan.value() {
            assert!(value.iter().all(|byte| *byte == scan.lsn() as u8));
        }
        last = scan.key().to_vec();
        count += 1;
        sum = sum.rotate_left(5) ^ scan.lsn();
    }
    (count, sum)
}

#[test]
fn readers_are_not_disturbed_by_the_writer() {
    let mut memtable = Memtable::new();
    let (senders, readers): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| {
            let (sender, receiver) = mpsc::channel::<MemtableView>();
            let reader = thread::spawn(move || {
                let mut kept: Vec<(MemtableView, (u64, u64))> = Vec::new();
                for (number, view) in receiver.into_iter().enumerate() {
                    let seen = checksum(&view);
                    assert_eq!(seen.0, view.entry_count() as u64);
                    if number % 16 == 0 {
                        kept.push((view, seen));
                    }
                    if kept.len() > 4 {
                        let (view, seen) = kept.remove(number % 4);
                        assert_eq!(checksum(&view), seen);
                    }
                }
                kept.iter().for_each(|(view, seen)| assert_eq!(checksum(view), *seen));
            });
            (sender, reader)
        })
        .unzip();
    for round in 1..=ROUNDS {
        write_round(&mut memtable, round);
        let view = memtable.publish();
        senders.iter().for_each(|sender| sender.send(view.clone()).unwrap());
    }
    let last = memtable.freeze();
    drop(senders);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(checksum(&last).0, last.entry_count() as u64);
}
