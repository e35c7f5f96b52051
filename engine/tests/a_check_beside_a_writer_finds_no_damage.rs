//! A check reads files while commits, flushes, compactions and the sweep of objects make and remove them. What
//! goes away meanwhile is no damage.

use logwood::{Bucket, BucketOptions, Database, Options, PutOptions, Result, Severity};

const ROUNDS: u32 = 400;

fn write(db: &Database) -> Result<()> {
    let space = db.keyspace("rows")?;
    let bucket = db.transact(|tx| Bucket::ensure(tx, "bucket", BucketOptions::default()))?;
    for n in 0..ROUNDS {
        let key = format!("key {}", n % 5);
        db.transact(|tx| {
            tx.put(space, key.as_bytes(), &vec![n as u8; 3_000])?;
            bucket.purge(tx, &key)?;
            bucket.put_bytes(tx, &key, &vec![n as u8; 6_000], PutOptions::default()).map(drop)
        })?;
        if n.is_multiple_of(7) {
            db.flush()?;
        }
        if n.is_multiple_of(20) {
            db.compact()?;
        }
    }
    Ok(())
}

#[test]
fn a_check_beside_a_writer_is_sound() {
    let options = Options::new().memtable_bytes(64 << 10).log_file_bytes(16 << 10).segment_bytes(64 << 10);
    let db = Database::open("memory://", options).unwrap();
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| write(&db));
        let mut damage = Vec::new();
        let mut checks = 0;
        while !writer.is_finished() {
            let findings = db.check().unwrap().findings;
            damage.extend(findings.into_iter().filter(|finding| finding.severity == Severity::Damage));
            checks += 1;
        }
        writer.join().unwrap().unwrap();
        assert_eq!(damage, [], "in {checks} checks");
    });
}
