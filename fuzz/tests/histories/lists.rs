//! Lists in three of the models: as rows with a counter beside, as arrays in documents, as relations.

use logwood::{
    Collection, Database, Direction, Filter, Graph, Keyspace, Options, Patch, Query, Relation, Result,
    Schema, Transaction, View,
};
use logwood_fuzz::history::Attempt;
use serde_json::{Value, json};

/// Elements that a list of relations has room for.
const PLACES: usize = 96;

/// Everything small, so that memtables are frozen, flushed and merged all the time.
pub(crate) fn options() -> Options {
    Options::new()
        .memtable_bytes(64 << 10)
        .segment_bytes(64 << 10)
        .log_file_bytes(256 << 10)
        .sync_interval_ms(5)
}

/// Where the lists lie. A key is `r/`, `d/` or `g/`, an era, `/`, and a number.
pub(crate) struct Lists {
    rows: Keyspace,
    counts: Keyspace,
    documents: Collection,
    graph: Graph,
}

/// A key of an era.
pub(crate) fn key(model: char, era: u64, number: u64) -> String {
    format!("{model}/{era:06}/{number}")
}

impl Lists {
    pub(crate) fn ensure(db: &Database) -> Result<Self> {
        let (rows, counts) = (db.keyspace("rows")?, db.keyspace("counts")?);
        let (documents, graph) = db.transact(|tx| {
            let documents = Collection::ensure(tx, "lists", Schema::new().index("era", ["era"]))?;
            let graph = Graph::ensure(tx, "graph", Schema::new())?;
            if graph.id(tx, "place 00")?.is_none() {
                for place in 0..PLACES {
                    graph.insert_entity(tx, &format!("place {place:02}"), &json!({}))?;
                }
            }
            Ok((documents, graph))
        })?;
        Ok(Self { rows, counts, documents, graph })
    }

    pub(crate) fn get(&self, view: &impl View, key: &str) -> Result<Vec<u64>> {
        match key.as_bytes()[0] {
            b'r' => Ok(view.get(self.rows, key.as_bytes())?.map_or(Vec::new(), |row| decode(&row))),
            b'd' => Ok(self.documents.get(view, key)?.map_or(Vec::new(), |found| array(&found.to_json()))),
            _ => self.places(view, key),
        }
    }

    fn places(&self, view: &impl View, key: &str) -> Result<Vec<u64>> {
        if self.graph.id(view, key)?.is_none() {
            return Ok(Vec::new());
        }
        let relations = self.graph.relations(view, key, Direction::Out, None)?;
        relations.map(|relation| Ok(relation?.properties["element"].as_u64().unwrap())).collect()
    }

    pub(crate) fn read(&self, view: &impl View, key: &str, attempt: &mut Attempt) -> Result<Vec<u64>> {
        let list = self.get(view, key)?;
        attempt.read(key, &list);
        Ok(list)
    }

    /// The number of elements in a row's list, by its counter.
    pub(crate) fn counter(&self, view: &impl View, key: &str) -> Result<usize> {
        let row = view.get(self.counts, key.as_bytes())?;
        Ok(row.map_or(0, |row| i64::from_le_bytes(row[..].try_into().unwrap()) as usize))
    }

    /// Reads and extends a list; false if it is full.
    pub(crate) fn append(
        &self,
        tx: &mut Transaction,
        key: &str,
        element: u64,
        attempt: &mut Attempt,
    ) -> Result<bool> {
        let mut list = self.read(tx, key, attempt)?;
        list.push(element);
        match key.as_bytes()[0] {
            b'r' => {
                tx.put(self.rows, key.as_bytes(), &encode(&list))?;
                tx.add(self.counts, key.as_bytes(), 1)?;
            }
            b'd' if list.len() == 1 => {
                self.documents.insert(tx, key, &json!({"era": era(key), "list": list}))?;
            }
            b'd' => {
                self.documents.update(tx, key, &Patch::merge(&json!({"list": list}))?, None)?;
            }
            _ if list.len() > PLACES => return Ok(false),
            _ => {
                if list.len() == 1 {
                    self.graph.insert_entity(tx, key, &json!({}))?;
                }
                let place = format!("place {:02}", list.len() - 1);
                let relation = Relation::new(key, "holds", place).with_property("element", element);
                self.graph.insert_relation(tx, &relation)?;
            }
        }
        attempt.append(key, element);
        Ok(true)
    }

    /// The rows, or documents, of an era: by their keys, or by an index.
    pub(crate) fn of_era(&self, view: &impl View, model: char, era: u64) -> Result<Vec<(Vec<u8>, Vec<u64>)>> {
        if model == 'r' {
            let rows = view.prefix(self.rows, format!("r/{era:06}/").as_bytes())?;
            return rows.map(|row| row.map(|(key, list)| (key.to_vec(), decode(&list)))).collect();
        }
        let query = Query::new(Filter::parse(&json!({"era": era}))?);
        let found = self.documents.find(view, &query)?;
        let mut lists: Vec<_> = found
            .map(|found| found.map(|found| (found.id().as_bytes().to_vec(), array(&found.to_json()))))
            .collect::<Result<_>>()?;
        lists.sort();
        Ok(lists)
    }

    /// Every list there is.
    pub(crate) fn all(&self, view: &impl View) -> Result<Vec<(Vec<u8>, Vec<u64>)>> {
        let mut lists = Vec::new();
        for row in view.prefix(self.rows, b"")? {
            let (key, list) = row?;
            lists.push((key.to_vec(), decode(&list)));
        }
        for found in self.documents.scan(view)? {
            let found = found?;
            lists.push((found.id().as_bytes().to_vec(), array(&found.to_json())));
        }
        for found in self.graph.entities().scan(view)? {
            let key = found?.id().to_owned();
            if key.starts_with("g/") {
                let list = self.places(view, &key)?;
                lists.push((key.into_bytes(), list));
            }
        }
        Ok(lists)
    }
}

fn era(key: &str) -> u64 {
    key[2..8].parse().unwrap()
}

fn array(document: &Value) -> Vec<u64> {
    document["list"].as_array().unwrap().iter().map(|element| element.as_u64().unwrap()).collect()
}

pub(crate) fn decode(row: &[u8]) -> Vec<u64> {
    row.chunks_exact(8).map(|element| u64::from_le_bytes(element.try_into().unwrap())).collect()
}

pub(crate) fn encode(list: &[u64]) -> Vec<u8> {
    list.iter().flat_map(|element| element.to_le_bytes()).collect()
}
