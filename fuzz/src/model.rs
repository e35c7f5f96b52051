//! What a database should hold, kept in plain maps.
//!
//! A [`State`] has a part for each model: rows of a keyspace and a counter, documents with indexes, entities with
//! relations, vectors, objects with versions. A [`Step`] is told to a transaction and to a state, and both must give
//! the same [`Answer`]. [`State::read`] reads a whole database back, and in doing so takes every way there is to the same
//! data: what a scan finds must be found by key, by each index, from either end of a relation, by listing, and be as
//! much as was counted.

mod documents;
mod graph;
mod objects;
mod part;
mod rows;
mod vectors;

use logwood::{Batch, Collection, Database, Error, Graph, Result, Snapshot, Transaction, Vectors, View};

use crate::draws::Draws;
use crate::violation::Violation;
use documents::Documents;
use graph::Relations;
use objects::Objects;
pub use objects::VERSIONS_MAX;
use part::Part;
pub use part::{Answer, When};
use rows::Rows;
use vectors::Points;

/// How many keys are drawn in each model; all models use the same.
pub const KEYS: u64 = 6;
/// A key that is never drawn, so that whatever is written to it does not depend on what was there: see [`Step::probe`].
const PROBE: u64 = KEYS;

fn key(n: u64) -> String {
    format!("key {n}")
}

/// The number of a key; one that no step writes has none of the others'.
fn number(name: &str) -> u64 {
    let n = name.strip_prefix("key ").and_then(|digits| digits.parse().ok());
    n.filter(|n| *n <= PROBE && key(*n) == name).unwrap_or(u64::MAX)
}

/// The handles of everything that the steps write to.
#[derive(Debug, Clone)]
pub struct Handles {
    rows: rows::Handle,
    documents: Collection,
    graph: Graph,
    vectors: Vectors,
    bucket: logwood::Bucket,
}

impl Handles {
    /// Declares what is not declared yet, all of it in one transaction but the keyspaces.
    ///
    /// # Errors
    /// Those of the database.
    pub fn ensure(db: &Database) -> Result<Self> {
        let rows = rows::Handle::ensure(db)?;
        db.transact(|tx| {
            Ok(Self {
                rows: rows.clone(),
                documents: Collection::ensure(tx, "documents", documents::schema())?,
                graph: Graph::ensure(tx, "graph", logwood::Schema::new())?,
                vectors: Vectors::ensure(tx, "vectors", vectors::schema())?,
                bucket: logwood::Bucket::ensure(tx, "bucket", objects::options())?,
            })
        })
    }

    /// The handles, if everything is declared; none if nothing is.
    ///
    /// # Errors
    /// Those of the database; a [`Violation`] if some of it is declared.
    pub fn find(db: &Database, view: &Snapshot) -> std::result::Result<Option<Self>, Violation> {
        let documents = found(Collection::open(view, "documents"))?;
        let graph = found(Graph::open(view, "graph"))?;
        let vectors = found(Vectors::open(view, "vectors"))?;
        let bucket = found(logwood::Bucket::open(view, "bucket"))?;
        match (documents, graph, vectors, bucket) {
            (None, None, None, None) => Ok(None),
            (Some(documents), Some(graph), Some(vectors), Some(bucket)) => {
                Ok(Some(Self { rows: rows::Handle::ensure(db)?, documents, graph, vectors, bucket }))
            }
            parts => Err(Violation::new(format!("declared in part: {parts:?}"))),
        }
    }
}

fn found<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(Error::NotFound { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// What all models hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    declared: bool,
    rows: Rows,
    documents: Documents,
    relations: Relations,
    points: Points,
    objects: Objects,
}

/// Something to ask of, or to change in, one of the models.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Step {
    /// Reads rows.
    ReadRows(rows::Read),
    /// Reads documents.
    ReadDocuments(documents::Read),
    /// Reads entities or relations.
    ReadGraph(graph::Read),
    /// Reads vectors.
    ReadVectors(vectors::Read),
    /// Reads objects.
    ReadObjects(objects::Read),
    /// Changes rows.
    WriteRows(rows::Write),
    /// Changes documents.
    WriteDocuments(documents::Write),
    /// Changes entities or relations.
    WriteGraph(graph::Write),
    /// Changes vectors.
    WriteVectors(vectors::Write),
    /// Changes objects.
    WriteObjects(objects::Write),
}

impl Step {
    /// Draws a step. `n` differs from step to step: what is written is made from it, so that contents are told apart.
    pub fn draw(draws: &mut Draws, n: u64) -> Self {
        let reads = draws.chance(1, 3);
        match (reads, draws.below(5)) {
            (true, 0) => Self::ReadRows(Rows::draw_read(draws)),
            (true, 1) => Self::ReadDocuments(Documents::draw_read(draws)),
            (true, 2) => Self::ReadGraph(Relations::draw_read(draws)),
            (true, 3) => Self::ReadVectors(Points::draw_read(draws)),
            (true, _) => Self::ReadObjects(Objects::draw_read(draws)),
            (false, 0) => Self::WriteRows(Rows::draw_write(draws, n)),
            (false, 1) => Self::WriteDocuments(Documents::draw_write(draws, n)),
            (false, 2) => Self::WriteGraph(Relations::draw_write(draws, n)),
            (false, 3) => Self::WriteVectors(Points::draw_write(draws, n)),
            (false, _) => Self::WriteObjects(Objects::draw_write(draws, n)),
        }
    }

    /// Draws steps that a batch can do, which reads nothing.
    pub fn draw_batch(draws: &mut Draws, n: u64) -> Vec<Self> {
        let mut writes = Vec::new();
        for _ in 0..=draws.below(3) {
            let write = Rows::draw_write(draws, n);
            if write.fits_a_batch() {
                writes.push(Self::WriteRows(write));
            }
        }
        writes
    }

    /// Adds the step to a batch. Only what [`Step::draw_batch`] draws can be.
    ///
    /// # Errors
    /// Those of the batch.
    pub fn add_to(&self, handles: &Handles, batch: &mut Batch) -> Result<()> {
        match self {
            Self::WriteRows(write) => write.add_to(&handles.rows, batch),
            _ => Ok(()),
        }
    }

    /// One write to each model that succeeds whatever there is. Its contents are made from `n`.
    #[must_use]
    pub fn probe(n: u64) -> Vec<Self> {
        vec![
            Self::WriteRows(Rows::probe(n)),
            Self::WriteDocuments(Documents::probe(n)),
            Self::WriteGraph(Relations::probe(n)),
            Self::WriteVectors(Points::probe(n)),
            Self::WriteObjects(Objects::probe(n)),
        ]
    }

    /// Does the step in a transaction.
    ///
    /// # Errors
    /// Those that no model foresees: of the disk. A refusal, such as that of a document which exists, is an answer.
    pub fn run(&self, handles: &Handles, tx: &mut Transaction) -> Result<Answer> {
        match self {
            Self::ReadRows(read) => Rows::ask(&handles.rows, tx, read),
            Self::ReadDocuments(read) => Documents::ask(&handles.documents, tx, read),
            Self::ReadGraph(read) => Relations::ask(&handles.graph, tx, read),
            Self::ReadVectors(read) => Points::ask(&handles.vectors, tx, read),
            Self::ReadObjects(read) => Objects::ask(&handles.bucket, tx, read),
            Self::WriteRows(write) => Rows::write(&handles.rows, tx, write),
            Self::WriteDocuments(write) => Documents::write(&handles.documents, tx, write),
            Self::WriteGraph(write) => Relations::write(&handles.graph, tx, write),
            Self::WriteVectors(write) => Points::write(&handles.vectors, tx, write),
            Self::WriteObjects(write) => Objects::write(&handles.bucket, tx, write),
        }
    }
}

impl State {
    /// What a database holds once everything is declared.
    #[must_use]
    pub fn declared() -> Self {
        Self { declared: true, ..Self::default() }
    }

    /// Does the step, at the time at which the transaction did it, and says what the transaction must have answered.
    pub fn apply(&mut self, step: &Step, when: When) -> Answer {
        match step {
            Step::ReadRows(read) => self.rows.answer(read),
            Step::ReadDocuments(read) => self.documents.answer(read),
            Step::ReadGraph(read) => self.relations.answer(read),
            Step::ReadVectors(read) => self.points.answer(read),
            Step::ReadObjects(read) => self.objects.answer(read),
            Step::WriteRows(write) => self.rows.apply(write, when),
            Step::WriteDocuments(write) => self.documents.apply(write, when),
            Step::WriteGraph(write) => self.relations.apply(write, when),
            Step::WriteVectors(write) => self.points.apply(write, when),
            Step::WriteObjects(write) => self.objects.apply(write, when),
        }
    }

    /// How many files the contents of objects take.
    #[must_use]
    pub fn blobs(&self) -> usize {
        self.objects.blobs()
    }

    /// Reads a whole database back, by every way there is to its data.
    ///
    /// # Errors
    /// A [`Violation`] when two ways lead to different data; those of reading.
    pub fn read(db: &Database, view: &Snapshot) -> std::result::Result<Self, Violation> {
        let Some(handles) = Handles::find(db, view)? else { return Ok(Self::default()) };
        let found = Self {
            declared: true,
            rows: part::read(&handles.rows, view)?,
            documents: part::read(&handles.documents, view)?,
            relations: part::read(&handles.graph, view)?,
            points: part::read(&handles.vectors, view)?,
            objects: part::read(&handles.bucket, view)?,
        };
        one_id_for_each_key(&handles, view)?;
        Ok(found)
    }

    /// Where this state, which was found, differs from the one that was expected.
    #[must_use]
    pub fn difference(&self, expected: &Self) -> String {
        let parts = [
            ("declared", format!("{:?}", self.declared), format!("{:?}", expected.declared)),
            ("rows", format!("{:?}", self.rows), format!("{:?}", expected.rows)),
            ("documents", format!("{:?}", self.documents), format!("{:?}", expected.documents)),
            ("graph", format!("{:?}", self.relations), format!("{:?}", expected.relations)),
            ("vectors", format!("{:?}", self.points), format!("{:?}", expected.points)),
            ("objects", format!("{:?}", self.objects), format!("{:?}", expected.objects)),
        ];
        let differ = parts.into_iter().filter(|(_, found, expected)| found != expected);
        differ.map(|(name, found, expected)| format!("\n  {name}: {found}\n  expected: {expected}")).collect()
    }
}

/// All models know a key by the same number.
fn one_id_for_each_key(handles: &Handles, view: &impl View) -> std::result::Result<(), Violation> {
    for n in 0..=PROBE {
        let key = key(n);
        let ids = [
            handles.documents.number(view, &key)?,
            handles.graph.id(view, &key)?,
            handles.bucket.head(view, &key)?.map(|info| info.id),
        ];
        let known: Vec<u32> = ids.into_iter().flatten().collect();
        if known.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Violation::new(format!("{key} has the ids {ids:?}")));
        }
    }
    Ok(())
}
