//! Vectors of small whole numbers, whose distances are exact.

use std::collections::BTreeMap;

use logwood::{Metric, Result, SearchOptions, Snapshot, Transaction, VectorSchema, Vectors, View};

use super::part::{Answer, Part, When, answer};
use super::{KEYS, PROBE, key, number};
use crate::draws::Draws;

const DIMENSION: usize = 3;

/// A vector of small whole numbers.
pub(crate) type Point = [i8; DIMENSION];

pub(super) fn schema() -> VectorSchema {
    VectorSchema::new(DIMENSION, Metric::L2)
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Points(BTreeMap<u64, Point>);

/// Something to ask of the vectors.
#[derive(Debug, Clone)]
pub enum Read {
    /// The vector of a key.
    Get(u64),
    /// All keys, nearest first; exact or as the engine likes.
    Nearest { to: Point, exact: bool },
    /// How many vectors there are.
    Count,
}

/// Something to change.
#[derive(Debug, Clone)]
pub enum Write {
    /// Sets the vector of a key.
    Set(u64, Point),
    /// Removes it.
    Delete(u64),
}

fn floats(point: &Point) -> [f32; DIMENSION] {
    point.map(f32::from)
}

/// The whole numbers that a vector has, if it has nothing else.
fn whole(vector: &[f32]) -> Option<Point> {
    let of = |float: &f32| (-128..=127_i8).find(|number| f32::from(*number) == *float);
    let numbers: Option<Vec<i8>> = vector.iter().map(of).collect();
    numbers?.try_into().ok()
}

fn squared_distance(left: &Point, right: &Point) -> i64 {
    left.iter().zip(right).map(|(a, b)| (i64::from(*a) - i64::from(*b)).pow(2)).sum()
}

impl Part for Points {
    type Handle = Vectors;
    type Read = Read;
    type Write = Write;

    fn scan(vectors: &Vectors, view: &Snapshot) -> Result<Self> {
        let mut part = Self::default();
        for id in vectors.ids(view)? {
            let Some((name, vector)) = vectors.get_by_id(view, id)? else { continue };
            part.0.insert(number(&name), whole(&vector).unwrap_or([i8::MIN; DIMENSION]));
        }
        Ok(part)
    }

    fn reads() -> Vec<Read> {
        let nearest = [true, false].map(|exact| Read::Nearest { to: [1, 0, -1], exact });
        (0..=PROBE).map(Read::Get).chain(nearest).chain([Read::Count]).collect()
    }

    fn verify(&self, vectors: &Vectors, view: &Snapshot) -> Result<bool> {
        Ok(vectors.verify(view)? == self.0.len() as u64)
    }

    fn ask<V: View>(vectors: &Vectors, view: &V, read: &Read) -> Result<Answer> {
        match read {
            Read::Get(n) => {
                let found = vectors.get(view, &key(*n))?;
                Ok(Answer::said(found.map(|vector| whole(&vector).ok_or(vector))))
            }
            Read::Nearest { to, exact } => {
                let options = SearchOptions { exact: *exact, ..SearchOptions::default() };
                let hits = vectors.search(view, &floats(to), 2 * KEYS as usize, &options)?;
                let rises = hits.windows(2).all(|pair| pair[0].distance <= pair[1].distance);
                // The distance is given as its root; ties come in any order.
                let square = |distance: f32| (f64::from(distance) * f64::from(distance)).round() as i64;
                let mut near: Vec<_> = hits.into_iter().map(|hit| (square(hit.distance), hit.key)).collect();
                near.sort();
                Ok(Answer::said((rises, near)))
            }
            Read::Count => answer(vectors.count(view)),
        }
    }

    fn answer(&self, read: &Read) -> Answer {
        match read {
            Read::Get(n) => Answer::said(self.0.get(n).copied().map(Ok::<Point, Vec<f32>>)),
            Read::Nearest { to, .. } => {
                let mut near: Vec<_> =
                    self.0.iter().map(|(n, point)| (squared_distance(point, to), key(*n))).collect();
                near.sort();
                Answer::said((true, near))
            }
            Read::Count => Answer::said(self.0.len()),
        }
    }

    fn write(vectors: &Vectors, tx: &mut Transaction, write: &Write) -> Result<Answer> {
        match write {
            Write::Set(n, point) => answer(vectors.set(tx, &key(*n), &floats(point)).map(drop)),
            Write::Delete(n) => answer(vectors.delete(tx, &key(*n))),
        }
    }

    fn apply(&mut self, write: &Write, _: When) -> Answer {
        match write {
            Write::Set(n, point) => {
                self.0.insert(*n, *point);
                Answer::said(())
            }
            Write::Delete(n) => Answer::said(self.0.remove(n).is_some()),
        }
    }

    fn draw_read(draws: &mut Draws) -> Read {
        match draws.below(4) {
            0 => Read::Count,
            1 => Read::Nearest { to: draw_point(draws), exact: draws.chance(1, 2) },
            _ => Read::Get(draws.below(KEYS)),
        }
    }

    fn draw_write(draws: &mut Draws, _: u64) -> Write {
        let n = draws.below(KEYS);
        if draws.chance(1, 4) { Write::Delete(n) } else { Write::Set(n, draw_point(draws)) }
    }

    fn probe(n: u64) -> Write {
        Write::Set(PROBE, [1, 2, (n % 100) as i8])
    }
}

fn draw_point(draws: &mut Draws) -> Point {
    [0; DIMENSION].map(|_: i8| draws.below(21) as i8 - 10)
}
