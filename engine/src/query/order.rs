//! The order of results.

use std::cmp::Ordering;

use super::Subject;
use crate::value::compare::compare;
use crate::value::operand::Operand;
use crate::value::path::Path;
use crate::value::{Bad, ValueRef};

/// A direction to sort in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

impl Order {
    pub(crate) fn apply(self, order: Ordering) -> Ordering {
        match self {
            Self::Ascending => order,
            Self::Descending => order.reverse(),
        }
    }
}

/// One path to sort by.
#[derive(Debug, Clone)]
pub(crate) struct SortKey {
    pub(crate) path: Path,
    pub(crate) order: Order,
}

/// What one document is sorted by: one value a path, then its number.
#[derive(Debug)]
pub(crate) struct Rank {
    values: Vec<Operand>,
    pub(crate) number: u32,
}

impl Rank {
    pub(crate) fn of(sort: &[SortKey], number: u32, subject: &Subject<'_>) -> Result<Self, Bad> {
        let values = sort.iter().map(|key| sort_value(key, subject)).collect::<Result<_, _>>()?;
        Ok(Self { values, number })
    }

    pub(crate) fn compare(&self, other: &Self, sort: &[SortKey]) -> Ordering {
        for ((a, b), key) in self.values.iter().zip(&other.values).zip(sort) {
            // Both were encoded here, so comparing them does not fail.
            let order = compare(&a.value(), &b.value()).unwrap_or(Ordering::Equal);
            if order != Ordering::Equal {
                return key.order.apply(order);
            }
        }
        // The direction of an index read backward, so that results do not depend on the plan.
        let order = sort.first().map_or(Order::Ascending, |key| key.order);
        order.apply(self.number.cmp(&other.number))
    }

    /// Memory it takes, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.values.iter().map(Operand::memory_bytes).sum::<usize>()
    }
}

/// The least value that the path leads to, or the greatest in descending order; null if there is none.
fn sort_value(key: &SortKey, subject: &Subject<'_>) -> Result<Operand, Bad> {
    let mut best: Option<ValueRef<'_>> = None;
    subject.visit(&key.path, &mut |place| {
        match place {
            None => improve(&mut best, ValueRef::Null, key.order)?,
            Some(ValueRef::Array(array)) => {
                for element in array.try_iter() {
                    improve(&mut best, element?, key.order)?;
                }
            }
            Some(value) => improve(&mut best, value, key.order)?,
        }
        Ok(true)
    })?;
    best.map_or_else(|| Ok(Operand::null()), |value| Operand::copy(&value))
}

fn improve<'a>(best: &mut Option<ValueRef<'a>>, value: ValueRef<'a>, order: Order) -> Result<(), Bad> {
    let better = match best {
        Some(best) => order.apply(compare(&value, best)?) == Ordering::Less,
        None => true,
    };
    if better {
        *best = Some(value);
    }
    Ok(())
}
