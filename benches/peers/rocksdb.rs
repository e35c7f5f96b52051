//! RocksDB, without compression, with the filter of 10 bits a key that its documentation recommends for gets.
//! Without sync a commit is written to the log, as it does by default.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, Options, ReadOptions, Snapshot,
    WriteBatch, WriteOptions,
    statistics::{StatsLevel, Ticker},
};

use crate::data;
use crate::engine::{End, Reads, Result, Row, Settings, Store, Sync, Writes, fail};

struct RocksDb {
    db: DB,
    /// Has the count of syncs, if there is one.
    counted: Option<Options>,
}

pub(crate) fn open(folder: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(settings.cache_bytes));
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_block_based_table_factory(&blocks);
    if settings.count_syncs {
        options.enable_statistics();
        options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    }
    let db = DB::open(&options, folder.join("rocksdb"))?;
    Ok(Box::new(RocksDb { db, counted: settings.count_syncs.then_some(options) }))
}

fn how(sync: Sync) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(sync == Sync::Commit);
    options
}

impl RocksDb {
    fn seek_end(&self, end: End) -> DBRawIterator<'_> {
        let mut rows = self.db.raw_iterator();
        match end {
            End::First => rows.seek_to_first(),
            End::Last => rows.seek_to_last(),
        }
        rows
    }
}

impl Store for RocksDb {
    fn write(&self, sync: Sync, body: &mut dyn FnMut(&mut dyn Writes) -> Result) -> Result {
        let mut batch = WriteBatch::default();
        body(&mut batch)?;
        Ok(self.db.write_opt(batch, &how(sync))?)
    }

    fn read(&self, body: &mut dyn FnMut(&mut dyn Reads) -> Result) -> Result {
        let snapshot = self.db.snapshot();
        let mut options = ReadOptions::default();
        options.set_snapshot(&snapshot);
        body(&mut Reading { db: &self.db, snapshot: &snapshot, options })
    }

    fn modify(&self, key: &[u8], change: &mut dyn FnMut(&mut Vec<u8>) -> Result) -> Result {
        let Some(mut value) = self.db.get(key)? else { fail!("a row to modify is missing") };
        change(&mut value)?;
        Ok(self.db.put(key, value)?)
    }

    fn pop(&self, end: End, popped: &mut dyn FnMut(&[u8]) -> Result) -> Result {
        let rows = self.seek_end(end);
        let Some(key) = rows.key() else { fail!("nothing to pop") };
        popped(key)?;
        Ok(self.db.delete(key)?)
    }

    fn remove_chosen(&self, low: &[u8], high: &[u8]) -> Result<u64> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(high);
        let mut rows = self.db.raw_iterator_opt(options);
        rows.seek(low);
        let mut batch = WriteBatch::default();
        while let Some((key, value)) = rows.item() {
            if data::is_chosen(value) {
                batch.delete(key);
            }
            rows.next();
        }
        rows.status()?;
        let removed = batch.len() as u64;
        self.db.write_opt(batch, &how(Sync::Later))?;
        Ok(removed)
    }

    fn log_syncs(&self) -> Option<u64> {
        self.counted.as_ref().map(|options| options.get_ticker_count(Ticker::WalFileSynced))
    }

    fn compact(self: Box<Self>) -> Result<Box<dyn Store>> {
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        Ok(self)
    }

    fn close(self: Box<Self>) -> Result {
        self.db.flush_wal(true)?;
        Ok(())
    }
}

impl Writes for WriteBatch {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result {
        WriteBatch::put(self, key, value);
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result {
        self.delete(key);
        Ok(())
    }
}

struct Reading<'d> {
    db: &'d DB,
    snapshot: &'d Snapshot<'d>,
    options: ReadOptions,
}

impl Reads for Reading<'_> {
    fn get(&mut self, key: &[u8], found: &mut dyn FnMut(&[u8]) -> Result) -> Result<bool> {
        self.db.get_pinned_opt(key, &self.options)?.map_or(Ok(false), |value| found(&value).map(|()| true))
    }

    fn range(&mut self, start: Option<&[u8]>, end: End, limit: usize, row: Row<'_>) -> Result {
        let mut rows = self.snapshot.raw_iterator();
        match (start, end) {
            (None, End::First) => rows.seek_to_first(),
            (None, End::Last) => rows.seek_to_last(),
            (Some(start), End::First) => rows.seek(start),
            (Some(start), End::Last) => rows.seek_for_prev(start),
        }
        for _ in 0..limit {
            let Some((key, value)) = rows.item() else { break };
            row(key, value)?;
            match end {
                End::First => rows.next(),
                End::Last => rows.prev(),
            }
        }
        Ok(rows.status()?)
    }

    /// The estimate that RocksDB keeps is not exact.
    fn len(&mut self) -> Result<u64> {
        let mut count = 0;
        self.range(None, End::First, usize::MAX, &mut |_, _| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }
}
