//! Mapped reads: a file as [`Bytes`], without a copy. The crate's only unsafe code.

use std::fs::File;
use std::io;

use bytes::Bytes;

/// The whole file as it is now. Only for files that are written once: segments, not the live log.
#[cfg(unix)]
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    // Some kernels refuse an empty mapping.
    if bytes == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: `MmapOptions::map` asks that the file be not modified while it is mapped. `Disk::map` is documented for
    // files that are never written again; the engine maps segments, graph files and objects, each of which it
    // writes once under a name of its own, syncs, and then only ever removes, which leaves mappings whole.
    // Another process that writes into the store's directory breaks this, as it breaks every other rule.
    let mapping = unsafe { memmap2::MmapOptions::new().len(bytes).map(file) }?;
    Ok(Bytes::from_owner(mapping))
}

/// The portable twin of [`map`]: reads instead of mapping.
#[cfg(any(test, not(unix)))]
pub(crate) fn read(mut file: &File) -> io::Result<Bytes> {
    use std::io::{Read as _, Seek as _};

    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(not(unix))]
pub(crate) use self::read as map;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_and_reading_agree() {
        let directory = tempfile::tempdir().unwrap();
        for bytes in [0, 1, 4095, 4096, 4097, 100_000] {
            let path = directory.path().join(bytes.to_string());
            let contents: Vec<u8> = (0..bytes).map(|byte| (byte % 251) as u8).collect();
            std::fs::write(&path, &contents).unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(map(&file).unwrap(), contents);
            assert_eq!(read(&file).unwrap(), contents);
        }
    }

    #[test]
    fn a_mapping_outlives_the_name_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, b"kept").unwrap();
        let mapped = map(&File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&mapped[..], b"kept");
    }
}
