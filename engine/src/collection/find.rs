//! Queries: a plan turned into rows, rows into results.

use std::ops::Bound;

use bytes::Bytes;
use logwood_index::Direction;
use roaring::RoaringBitmap;

use super::handle::Collection;
use super::indexes::{COUNT, malformed_row};
use super::row;
use super::stored::Stored;
use crate::dictionary;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::query::order::Rank;
use crate::query::plan::{Access, Explanation, Interval, Plan, Shape};
use crate::query::{Filter, Query, Subject};
use crate::value::Bad;
use crate::view::View;

/// Most memory that a sort takes, in bytes. With a limit it takes as much as the results asked for.
pub const SORT_BYTES_MAX: usize = 256 << 20;

type Numbers<'v> = Box<dyn Iterator<Item = Result<u32>> + 'v>;
type Rows<'v> = Box<dyn Iterator<Item = Result<(u32, Bytes)>> + 'v>;
type Finish<'v> = Box<dyn Fn(u32, &Bytes) -> Result<Stored> + 'v>;

/// The results of a query, read one by one. After an error there are none.
pub struct Found<'v> {
    rows: Rows<'v>,
    skip: usize,
    limit: usize,
    finish: Finish<'v>,
}

impl Iterator for Found<'_> {
    type Item = Result<Stored>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.limit = 0;
        }
        next
    }
}

impl Found<'_> {
    fn advance(&mut self) -> Result<Option<Stored>> {
        while self.limit > 0 {
            let Some(row) = self.rows.next() else { break };
            let (number, row) = row?;
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.limit -= 1;
            return (self.finish)(number, &row).map(Some);
        }
        Ok(None)
    }
}

impl Collection {
    /// The document with this id.
    ///
    /// # Errors
    /// Those of reading.
    pub fn get(&self, view: &(impl View + ?Sized), id: &str) -> Result<Option<Stored>> {
        self.check(view)?;
        let Some(number) = dictionary::id(view, id)? else { return Ok(None) };
        let Some(row) = self.row(view, number)? else { return Ok(None) };
        self.stored(number, id.to_owned(), &row).map(Some)
    }

    /// The document whose id has this number.
    ///
    /// # Errors
    /// Those of reading.
    pub fn get_by_number(&self, view: &(impl View + ?Sized), number: u32) -> Result<Option<Stored>> {
        self.check(view)?;
        let Some(row) = self.row(view, number)? else { return Ok(None) };
        self.stored(number, self.id_of(view, number)?, &row).map(Some)
    }

    /// Whether there is a document with this id.
    ///
    /// # Errors
    /// Those of reading.
    pub fn contains(&self, view: &(impl View + ?Sized), id: &str) -> Result<bool> {
        Ok(self.number(view, id)?.is_some())
    }

    /// The number of the document with this id, by which every model knows it.
    ///
    /// # Errors
    /// Those of reading.
    pub fn number(&self, view: &(impl View + ?Sized), id: &str) -> Result<Option<u32>> {
        self.check(view)?;
        let Some(number) = dictionary::id(view, id)? else { return Ok(None) };
        Ok(self.row(view, number)?.map(|_| number))
    }

    /// How many documents there are. It is kept, not counted.
    ///
    /// # Errors
    /// Those of reading.
    pub fn count(&self, view: &(impl View + ?Sized)) -> Result<u64> {
        self.check(view)?;
        let Some(row) = view.get(self.inner.state, COUNT)? else { return Ok(0) };
        let count = <[u8; 8]>::try_from(&row[..]).ok().map(i64::from_le_bytes);
        let count = count.and_then(|count| u64::try_from(count).ok());
        count.ok_or_else(|| malformed_row(self.inner.state, COUNT, "not a count"))
    }

    /// All documents, in the order in which their ids were first used.
    ///
    /// # Errors
    /// Those of reading, also from the iterator.
    pub fn scan<'v, V: View + ?Sized>(&self, view: &'v V) -> Result<Found<'v>> {
        self.find(view, &Query::all())
    }

    /// The documents that a query asks for.
    ///
    /// # Errors
    /// Those of reading, also from the iterator; [`Error::TooLarge`] for a sort without a limit that takes more
    /// memory than [`SORT_BYTES_MAX`].
    pub fn find<'v, V: View + ?Sized>(&self, view: &'v V, query: &Query) -> Result<Found<'v>> {
        self.check(view)?;
        let shapes = self.shapes(view)?;
        let plan = Plan::of(query, &shapes);
        let sorts = !query.sort.is_empty() && plan.ordered.is_none();
        let rows = self.accepted_rows(view, plan, &shapes, query);
        let rows = if sorts { self.sorted(view, rows?, query) } else { rows };
        let (this, projection) = (self.clone(), query.projection.clone());
        let finish: Finish<'v> = Box::new(move |number, row| {
            let mut stored = this.stored(number, this.id_of(view, number)?, row)?;
            if let Some(projection) = &projection {
                stored.document = projection.apply(&stored.document)?;
            }
            Ok(stored)
        });
        Ok(Found { rows: rows?, skip: query.skip, limit: query.limit.unwrap_or(usize::MAX), finish })
    }

    /// The first document that a query asks for.
    ///
    /// # Errors
    /// As [`Collection::find`].
    pub fn find_one(&self, view: &(impl View + ?Sized), query: &Query) -> Result<Option<Stored>> {
        let query = query.clone();
        let limit = query.limit.unwrap_or(1).min(1);
        self.find(view, &query.limit(limit))?.next().transpose()
    }

    /// The numbers of the documents that a filter accepts: a filter for any other model.
    ///
    /// # Errors
    /// Those of reading.
    pub fn find_ids(&self, view: &(impl View + ?Sized), filter: &Filter) -> Result<RoaringBitmap> {
        self.check(view)?;
        let shapes = self.shapes(view)?;
        let plan = Plan::of_filter(filter, &shapes);
        let rows = self.accepted_rows(view, plan, &shapes, &Query::new(filter.clone()))?;
        rows.map(|row| row.map(|(number, _)| number)).collect()
    }

    /// How many documents a filter accepts.
    ///
    /// # Errors
    /// Those of reading.
    pub fn count_where(&self, view: &(impl View + ?Sized), filter: &Filter) -> Result<u64> {
        Ok(self.find_ids(view, filter)?.len())
    }

    /// How a query would be answered.
    ///
    /// # Errors
    /// Those of reading.
    pub fn explain(&self, view: &(impl View + ?Sized), query: &Query) -> Result<Explanation> {
        self.check(view)?;
        let shapes = self.shapes(view)?;
        Ok(Explanation::of(&Plan::of(query, &shapes), query, &shapes))
    }

    fn row(&self, view: &(impl View + ?Sized), number: u32) -> Result<Option<Bytes>> {
        view.get(self.inner.primary, &number.to_be_bytes())
    }

    fn stored(&self, number: u32, id: String, row: &Bytes) -> Result<Stored> {
        let (version, document) = row::decode(row).map_err(|bad| self.malformed(number, bad))?;
        Ok(Stored { id, number, version, document })
    }

    /// The rows that the plan leads to and the filter accepts, in the plan's order.
    fn accepted_rows<'v, V: View + ?Sized>(
        &self,
        view: &'v V,
        plan: Plan,
        shapes: &[Shape<'_>],
        query: &Query,
    ) -> Result<Rows<'v>> {
        let rows = self.planned_rows(view, plan, shapes, query.among.as_deref())?;
        let (this, filter) = (self.clone(), query.filter.clone());
        Ok(Box::new(rows.filter_map(move |found| match found {
            Ok((number, row)) => match this.accepts(view, &filter, number, &row) {
                Ok(true) => Some(Ok((number, row))),
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            },
            Err(error) => Some(Err(error)),
        })))
    }

    fn accepts(
        &self,
        view: &(impl View + ?Sized),
        filter: &Filter,
        number: u32,
        row: &Bytes,
    ) -> Result<bool> {
        let id = if filter.uses_id() { self.id_of(view, number)? } else { String::new() };
        let accepts = || filter.accepts(&Subject { id: &id, fields: row::peek(row)? });
        accepts().map_err(|bad: Bad| self.malformed(number, bad))
    }

    fn planned_rows<'v, V: View + ?Sized>(
        &self,
        view: &'v V,
        plan: Plan,
        shapes: &[Shape<'_>],
        among: Option<&RoaringBitmap>,
    ) -> Result<Rows<'v>> {
        let this = self.clone();
        let numbers: Numbers<'v> = match plan.access {
            Access::All => match among {
                Some(among) => return Ok(this.rows_of(view, known(among.clone()), false)),
                None => return self.all_rows(view),
            },
            Access::Index(scan) if plan.ordered.is_some() || scan.is_by_number(&shapes[scan.index]) => {
                let direction = plan.ordered.unwrap_or(Direction::Forward);
                let keyspace = self.inner.indexes[scan.index].keyspace;
                let numbers = index_numbers(view, keyspace, scan.intervals, direction);
                match among.cloned() {
                    Some(among) => Box::new(
                        numbers
                            .filter(move |number| !matches!(number, Ok(number) if !among.contains(*number))),
                    ),
                    None => numbers,
                }
            }
            access => {
                let mut numbers = self.numbers(view, &access)?;
                if let Some(among) = among {
                    numbers &= among;
                }
                // Ids may be those of other models.
                let sure = !access.has_ids();
                return Ok(this.rows_of(view, known(numbers), sure));
            }
        };
        Ok(this.rows_of(view, numbers, true))
    }

    fn all_rows<'v, V: View + ?Sized>(&self, view: &'v V) -> Result<Rows<'v>> {
        let this = self.clone();
        let rows = view.range(self.inner.primary, (Bound::Unbounded, Bound::Unbounded))?;
        Ok(Box::new(rows.map(move |found| found.and_then(|(key, row)| Ok((this.number_of(&key)?, row))))))
    }

    /// The rows of these numbers. `sure`: each has one.
    fn rows_of<'v, V: View + ?Sized>(self, view: &'v V, numbers: Numbers<'v>, sure: bool) -> Rows<'v> {
        Box::new(numbers.filter_map(move |number| {
            let read = number.and_then(|number| match self.row(view, number)? {
                Some(row) => Ok(Some((number, row))),
                None if sure => {
                    Err(self.malformed(number, Bad("an index has a key of a document that is not there")))
                }
                None => Ok(None),
            });
            read.transpose()
        }))
    }

    /// The numbers that an access leads to, in their order.
    fn numbers(&self, view: &(impl View + ?Sized), access: &Access) -> Result<RoaringBitmap> {
        match access {
            Access::Ids(ids) => {
                let mut numbers = RoaringBitmap::new();
                for id in ids {
                    numbers.extend(dictionary::id(view, id)?);
                }
                Ok(numbers)
            }
            Access::Index(scan) => {
                let keyspace = self.inner.indexes[scan.index].keyspace;
                index_numbers(view, keyspace, scan.intervals.clone(), Direction::Forward).collect()
            }
            Access::Union(accesses) => {
                accesses.iter().try_fold(RoaringBitmap::new(), |all, one| Ok(all | self.numbers(view, one)?))
            }
            Access::All => self.all_rows(view)?.map(|row| row.map(|(number, _)| number)).collect(),
        }
    }

    /// The rows in the order asked for: only what they are sorted by is held, and of that only as much
    /// as the limit needs.
    fn sorted<'v, V: View + ?Sized>(&self, view: &'v V, rows: Rows<'v>, query: &Query) -> Result<Rows<'v>> {
        let sort = &query.sort;
        let wanted = query.limit.map_or(usize::MAX, |limit| limit.saturating_add(query.skip));
        let needs_id = sort.iter().any(|key| key.path.as_str() == crate::query::ID_FIELD);
        let mut ranks: Vec<Rank> = Vec::new();
        let mut bytes = 0;
        let keep = |ranks: &mut Vec<Rank>| {
            ranks.sort_unstable_by(|a, b| a.compare(b, sort));
            ranks.truncate(wanted);
            ranks.iter().map(Rank::memory_bytes).sum::<usize>()
        };
        for row in rows {
            let (number, row) = row?;
            let id = if needs_id { self.id_of(view, number)? } else { String::new() };
            let rank =
                row::peek(&row).and_then(|fields| Rank::of(sort, number, &Subject { id: &id, fields }));
            let rank = rank.map_err(|bad| self.malformed(number, bad))?;
            bytes += rank.memory_bytes();
            ranks.push(rank);
            // Sorting when there is twice as much as wanted costs a logarithm a row.
            if ranks.len() >= wanted.saturating_mul(2).saturating_add(1024) {
                bytes = keep(&mut ranks);
            }
            if bytes > SORT_BYTES_MAX {
                bytes = keep(&mut ranks);
                check_sort_bytes(bytes)?;
            }
        }
        keep(&mut ranks);
        let numbers = ranks.into_iter().map(|rank| Ok(rank.number));
        Ok(self.clone().rows_of(view, Box::new(numbers), true))
    }
}

fn check_sort_bytes(bytes: usize) -> Result<()> {
    if bytes <= SORT_BYTES_MAX {
        return Ok(());
    }
    let what = "what a query sorts by (give it a limit, or an index that has the order)";
    Err(Error::TooLarge { what, size: bytes as u64, limit: SORT_BYTES_MAX as u64 })
}

fn known<'v>(numbers: RoaringBitmap) -> Numbers<'v> {
    Box::new(numbers.into_iter().map(Ok))
}

/// The numbers at the ends of the keys in these intervals of an index.
fn index_numbers<'v, V: View + ?Sized>(
    view: &'v V,
    keyspace: Keyspace,
    mut intervals: Vec<Interval>,
    direction: Direction,
) -> Numbers<'v> {
    if direction == Direction::Backward {
        intervals.reverse();
    }
    let read = move |interval: Interval| -> Numbers<'v> {
        let bounds = (Bound::Included(&interval.start[..]), Bound::Excluded(&interval.end[..]));
        let number = move |row: Result<(Bytes, Bytes)>| row.and_then(|(key, _)| number_in(keyspace, &key));
        match (view.range(keyspace, bounds), direction) {
            (Ok(range), Direction::Forward) => Box::new(range.map(number)),
            (Ok(range), Direction::Backward) => Box::new(range.rev().map(number)),
            (Err(error), _) => Box::new(std::iter::once(Err(error))),
        }
    };
    Box::new(intervals.into_iter().flat_map(read))
}

fn number_in(keyspace: Keyspace, key: &[u8]) -> Result<u32> {
    let last = key.last_chunk().ok_or_else(|| malformed_row(keyspace, key, "the key ends without an id"))?;
    Ok(u32::from_be_bytes(*last))
}
