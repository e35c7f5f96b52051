//! Names of the files of a database. One flat directory: a single directory sync covers every name.
//!
//! ```text
//! LOCK                        held by the one process that writes
//! manifest-000000000001.avro  what segments there are: a log of version edits
//! log-000000000007.avro       commits not yet in segments
//! 000000000012.segment        sorted rows of one keyspace
//! 000000000013.blob           contents of an object
//! reserve.tmp                 space kept for a full disk
//! *.tmp, *.free               being made; a log file kept for reuse
//! ```

/// The lock file.
pub(crate) const LOCK: &str = "LOCK";
/// Prefix of the log's files.
pub(crate) const LOG: &str = "log";
/// Prefix of the manifest's files.
pub(crate) const MANIFEST: &str = "manifest";
/// Suffix of a file that is not yet, or no longer, of any meaning.
pub(crate) const TEMPORARY: &str = ".tmp";
/// The file that keeps space for a full disk.
pub(crate) const RESERVE: &str = "reserve.tmp";
/// Suffix of a segment.
pub(crate) const SEGMENT: &str = ".segment";
/// Suffix of an object's contents.
pub(crate) const BLOB: &str = ".blob";

/// Greatest number of a file, and of a commit: the log writes numbers as 64-bit integers with a sign.
pub(crate) const NUMBER_MAX: u64 = i64::MAX as u64;

/// Name of a segment.
pub(crate) fn segment(number: u64) -> String {
    format!("{number:012}{SEGMENT}")
}

/// What tells a segment from any other, of this database or another: no number is given out twice.
pub(crate) fn identity(seed: u64, number: u64) -> u64 {
    // The finalizer of splitmix64 is a bijection, so two numbers of one database never meet.
    let mix = |value: u64| {
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    // Zero says that there is none. That it takes the place of one in 2⁶⁴ other values harms nothing.
    mix(mix(seed).wrapping_add(number)).max(1)
}

/// The number in a name `<number><suffix>`.
pub(crate) fn number(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok().filter(|number| *number < NUMBER_MAX) } else { None }
}

/// The number a numbered file has, whatever its kind, also when it is not finished.
pub(crate) fn any_number(name: &str) -> Option<u64> {
    let name = name.strip_suffix(TEMPORARY).unwrap_or(name);
    number(name, SEGMENT).or_else(|| number(name, BLOB))
}

/// Whether a file of this name belongs to the log of this prefix, in whatever state.
pub(crate) fn is_log_file(name: &str, prefix: &str) -> bool {
    let Some(rest) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')) else { return false };
    [".avro", ".tmp", ".free"].iter().any(|suffix| number(rest, suffix).is_some())
}

/// Whether a file of this name can be Logwood's at all.
pub(crate) fn is_ours(name: &str) -> bool {
    [LOCK, RESERVE].contains(&name)
        || any_number(name).is_some()
        || is_log_file(name, LOG)
        || is_log_file(name, MANIFEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(number(&segment(12), SEGMENT), Some(12));
        assert_eq!(any_number("000000000013.blob.tmp"), Some(13));
        assert_eq!(any_number("13.blob"), None);
        assert_eq!(any_number("9223372036854775806.blob"), Some(NUMBER_MAX - 1));
        assert_eq!(any_number("9223372036854775807.blob"), None, "no number is left for the next file");
        assert!(is_log_file("log-000000000007.avro", LOG));
        assert!(is_log_file("manifest-000000000007.tmp", MANIFEST));
        assert!(!is_log_file("log-7.avro", LOG) && !is_ours("notes.txt"));
        assert!(is_ours(LOCK) && is_ours(RESERVE) && is_ours("000000000001.segment"));
    }
}
