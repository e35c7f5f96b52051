//! Opening the database a command works on.

use std::path::Path;

use logwood::{Database, Options};

use crate::failure::{self, Failure};

/// Opens for reading: works beside a process that writes, and changes nothing.
pub(crate) fn for_reading(path: &Path) -> Result<Database, Failure> {
    open(path, Options::new().read_only(true))
}

/// Opens for writing; creates the database if there is none.
pub(crate) fn for_writing(path: &Path) -> Result<Database, Failure> {
    Ok(Database::open(path, Options::new())?)
}

/// Opens a database that must be there for writing.
pub(crate) fn existing_for_writing(path: &Path) -> Result<Database, Failure> {
    open(path, Options::new().create(false))
}

fn open(path: &Path, options: Options) -> Result<Database, Failure> {
    Database::open(path, options).map_err(|error| explain(path, error))
}

/// Says what to do where the path leads nowhere; every other failure speaks for itself.
pub(crate) fn explain(path: &Path, error: logwood::Error) -> Failure {
    let missing = matches!(path.try_exists(), Ok(false)) && !path.to_string_lossy().contains("://");
    if missing { failure::no_database(path) } else { error.into() }
}
