//! The constants of the format: names, magic, schema, limits. `docs/format.md` says what they mean.

/// The Avro schema of a commit, as every file's header carries it. A file whose schema is not this text, byte
/// for byte, is read by schema resolution.
pub const SCHEMA: &str = concat!(
    r#"{"type":"record","name":"Commit","namespace":"logwood","fields":["#,
    r#"{"name":"lsn","type":"long"},"#,
    r#"{"name":"time","type":{"type":"long","logicalType":"timestamp-micros"},"default":0},"#,
    r#"{"name":"durable","type":"long","default":0},"#,
    r#"{"name":"ops","type":{"type":"array","items":{"type":"record","name":"Op","fields":["#,
    r#"{"name":"keyspace","type":"long"},"#,
    r#"{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["none","put","delete","delete_range","segment"]}},"#,
    r#"{"name":"key","type":"bytes"},"#,
    r#"{"name":"value","type":"bytes"}]}}},"#,
    r#"{"name":"crc","type":{"type":"fixed","name":"Crc32","size":4}}]}"#,
);

/// The version of everything the schema does not say: the header's keys, the rules of a frame.
pub const FORMAT_VERSION: &str = "1";

/// Begins every Avro object container file.
pub(crate) const MAGIC: &[u8; 4] = b"Obj\x01";

/// The number of a commit. The first is 1, each commit's is one more than the last; 0 is before everything.
pub type Lsn = u64;

/// A sync marker: ends the header and every frame of one file, and no other file's.
pub type Marker = [u8; MARKER_BYTES];

/// Bytes of a sync marker.
pub const MARKER_BYTES: usize = 16;

/// Bytes of the checksum that ends a record.
pub(crate) const CRC_BYTES: usize = 4;

/// Keys of the header, in their order.
pub(crate) const META_SCHEMA: &str = "avro.schema";
pub(crate) const META_CODEC: &str = "avro.codec";
pub(crate) const META_FORMAT: &str = "logwood.format";
pub(crate) const META_FIRST: &str = "logwood.first";
pub(crate) const META_NUMBER: &str = "logwood.number";
pub(crate) const META_CRC: &str = "logwood.crc";

/// The only codec.
pub(crate) const CODEC: &str = "null";

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 65_535;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 128 << 20;

/// Most operations of one commit.
pub const OPS_MAX: usize = 1 << 24;

/// Most bytes of the encoded operations of one commit.
pub const OPS_BYTES_MAX: usize = 512 << 20;

/// Most bytes of the records of one frame: a largest commit and a group around it.
pub const FRAME_BYTES_MAX: usize = OPS_BYTES_MAX + (32 << 20);

/// Longest header accepted, in bytes. Ours takes about a kilobyte.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// Fewest bytes of an encoded operation: keyspace, kind and two lengths of one byte each.
pub(crate) const OP_BYTES_MIN: usize = 4;
