//! Two transactions, one of which writes while the other one is open.

use logwood::{Database, Error, Keyspace, Transaction};

/// Whether a transaction that reads so, and writes a row of its own, conflicts with one that writes so meanwhile.
pub(crate) fn conflicts(
    (db, space): &(Database, Keyspace),
    flushed: bool,
    read: impl FnOnce(&mut Transaction, Keyspace),
    write: impl FnOnce(&mut Transaction, Keyspace),
) -> bool {
    let mut reader = db.begin();
    read(&mut reader, *space);
    reader.put(*space, b"written", b"").unwrap();
    let mut writer = db.begin();
    write(&mut writer, *space);
    writer.commit().unwrap();
    if flushed {
        db.flush().unwrap();
    }
    match reader.commit() {
        Ok(_) => false,
        Err(Error::Conflict) => true,
        Err(error) => panic!("{error}"),
    }
}
