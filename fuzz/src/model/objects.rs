//! Objects with versions, in rows and in files.

use std::collections::{BTreeMap, BTreeSet};

use logwood::{
    Bucket, BucketOptions, ListOptions, ObjectInfo, PutOptions, Result, Snapshot, Transaction, View,
};

use super::part::{Answer, Part, When, answer};
use super::{KEYS, PROBE, key, number};
use crate::draws::Draws;
use crate::rng::Rng;

/// How many versions with contents each object keeps.
pub const VERSIONS_MAX: u32 = 2;
/// Contents up to this size lie in a row, longer ones in a file.
const INLINE_BYTES_MAX: usize = 4096;
/// In a row; in a file; now and then in a file of two chunks.
const SIZES: [usize; 8] = [0, 300, 300, 2_000, 5_000, 5_000, 9_000, 66_000];

pub(super) fn options() -> BucketOptions {
    BucketOptions::default().versions_max(VERSIONS_MAX)
}

/// Contents, by what they are made from. No two puts have the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contents {
    n: u64,
    len: usize,
}

impl Contents {
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = self.n.to_be_bytes().to_vec();
        bytes.extend(Rng::new(self.n).bytes(self.len));
        bytes
    }

    /// What the bytes are made from; no step may have written them.
    fn of(bytes: &[u8]) -> Self {
        let found = bytes
            .split_first_chunk()
            .map(|(n, filler)| Self { n: u64::from_be_bytes(*n), len: filler.len() });
        let alien = Self { n: u64::MAX, len: bytes.len() };
        found.filter(|contents| contents.bytes() == bytes).unwrap_or(alien)
    }

    pub(crate) fn draw(draws: &mut Draws, n: u64) -> Self {
        Self { n, len: draws.pick(SIZES) }
    }

    fn size(self) -> usize {
        self.len + size_of::<u64>()
    }
}

/// A version: when it was made, and what it has, unless it marks a deletion.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Version {
    made: When,
    stored: Option<Stored>,
}

/// Contents and what is said of them.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stored {
    contents: Contents,
    media: u64,
}

/// The versions of an object. There is one with contents, or there is no object.
#[derive(Debug, Clone, Default, PartialEq)]
struct Object(BTreeMap<u64, Version>);

impl Object {
    fn current(&self) -> Option<(u64, Version)> {
        self.0.last_key_value().map(|(number, version)| (*number, *version))
    }

    fn live(&self) -> Option<(u64, Stored)> {
        let (number, version) = self.current()?;
        Some((number, version.stored?))
    }

    fn newest_stored(&self) -> Option<Stored> {
        self.0.values().rev().find_map(|version| version.stored)
    }
}

/// Objects, and the greatest version that each ever had.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    objects: BTreeMap<u64, Object>,
    /// Cannot be asked of the database: a later version's number tells.
    latest: BTreeMap<u64, u64>,
}

impl PartialEq for Objects {
    fn eq(&self, other: &Self) -> bool {
        self.objects == other.objects
    }
}

/// Something to ask of the objects.
#[derive(Debug, Clone)]
pub enum Read {
    /// An object, with its contents.
    Get(u64),
    /// All versions, without contents.
    Versions(u64),
    /// All objects, without contents.
    List,
    /// How much there is.
    Stats,
}

/// Something to change.
#[derive(Debug, Clone)]
pub enum Write {
    /// Stores contents, perhaps only over one version.
    Put { key: u64, contents: Contents, media: u64, expected: Option<u64> },
    /// Says something else of the contents.
    Describe { key: u64, media: u64 },
    /// Copies an object.
    Copy { from: u64, to: u64 },
    /// Deletes an object by a version that says so, perhaps only at one version.
    Delete { key: u64, expected: Option<u64> },
    /// Makes an older version the newest.
    Restore { key: u64, version: Option<u64> },
    /// Removes a version for good.
    PurgeVersion { key: u64, version: u64 },
    /// Removes an object for good.
    Purge(u64),
}

fn media(n: u64) -> String {
    format!("media/{n}")
}

fn put_options(n: u64) -> PutOptions {
    PutOptions::default().content_type(media(n)).metadata("n", n.to_string())
}

/// What is told of a version, without contents.
fn say(version: u64, made: When, stored: Option<(usize, &str)>) -> String {
    format!("version {version} made {made}: {stored:?}\n")
}

fn say_info(info: &ObjectInfo) -> String {
    let stored = (!info.deleted).then_some((info.size as usize, info.content_type.as_str()));
    say(info.version, info.created_micros, stored)
}

fn say_version(number: u64, version: &Version) -> String {
    let media = version.stored.map(|stored| media(stored.media)).unwrap_or_default();
    say(number, version.made, version.stored.map(|stored| (stored.contents.size(), media.as_str())))
}

impl Objects {
    /// How many files the contents take.
    pub(super) fn blobs(&self) -> usize {
        let stored = self.objects.values().flat_map(|object| object.0.values().filter_map(|it| it.stored));
        let contents: BTreeSet<Contents> = stored.map(|stored| stored.contents).collect();
        contents.iter().filter(|contents| contents.size() > INLINE_BYTES_MAX).count()
    }

    fn add(&mut self, at: u64, made: When, stored: Option<Stored>) -> String {
        let latest = self.latest.entry(at).or_default();
        *latest += 1;
        let version = Version { made, stored };
        let object = self.objects.entry(at).or_default();
        object.0.insert(*latest, version);
        let stored: Vec<u64> = object
            .0
            .iter()
            .filter(|(_, version)| version.stored.is_some())
            .map(|(number, _)| *number)
            .collect();
        if let Some(surplus) = stored.len().checked_sub(VERSIONS_MAX as usize) {
            object.0 = object.0.split_off(&stored[surplus]);
        }
        say_version(*latest, &version)
    }

    fn live(&self, at: u64) -> Option<(u64, Stored)> {
        self.objects.get(&at)?.live()
    }

    /// Refuses unless the object is at the expected version; 0: is not there.
    fn admit(&self, at: u64, expected: Option<u64>) -> std::result::Result<(), Answer> {
        let found = self.live(at).map_or(0, |(number, _)| number);
        match expected {
            Some(expected) if expected != found => Err(Answer::Refused("it has another version")),
            _ => Ok(()),
        }
    }

    fn restore(&mut self, at: u64, version: Option<u64>, when: When) -> Answer {
        let object = self.objects.get(&at);
        if version.is_none()
            && let Some((number, version)) = object.and_then(Object::current)
            && version.stored.is_some()
        {
            return Answer::Said(say_version(number, &version));
        }
        let found = match version {
            Some(version) => object.and_then(|object| object.0.get(&version)?.stored),
            None => object.and_then(Object::newest_stored),
        };
        match found {
            Some(stored) => Answer::Said(self.add(at, when, Some(stored))),
            None => Answer::Refused("there is none"),
        }
    }

    fn purge_version(&mut self, at: u64, version: u64) -> bool {
        let Some(object) = self.objects.get_mut(&at) else { return false };
        let purged = object.0.remove(&version).is_some();
        if object.newest_stored().is_none() {
            self.purge(at);
        }
        purged
    }

    fn purge(&mut self, at: u64) -> bool {
        self.latest.remove(&at);
        self.objects.remove(&at).is_some()
    }
}

impl Part for Objects {
    type Handle = Bucket;
    type Read = Read;
    type Write = Write;

    fn scan(bucket: &Bucket, view: &Snapshot) -> Result<Self> {
        let mut part = Self::default();
        for info in bucket.list(view, &ListOptions::default().deleted())?.objects {
            let n = number(&info.key);
            let mut object = Object::default();
            for info in bucket.versions(view, &info.key)? {
                let stored = match bucket.get_version(view, &info.key, info.version)? {
                    None => None,
                    Some(found) => {
                        found.verify()?;
                        let media = (info.content_type.strip_prefix("media/"))
                            .and_then(|n| n.parse().ok())
                            .filter(|n: &u64| info.metadata.get("n") == Some(&n.to_string()));
                        Some(Stored {
                            contents: Contents::of(&found.bytes()?),
                            media: media.unwrap_or(u64::MAX),
                        })
                    }
                };
                object.0.insert(info.version, Version { made: info.created_micros, stored });
            }
            part.objects.insert(n, object);
        }
        Ok(part)
    }

    fn reads() -> Vec<Read> {
        let of = |n| [Read::Get(n), Read::Versions(n)];
        (0..=PROBE).flat_map(of).chain([Read::List, Read::Stats]).collect()
    }

    fn verify(&self, _: &Bucket, _: &Snapshot) -> Result<bool> {
        Ok(true)
    }

    fn ask<V: View>(bucket: &Bucket, view: &V, read: &Read) -> Result<Answer> {
        match read {
            Read::Get(n) => match bucket.get(view, &key(*n))? {
                None => Ok(Answer::said(None::<()>)),
                Some(found) => {
                    Ok(Answer::said(Some((say_info(found.info()), Contents::of(&found.bytes()?)))))
                }
            },
            Read::Versions(n) => {
                let versions = bucket.versions(view, &key(*n))?;
                Ok(Answer::Said(versions.iter().map(say_info).collect()))
            }
            Read::List => {
                let listed = bucket.list(view, &ListOptions::default())?;
                let line = |info: &ObjectInfo| format!("{} {}", info.key, say_info(info));
                Ok(Answer::Said(listed.objects.iter().map(line).collect()))
            }
            Read::Stats => {
                let stats = bucket.stats(view)?;
                Ok(Answer::said((stats.objects, stats.versions, stats.bytes)))
            }
        }
    }

    fn answer(&self, read: &Read) -> Answer {
        match read {
            Read::Get(n) => {
                let current = self.objects.get(n).and_then(Object::current);
                let found = current.and_then(|(number, version)| {
                    Some((say_version(number, &version), version.stored?.contents))
                });
                found.map_or_else(|| Answer::said(None::<()>), |found| Answer::said(Some(found)))
            }
            Read::Versions(n) => {
                let versions = self.objects.get(n).into_iter().flat_map(|object| object.0.iter().rev());
                Answer::Said(versions.map(|(number, version)| say_version(*number, version)).collect())
            }
            Read::List => {
                let current = self.objects.iter().filter_map(|(n, object)| Some((n, object.current()?)));
                let live = current.filter(|(_, (_, version))| version.stored.is_some());
                Answer::Said(
                    live.map(|(n, (number, version))| {
                        format!("{} {}", key(*n), say_version(number, &version))
                    })
                    .collect(),
                )
            }
            Read::Stats => {
                let objects = self.objects.values().filter(|object| object.live().is_some()).count();
                let stored =
                    self.objects.values().flat_map(|object| object.0.values().filter_map(|it| it.stored));
                let sizes: Vec<usize> = stored.map(|stored| stored.contents.size()).collect();
                Answer::said((objects, sizes.len(), sizes.iter().sum::<usize>()))
            }
        }
    }

    fn write(bucket: &Bucket, tx: &mut Transaction, write: &Write) -> Result<Answer> {
        let said = |result: Result<ObjectInfo>| match result {
            Ok(info) => Ok(Answer::Said(say_info(&info))),
            Err(error) => answer(Err::<(), _>(error)),
        };
        match write {
            Write::Put { key: n, contents, media, expected } => {
                let mut options = put_options(*media);
                options.expected_version = *expected;
                said(bucket.put_bytes(tx, &key(*n), &contents.bytes(), options))
            }
            Write::Describe { key: n, media } => {
                said(bucket.update_metadata(tx, &key(*n), put_options(*media)))
            }
            Write::Copy { from, to } => said(bucket.copy(tx, &key(*from), bucket, &key(*to))),
            Write::Delete { key: n, expected } => answer(bucket.delete(tx, &key(*n), *expected)),
            Write::Restore { key: n, version } => said(bucket.restore(tx, &key(*n), *version)),
            Write::PurgeVersion { key: n, version } => answer(bucket.purge_version(tx, &key(*n), *version)),
            Write::Purge(n) => answer(bucket.purge(tx, &key(*n))),
        }
    }

    fn apply(&mut self, write: &Write, when: When) -> Answer {
        match *write {
            Write::Put { key, contents, media, expected } => match self.admit(key, expected) {
                Ok(()) => Answer::Said(self.add(key, when, Some(Stored { contents, media }))),
                Err(refused) => refused,
            },
            Write::Describe { key, media } => match self.live(key) {
                Some((_, stored)) => Answer::Said(self.add(key, when, Some(Stored { media, ..stored }))),
                None => Answer::Refused("there is none"),
            },
            Write::Copy { from, to } => match self.live(from) {
                Some((_, stored)) => Answer::Said(self.add(to, when, Some(stored))),
                None => Answer::Refused("there is none"),
            },
            Write::Delete { key, expected } => {
                if let Err(refused) = self.admit(key, expected) {
                    return refused;
                }
                let was_there = self.live(key).is_some();
                if was_there {
                    self.add(key, when, None);
                }
                Answer::said(was_there)
            }
            Write::Restore { key, version } => self.restore(key, version, when),
            Write::PurgeVersion { key, version } => Answer::said(self.purge_version(key, version)),
            Write::Purge(key) => Answer::said(self.purge(key)),
        }
    }

    fn draw_read(draws: &mut Draws) -> Read {
        match draws.below(5) {
            0 => Read::List,
            1 => Read::Stats,
            2 => Read::Versions(draws.below(KEYS)),
            _ => Read::Get(draws.below(KEYS)),
        }
    }

    fn draw_write(draws: &mut Draws, n: u64) -> Write {
        let key = draws.below(KEYS);
        let version = 1 + draws.below(3);
        let perhaps = draws.chance(1, 3).then_some(version);
        match draws.below(12) {
            0..=4 => {
                let expected = perhaps.filter(|_| draws.chance(1, 2)).map(|version| version - 1);
                Write::Put { key, contents: Contents::draw(draws, n), media: n % 3, expected }
            }
            5 => Write::Describe { key, media: n % 3 },
            6 => Write::Copy { from: key, to: draws.below(KEYS) },
            7 | 8 => Write::Delete { key, expected: perhaps },
            9 => Write::Restore { key, version: perhaps },
            10 => Write::PurgeVersion { key, version },
            _ => Write::Purge(key),
        }
    }

    fn probe(n: u64) -> Write {
        let contents = Contents { n, len: if n.is_multiple_of(2) { 100 } else { 4_500 } };
        Write::Put { key: PROBE, contents, media: 0, expected: None }
    }
}
