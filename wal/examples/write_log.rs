//! Writes a log of a few files to a folder, closes it, and prints each commit as a line of JSON: a sample for readers
//! in other languages.
//!
//! ```text
//! cargo run -p logwood-wal --example write_log -- FOLDER
//! ```

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::sync::Arc;

use logwood_wal::{Error, Kind, Log, LogOptions, Lsn, OpsBuffer, RealDisk};
use serde_json::json;

const COMMITS: u32 = 200;
const FILE_BYTES: u64 = 16 * 1024;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn print(lsn: Lsn, buffers: &[&OpsBuffer]) {
    let ops = buffers.iter().flat_map(|buffer| buffer.ops());
    let ops: Vec<_> =
        ops.map(|op| json!([op.keyspace, op.kind.symbol(), hex(op.key), hex(op.value)])).collect();
    println!("{}", json!({ "lsn": lsn, "ops": ops }));
}

/// Operations of every size that takes another width of number in the file.
fn ops_of(commit: u32) -> Result<OpsBuffer, Error> {
    let mut ops = OpsBuffer::new();
    for at in 0..commit % 4 {
        let key = format!("key {commit} {at}");
        let value_bytes = [0, 1, 63, 64, 300][((commit + at) % 5) as usize];
        ops.push(commit << (at * 8), Kind::Put, key.as_bytes(), &vec![0xA5; value_bytes])?;
        ops.push(u32::MAX, Kind::Delete, key.as_bytes(), b"")?;
        ops.push(u32::MAX, Kind::DeleteRange, key.as_bytes(), b"\xff")?;
        ops.push(16, Kind::Segment, &[7; 8], b"what is known of it")?;
    }
    Ok(ops)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: write_log FOLDER")?;
    let disk = Arc::new(RealDisk::create(folder)?);
    let options = LogOptions { file_bytes: FILE_BYTES, seed: 1, ..LogOptions::default() };
    let (mut writer, _) = Log::open::<Error>(disk, options, 1, &mut |_| Ok(()))?;
    for commit in (0..COMMITS).step_by(2) {
        let (first, second) = (ops_of(commit)?, ops_of(commit + 1)?);
        let records: [&[&OpsBuffer]; 2] = [&[&first], &[&second, &first]];
        let last = writer.append(&records)?;
        writer.sync()?;
        print(last - 1, records[0]);
        print(last, records[1]);
    }
    print(writer.next_lsn(), &[]); // Closing is a commit that changes nothing.
    writer.close()?;
    Ok(())
}
