//! Documents with an index of two fields, one of an array, and a unique one.

use std::collections::BTreeMap;

use logwood::{Collection, Filter, Patch, Query, Result, Schema, Snapshot, Transaction, View};
use serde_json::{Value, json};

use super::part::{Answer, Part, When, answer};
use super::{KEYS, PROBE, key, number};
use crate::draws::Draws;

const GROUPS: u64 = 3;
const TAGS: u64 = 2;
const CODES: u64 = 4;

pub(super) fn schema() -> Schema {
    Schema::new().index("by_group", ["group", "n"]).index("by_tag", ["tags"]).unique("by_code", ["code"])
}

/// A document, by what it is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    n: u64,
    group: u64,
    tag: u64,
    /// No two documents have the same.
    code: Option<u64>,
    text_len: usize,
    merged: Option<u64>,
}

impl Fields {
    fn json(self) -> Value {
        let tags = [format!("tag {}", self.tag), format!("n {}", self.n)];
        let text = "x".repeat(self.text_len);
        let mut json = json!({"n": self.n, "group": self.group, "tags": tags, "text": text});
        if let Some(code) = self.code {
            json["code"] = code.into();
        }
        if let Some(merged) = self.merged {
            json["merged"] = merged.into();
        }
        json
    }

    /// What the document is made from; no step may have written it.
    fn of(json: &Value) -> Option<Self> {
        let fields = Self {
            n: json["n"].as_u64()?,
            group: json["group"].as_u64()?,
            tag: json["tags"][0].as_str()?.strip_prefix("tag ")?.parse().ok()?,
            code: json["code"].as_u64(),
            text_len: json["text"].as_str()?.len(),
            merged: json["merged"].as_u64(),
        };
        (fields.json() == *json).then_some(fields)
    }

    fn draw(draws: &mut Draws, n: u64) -> Self {
        Self {
            n,
            group: draws.below(GROUPS),
            tag: draws.below(TAGS),
            code: draws.chance(1, 2).then(|| draws.below(CODES)),
            text_len: draws.pick([0, 30, 300, 2000]),
            merged: None,
        }
    }
}

/// A document and its version.
type Stored = (u64, Fields);

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Documents(BTreeMap<u64, Stored>);

/// Something to ask of the documents.
#[derive(Debug, Clone)]
pub enum Read {
    /// A document.
    Get(u64),
    /// The documents of a group, by an index of two fields.
    Group(u64),
    /// The documents with a tag, by an index of an array.
    Tag(u64),
    /// The document with a code, by a unique index.
    Code(u64),
    /// All documents, by no index.
    All,
    /// How many there are.
    Count,
}

/// Something to change.
#[derive(Debug, Clone)]
pub enum Write {
    /// Stores a new document.
    Insert(u64, Fields),
    /// Stores a document.
    Upsert(u64, Fields),
    /// Merges a field into a document, perhaps only into one version.
    Merge { key: u64, merged: u64, expected: Option<u64> },
    /// Changes all documents of a group.
    MergeGroup { group: u64, merged: u64 },
    /// Removes a document, perhaps only at one version.
    Delete { key: u64, expected: Option<u64> },
    /// Removes all documents with a tag.
    DeleteTag(u64),
}

fn group(group: u64) -> Value {
    json!({"group": group, "n": {"$gte": 0}})
}

fn tag(tag: u64) -> Value {
    json!({"tags": format!("tag {tag}")})
}

fn merge(merged: u64) -> Result<Patch> {
    Patch::merge(&json!({"merged": merged}))
}

/// The documents of a query, sorted, as they are said.
fn say(documents: &Collection, view: &impl View, query: &Query) -> Result<Answer> {
    let mut lines = Vec::new();
    for found in documents.find(view, query)? {
        let found = found?;
        lines.push(line(found.id(), found.version(), &found.document().to_json()));
    }
    lines.sort();
    Ok(Answer::Said(lines.concat()))
}

fn line(id: &str, version: u64, json: &Value) -> String {
    match Fields::of(json) {
        Some(fields) => format!("{id} {version} {fields:?}\n"),
        None => format!("{id} {version} {json}\n"),
    }
}

impl Documents {
    fn say(&self, wanted: impl Fn(&Fields) -> bool) -> Answer {
        let found = self.0.iter().filter(|(_, (_, fields))| wanted(fields));
        Answer::Said(
            found.map(|(n, (version, fields))| format!("{} {version} {fields:?}\n", key(*n))).collect(),
        )
    }

    fn code_is_taken(&self, by: u64, fields: &Fields) -> bool {
        let same = |(n, (_, other)): (&u64, &Stored)| *n != by && other.code == fields.code;
        fields.code.is_some() && self.0.iter().any(same)
    }

    /// Stores a document; says whether it is new.
    fn put(&mut self, n: u64, fields: Fields) -> std::result::Result<bool, Answer> {
        if self.code_is_taken(n, &fields) {
            return Err(Answer::Refused("another has the value"));
        }
        let is_new = !self.0.contains_key(&n);
        let (version, stored) = self.0.entry(n).or_insert((0, fields));
        if is_new || *stored != fields {
            *version += 1;
        }
        *stored = fields;
        Ok(is_new)
    }

    fn merge(&mut self, n: u64, merged: u64, expected: Option<u64>) -> Answer {
        let Some((version, fields)) = self.0.get_mut(&n) else { return Answer::Refused("there is none") };
        if expected.is_some_and(|expected| expected != *version) {
            return Answer::Refused("it has another version");
        }
        if fields.merged != Some(merged) {
            *version += 1;
            fields.merged = Some(merged);
        }
        Answer::said(*version)
    }

    fn delete(&mut self, n: u64, expected: Option<u64>) -> Answer {
        match (self.0.get(&n), expected) {
            (None, Some(_)) => Answer::Refused("there is none"),
            (Some((version, _)), Some(expected)) if *version != expected => {
                Answer::Refused("it has another version")
            }
            _ => Answer::said(self.0.remove(&n).is_some()),
        }
    }

    fn keys(&self, wanted: impl Fn(&Fields) -> bool) -> Vec<u64> {
        self.0.iter().filter(|(_, (_, fields))| wanted(fields)).map(|(n, _)| *n).collect()
    }
}

impl Part for Documents {
    type Handle = Collection;
    type Read = Read;
    type Write = Write;

    fn scan(documents: &Collection, view: &Snapshot) -> Result<Self> {
        let mut part = Self::default();
        for found in documents.scan(view)? {
            let found = found?;
            let n = number(found.id());
            // No state has what no step wrote.
            let alien = Fields { n: u64::MAX, group: 0, tag: 0, code: None, text_len: 0, merged: None };
            let fields = Fields::of(&found.document().to_json()).unwrap_or(alien);
            part.0.insert(n, (found.version(), fields));
        }
        Ok(part)
    }

    fn reads() -> Vec<Read> {
        let gets = (0..=PROBE).map(Read::Get);
        let groups = (0..GROUPS).map(Read::Group);
        let tags = (0..TAGS).map(Read::Tag);
        let codes = (0..CODES).map(Read::Code);
        gets.chain(groups).chain(tags).chain(codes).chain([Read::Count]).collect()
    }

    fn verify(&self, documents: &Collection, view: &Snapshot) -> Result<bool> {
        Ok(documents.verify(view)? == self.0.len() as u64)
    }

    fn ask<V: View>(documents: &Collection, view: &V, read: &Read) -> Result<Answer> {
        match read {
            Read::Get(n) => {
                let found = documents.get(view, &key(*n))?;
                let said = found.map(|found| line(found.id(), found.version(), &found.document().to_json()));
                Ok(Answer::Said(said.unwrap_or_default()))
            }
            Read::Group(number) => say(documents, view, &Query::new(Filter::parse(&group(*number))?)),
            Read::Tag(number) => say(documents, view, &Query::new(Filter::parse(&tag(*number))?)),
            Read::Code(code) => say(documents, view, &Query::new(Filter::parse(&json!({"code": code}))?)),
            Read::All => say(documents, view, &Query::all()),
            Read::Count => answer(documents.count(view)),
        }
    }

    fn answer(&self, read: &Read) -> Answer {
        match *read {
            Read::Get(n) => {
                let found = self.0.get(&n);
                let said = found.map(|(version, fields)| format!("{} {version} {fields:?}\n", key(n)));
                Answer::Said(said.unwrap_or_default())
            }
            Read::Group(group) => self.say(|fields| fields.group == group),
            Read::Tag(tag) => self.say(|fields| fields.tag == tag),
            Read::Code(code) => self.say(|fields| fields.code == Some(code)),
            Read::All => self.say(|_| true),
            Read::Count => Answer::said(self.0.len()),
        }
    }

    fn write(documents: &Collection, tx: &mut Transaction, write: &Write) -> Result<Answer> {
        match write {
            Write::Insert(n, fields) => answer(documents.insert(tx, &key(*n), &fields.json()).map(drop)),
            Write::Upsert(n, fields) => answer(documents.upsert(tx, &key(*n), &fields.json())),
            Write::Merge { key: n, merged, expected } => {
                answer(documents.update(tx, &key(*n), &merge(*merged)?, *expected))
            }
            Write::MergeGroup { group: number, merged } => {
                answer(documents.update_where(tx, &Filter::parse(&group(*number))?, &merge(*merged)?))
            }
            Write::Delete { key: n, expected } => answer(documents.delete(tx, &key(*n), *expected)),
            Write::DeleteTag(number) => answer(documents.delete_where(tx, &Filter::parse(&tag(*number))?)),
        }
    }

    fn apply(&mut self, write: &Write, _: When) -> Answer {
        match *write {
            Write::Insert(n, _) if self.0.contains_key(&n) => Answer::Refused("it exists"),
            Write::Insert(n, fields) => {
                self.put(n, fields).map_or_else(|refused| refused, |_| Answer::said(()))
            }
            Write::Upsert(n, fields) => self.put(n, fields).map_or_else(|refused| refused, Answer::said),
            Write::Merge { key, merged, expected } => self.merge(key, merged, expected),
            Write::MergeGroup { group, merged } => {
                let keys = self.keys(|fields| fields.group == group);
                keys.iter().for_each(|n| drop(self.merge(*n, merged, None)));
                Answer::said(keys.len())
            }
            Write::Delete { key, expected } => self.delete(key, expected),
            Write::DeleteTag(tag) => {
                let keys = self.keys(|fields| fields.tag == tag);
                self.0.retain(|n, _| !keys.contains(n));
                Answer::said(keys.len())
            }
        }
    }

    fn draw_read(draws: &mut Draws) -> Read {
        match draws.below(8) {
            0 => Read::Group(draws.below(GROUPS)),
            1 => Read::Tag(draws.below(TAGS)),
            2 => Read::Code(draws.below(CODES)),
            3 => Read::All,
            4 => Read::Count,
            _ => Read::Get(draws.below(KEYS)),
        }
    }

    fn draw_write(draws: &mut Draws, n: u64) -> Write {
        let key = draws.below(KEYS);
        let expected = |draws: &mut Draws| draws.chance(1, 4).then(|| 1 + draws.below(3));
        match draws.below(12) {
            0..=2 => Write::Insert(key, Fields::draw(draws, n)),
            3..=6 => Write::Upsert(key, Fields::draw(draws, n)),
            7 | 8 => Write::Merge { key, merged: n, expected: expected(draws) },
            9 => Write::MergeGroup { group: draws.below(GROUPS), merged: n },
            10 => Write::Delete { key, expected: expected(draws) },
            _ => Write::DeleteTag(draws.below(TAGS)),
        }
    }

    fn probe(n: u64) -> Write {
        let fields = Fields { n, group: 0, tag: 0, code: None, text_len: 10, merged: None };
        Write::Upsert(PROBE, fields)
    }
}
