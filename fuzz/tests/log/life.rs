//! A short life of a log, step by step, until something fails.

use std::sync::Arc;

use logwood_fuzz::{Rng, SimulatedDisk};
use logwood_wal::{
    Disk, Error, Finding, Follower, Log, LogOptions, LogWriter, Lsn, ManualClock, OpsBuffer, verify,
};

use crate::model::{Content, Model, buffer_of, content_of, random_content};

/// Options of which every seed takes others. Small files, so that a short life sees many of them.
pub(crate) fn options(seed: u64, expect_at_least: Lsn) -> LogOptions {
    LogOptions {
        file_bytes: [1536, 4096][(seed % 2) as usize],
        recycle_files: 1,
        prewrite: seed % 3 != 2,
        seed,
        clock: Arc::new(ManualClock::new(1_000_000)),
        expect_at_least,
        ..LogOptions::default()
    }
}

/// A log, its disk, and what must be in it.
pub(crate) struct Life {
    pub(crate) disk: SimulatedDisk,
    pub(crate) model: Model,
    seed: u64,
    rng: Rng,
    /// None before the log is opened, and once it could not be opened again.
    writer: Option<LogWriter>,
}

impl Life {
    pub(crate) fn begin(disk: &SimulatedDisk, seed: u64) -> Self {
        Self { disk: disk.clone(), model: Model::new(), seed, rng: Rng::new(seed), writer: None }
    }

    /// Goes on with the log as found on another disk.
    pub(crate) fn found_on(&self, disk: &SimulatedDisk) -> Self {
        let (model, rng) = (self.model.clone(), self.rng.clone());
        Self { disk: disk.clone(), model, seed: self.seed, rng, writer: None }
    }

    /// Opens the log and compares it with the model.
    pub(crate) fn open(&mut self, context: &str) -> Result<(), Error> {
        self.writer = None;
        let mut found: Vec<(Lsn, Content)> = Vec::new();
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let options = options(self.seed, self.model.acknowledged);
        let (writer, recovered) = Log::open::<Error>(disk, options, self.model.from, &mut |record| {
            found.push((record.lsn, content_of(record)));
            Ok(())
        })?;
        self.model.settle(&found, context);
        assert_eq!(recovered.replayed, found.len() as u64, "{context}");
        assert_eq!(writer.next_lsn(), self.model.from + found.len() as u64, "{context}");
        self.writer = Some(writer);
        Ok(())
    }

    /// Whether the writer is poisoned; None if there is none.
    pub(crate) fn is_poisoned(&self) -> Option<bool> {
        self.writer.as_ref().map(LogWriter::poisoned)
    }

    fn writer(&mut self) -> &mut LogWriter {
        self.writer.as_mut().unwrap()
    }

    /// Opens the log and runs random steps, up to the first error.
    pub(crate) fn run(&mut self, steps: usize, context: &str) -> Result<(), Error> {
        self.open(context)?;
        (0..steps).try_for_each(|_| self.step(context))
    }

    fn step(&mut self, context: &str) -> Result<(), Error> {
        match self.rng.below(16) {
            0..4 => self.append(),
            4..9 => self.commit(),
            9 => self.sync(),
            10 => self.writer().rotate(),
            11 => self.writer().prepare(),
            12 | 13 => self.retire(),
            14 => self.open(context),
            _ => self.close().and_then(|()| self.open(context)),
        }
    }

    /// Appends a frame of one to three commits.
    pub(crate) fn append(&mut self) -> Result<(), Error> {
        let first = self.writer().next_lsn();
        let count = 1 + self.rng.below(3);
        let contents: Vec<Content> = (0..count).map(|_| random_content(&mut self.rng)).collect();
        let buffers: Vec<OpsBuffer> = contents.iter().map(buffer_of).collect();
        for (lsn, content) in (first..).zip(contents) {
            self.model.trying(lsn, content);
        }
        let parts: Vec<[&OpsBuffer; 1]> = buffers.iter().map(|buffer| [buffer]).collect();
        let records: Vec<&[&OpsBuffer]> = parts.iter().map(<[_; 1]>::as_slice).collect();
        let result = self.writer().append(&records);
        match &result {
            Ok(last) => {
                assert_eq!(*last, first + count - 1);
                self.model.wrote(*last);
            }
            // A writer that goes on says that it wrote nothing.
            Err(_) if !self.writer().poisoned() => {
                (first..first + count).for_each(|lsn| self.model.not_written(lsn));
            }
            Err(_) => {}
        }
        result.map(drop)
    }

    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let last = self.writer().sync()?;
        assert_eq!(last, self.writer().next_lsn() - 1, "a sync acknowledges every commit so far");
        self.model.acknowledge(last);
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        self.append()?;
        self.sync()
    }

    /// Gives up commits that were acknowledged, and says that it will never ask for them again.
    fn retire(&mut self) -> Result<(), Error> {
        let up_to = self.model.from - 1 + self.rng.below(self.model.acknowledged + 2 - self.model.from);
        self.model.from = up_to + 1;
        self.writer().retire(up_to)
    }

    fn close(&mut self) -> Result<(), Error> {
        let last = self.writer().next_lsn() - 1;
        // Closing is a commit that changes nothing.
        self.model.trying(last + 1, Content::new());
        self.writer.take().unwrap().close()?;
        self.model.acknowledge(last);
        Ok(())
    }

    /// Checks what every reader of the log sees while nobody writes: no damage, and the model's commits.
    pub(crate) fn check_readers(&self, context: &str) {
        let mut findings = Vec::new();
        let summary = verify(&self.disk, "log", &mut |finding| findings.push(finding)).unwrap();
        let damage = findings.iter().find(|finding| matches!(finding, Finding::Damage(_)));
        assert!(damage.is_none(), "{context}: {damage:?}");
        assert!(summary.last >= self.model.acknowledged, "{context}: {summary:?}");
        let mut follower = Follower::open(Arc::new(self.disk.clone()), "log", self.model.from).unwrap();
        let mut followed = Vec::new();
        while let Some(record) = follower.next().unwrap() {
            followed.push((record.lsn(), content_of(&record.record())));
        }
        self.model.clone().settle(&followed, context);
    }
}
