//! Repairing a salvaged bucket: present objects, names of files and counts are made again from the versions.

use super::bucket::{Bucket, COUNT_BYTES, COUNT_OBJECTS, COUNT_VERSIONS, keyspace_name};
use super::info::BucketStats;
use super::read::{blob_key, version_key};
use super::row::{Current, Version};
use crate::database::Database;
use crate::dictionary;
use crate::error::Result;
use crate::salvage::{ALL, Losses, Writer};
use crate::snapshot::Snapshot;
use crate::view::View;

impl Bucket {
    /// Numbers and names of its keyspaces.
    pub(crate) fn parts(&self) -> Vec<(u32, String)> {
        let keyspaces = self.keyspaces();
        let parts = [
            (keyspaces.current, "current"),
            (keyspaces.versions, "versions"),
            (keyspaces.blobs, "blobs"),
            (keyspaces.counts, "counts"),
        ];
        parts.map(|(keyspace, part)| (keyspace.number(), keyspace_name(self.name(), part))).to_vec()
    }

    /// Makes all rows agree with the versions that there are. What is no version goes, and is told.
    pub(crate) fn repair(&self, db: &Database, losses: &mut Losses<'_>) -> Result<()> {
        let before = db.snapshot();
        let keyspaces = *self.keyspaces();
        let mut writer = Writer::new(db);
        self.tell_lost(db, &before, losses)?;
        for keyspace in [keyspaces.current, keyspaces.blobs, keyspaces.counts] {
            writer.clear(keyspace)?;
        }
        writer.finish()?;
        let mut stats = BucketStats::default();
        let mut newest: Option<Version> = None;
        for row in before.range(keyspaces.versions, ALL)? {
            let (key, row) = row?;
            let version = match self.decode_version(&key, &row) {
                Ok((version, _)) => version,
                Err(error) => {
                    writer.delete(keyspaces.versions, &key)?;
                    self.lose(losses, key.escape_ascii().to_string(), &error.to_string());
                    continue;
                }
            };
            if let Some(stored) = &version.stored {
                stats.versions += 1;
                stats.bytes = stats.bytes.wrapping_add(stored.size);
                if let Some(number) = stored.blob {
                    writer.put(keyspaces.blobs, &blob_key(number, version.id, version.version), &[])?;
                }
            }
            match newest.replace(version) {
                Some(last) if newest.as_ref().is_some_and(|next| next.id != last.id) => {
                    self.write_current(db, &before, last, &mut stats, &mut writer)?;
                }
                _ => {}
            }
        }
        if let Some(last) = newest {
            self.write_current(db, &before, last, &mut stats, &mut writer)?;
        }
        let counts =
            [(COUNT_OBJECTS, stats.objects), (COUNT_VERSIONS, stats.versions), (COUNT_BYTES, stats.bytes)];
        for (name, count) in counts {
            writer.count(keyspaces.counts, name, count)?;
        }
        writer.finish()
    }

    fn lose(&self, losses: &mut Losses<'_>, name: String, reason: &str) {
        losses.lose(&format!("bucket {:?}", self.name()), name, reason);
    }

    /// Writes the present row of a key whose newest version this is.
    fn write_current(
        &self,
        db: &Database,
        before: &Snapshot,
        version: Version,
        stats: &mut BucketStats,
        writer: &mut Writer<'_>,
    ) -> Result<()> {
        let key = db.transact(|tx| dictionary::restore(tx, version.id))?;
        let known = self.current(before, &key).ok().flatten().filter(|known| known.version.id == version.id);
        // The number of a version that is lost is not given again.
        let latest = known.map_or(0, |known| known.latest).max(version.version);
        stats.objects += u64::from(version.stored.is_some());
        writer.put(self.keyspaces().current, key.as_bytes(), &Current { latest, version }.encode())
    }

    /// Tells of versions that other rows name, and that are not there; and gives keys their ids back that only the
    /// bucket still knows.
    fn tell_lost(&self, db: &Database, before: &Snapshot, losses: &mut Losses<'_>) -> Result<()> {
        let keyspaces = *self.keyspaces();
        for row in before.range(keyspaces.current, ALL)? {
            let (key, row) = row?;
            let (Ok(name), Ok(current)) = (std::str::from_utf8(&key), Current::decode(&row)) else {
                continue;
            };
            let Version { id, version, .. } = current.version;
            db.transact(|tx| dictionary::restore_as(tx, id, name))?;
            let place = version_key(id, version);
            if losses.may_have_lost(keyspaces.versions, &place)
                && before.get(keyspaces.versions, &place)?.is_none()
            {
                self.lose(losses, format!("version {version} of {name:?}"), "its row is not there");
            }
        }
        for row in before.range(keyspaces.blobs, ALL)? {
            let (key, _) = row?;
            let Some((id, version)) = key.get(8..).and_then(decode_place) else { continue };
            let name = dictionary::key(before, id)?.unwrap_or_else(|| format!("id {id}"));
            let told =
                self.current(before, &name).ok().flatten().is_some_and(|it| it.version.version == version);
            if !told
                && losses.may_have_lost(keyspaces.versions, &version_key(id, version))
                && before.get(keyspaces.versions, &version_key(id, version))?.is_none()
            {
                self.lose(losses, format!("version {version} of {name:?}"), "its row is not there");
            }
        }
        Ok(())
    }
}

/// The id and version in a key.
fn decode_place(key: &[u8]) -> Option<(u32, u64)> {
    let (id, version) = key.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*id), u64::from_be_bytes(version.try_into().ok()?)))
}
