//! The owner of a collection: another model whose rows refer to the documents, so that they may not go
//! without it. The catalog row `owner` of the collection's name says who.

use crate::catalog;
use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::transaction::Transaction;

const OWNER: &str = "owner";

impl Collection {
    /// Gives the collection to an owner, named for messages: documents go only through
    /// [`Collection::remove`] and [`Collection::discard`] from now on.
    pub(crate) fn give_to(&self, tx: &mut Transaction, owner: &str) -> Result<()> {
        catalog::put(tx, OWNER, self.name(), owner.as_bytes())
    }
}

/// Refuses what only the owner of a collection may do.
pub(super) fn check_none(tx: &Transaction, collection: &str) -> Result<()> {
    let Some(owner) = catalog::get(tx, OWNER, collection)? else { return Ok(()) };
    let owner = String::from_utf8_lossy(&owner);
    let reason = format!("its documents belong to the {owner}, which deletes them with what refers to them");
    Err(Error::Declaration { kind: "collection", name: collection.to_owned(), reason })
}

/// Forgets the owner of a collection that is dropped.
pub(super) fn clear(tx: &mut Transaction, collection: &str) -> Result<()> {
    if catalog::get(tx, OWNER, collection)?.is_some() {
        catalog::delete(tx, OWNER, collection)?;
    }
    Ok(())
}
