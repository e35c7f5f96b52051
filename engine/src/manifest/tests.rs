//! Tests of the manifest, one of them on a disk that is full now and then.

use logwood_fuzz::SimulatedDisk;
use logwood_wal::{ManualClock, MemoryDisk};

use super::*;

fn open(disk: &Arc<dyn Disk>) -> Manifest {
    Manifest::open(disk, Arc::new(ManualClock::new(0)), 7, 1).unwrap().0
}

#[test]
fn edits_are_there_after_reopening_with_and_without_a_close() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let mut manifest = open(&disk);
    let row = TableRow { keyspace: 3, level: 1, bytes: 99, checksum: 7, lsn: 0 };
    let mut edit = Edit::default().flushed(5);
    edit.add_row(12, row);
    let ahead = TableRow { lsn: 4, ..row };
    edit.add_row(13, ahead);
    manifest.edit(edit).unwrap();
    drop(manifest);
    let mut manifest = open(&disk);
    assert_eq!(manifest.rows().tables().unwrap(), [(12, row), (13, ahead)]);
    assert_eq!(manifest.rows().flushed().unwrap(), 5);
    let mut edit = Edit::default();
    edit.remove_table(12);
    edit.remove_table(13);
    manifest.edit(edit).unwrap();
    manifest.close(5, 13, &Counts::new()).unwrap();
    assert_eq!(read(&disk).unwrap().closed().unwrap(), Some(5));
    let manifest = open(&disk);
    assert!(manifest.rows().tables().unwrap().is_empty());
    assert_eq!(manifest.rows().closed().unwrap(), None);
}

/// The edit was durable, and failed all the same, because the new file that was due behind it found no room. So
/// segments that the manifest named were thrown away, and a compaction was made twice.
#[test]
fn an_edit_that_was_made_does_not_fail_for_want_of_room() {
    let simulated = SimulatedDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(simulated.clone());
    let mut manifest = open(&disk);
    let mut made = 0;
    for lsn in 1..3 * EDITS_MAX as u64 {
        // About when a new file is due there is room for what fits into the last block, and for no new file.
        let due = (lsn + 5) % EDITS_MAX as u64 <= 10;
        simulated.set_capacity(due.then(|| simulated.used_bytes()));
        match manifest.edit(Edit::default().flushed(lsn)) {
            Ok(()) => made = lsn,
            Err(error) => assert!(error.is_disk_full(), "{error}"),
        }
        assert_eq!(manifest.rows().flushed().unwrap(), made);
        if lsn % 10 == 0 {
            assert_eq!(read(&disk).unwrap().flushed().unwrap(), made);
        }
    }
    assert!(disk.list().unwrap().len() <= 2, "{:?}", disk.list());
}

#[test]
fn numbers_that_leave_none_for_the_next_are_malformed() {
    let rows = |edit: Edit| {
        let mut rows = ManifestRows::default();
        edit.apply_to(&mut rows.rows);
        (rows.flushed(), rows.closed(), rows.next_file(), rows.tables())
    };
    let numbered = |number| {
        let mut edit = Edit::default().flushed(number).closed(Some(number)).next_file(number);
        edit.add_row(number, TableRow { keyspace: 0, level: 0, bytes: 0, checksum: 0, lsn: 0 });
        rows(edit)
    };
    assert!(matches!(numbered(files::NUMBER_MAX - 1), (Ok(_), Ok(_), Ok(_), Ok(_))));
    for number in [files::NUMBER_MAX, u64::MAX] {
        assert!(matches!(numbered(number), (Err(_), Err(_), Err(_), Err(_))));
    }
}

#[test]
fn many_edits_do_not_grow_the_manifest_without_bound() {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let mut manifest = open(&disk);
    for lsn in 0..3 * EDITS_MAX as u64 {
        manifest.edit(Edit::default().flushed(lsn)).unwrap();
    }
    let names = disk.list().unwrap();
    assert!(names.len() <= 2, "{names:?}");
    drop(manifest);
    assert_eq!(open(&disk).rows().flushed().unwrap(), 3 * EDITS_MAX as u64 - 1);
}
