//! Reading files whose schema is not the current one, by Avro's schema resolution.
//!
//! Framing and checksums are the same under every schema of the format: a block of records that each end with
//! the CRC-32 of their preceding bytes. So the record's bytes are delimited and checked here first, by walking
//! over them along the file's schema; only then does `apache-avro` see them, which trusts lengths more than
//! damaged bytes deserve.

use std::borrow::Cow;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;

use crate::avro::Reader;
use crate::error::Fault;
use crate::format::{CRC_BYTES, Marker, SCHEMA};
use crate::frame::{Extent, Frame, decode_frame};
use crate::pieces::Pieces;
use crate::record::{Kind, Op, OpsBuffer, RecordHead, put_record};

/// How the frames of a file are read.
#[derive(Debug, Clone)]
pub(crate) enum Layout {
    /// Written under the current schema: by hand.
    Current,
    /// Written under another: through schema resolution.
    Other(Box<Resolver>),
}

impl Layout {
    /// The layout for a header's schema; the error says what is wrong with the schema.
    pub(crate) fn of(schema: &str) -> Result<Self, &'static str> {
        if schema == SCHEMA { Ok(Self::Current) } else { Ok(Self::Other(Box::new(Resolver::new(schema)?))) }
    }

    /// Decodes and checks the frame at the beginning of `bytes`.
    pub(crate) fn frame<'a>(&self, bytes: &'a [u8], marker: &Marker) -> Result<Frame<'a>, Fault> {
        match self {
            Self::Current => decode_frame(bytes, marker),
            Self::Other(resolver) => {
                let extent = Extent::decode(bytes)?;
                let body = extent.body(bytes, marker)?;
                resolver.frame(extent, body).map_err(|fault| fault.behind(extent.head))
            }
        }
    }
}

/// Translates records of one schema into those of the current one.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    writer: Schema,
    reader: Schema,
    shape: Shape,
}

impl Resolver {
    fn new(schema: &str) -> Result<Self, &'static str> {
        let writer = Schema::parse_str(schema).map_err(|_| "the file's schema is no Avro schema")?;
        let reader = Schema::parse_str(SCHEMA).map_err(|_| "the current schema is no Avro schema")?;
        let Schema::Record(record) = &writer else { return Err("the file's schema is not that of a commit") };
        match record.fields.last().map(|field| (field.name.as_str(), &field.schema)) {
            Some(("crc", Schema::Fixed(crc))) if crc.size == CRC_BYTES => {}
            _ => return Err("the file's schema does not end with a checksum"),
        }
        let fields = &record.fields[..record.fields.len() - 1];
        let shape = Shape::of_fields(fields.iter().map(|field| &field.schema))?;
        Ok(Self { shape, writer, reader })
    }

    fn frame<'a>(&self, extent: Extent, body: &[u8]) -> Result<Frame<'a>, Fault> {
        // All of the frame is checked before any of it is resolved: what fails then is no torn write.
        let records = self.split(extent, body)?;
        let fault = |_| Fault::foreign(0, "the file's schema does not resolve to the current one");
        let resolving =
            GenericDatumReader::builder(&self.writer).reader_schema(&self.reader).build().map_err(fault)?;
        let mut current = Vec::with_capacity(body.len());
        for mut record in records {
            let value = resolving.read_value(&mut record).map_err(fault)?;
            let translated = put_value(&mut current, value);
            translated.ok_or(Fault::foreign(0, "a commit holds what the current schema cannot"))?;
        }
        Frame::of_body(extent, Cow::Owned(current))
    }

    /// Delimits and checks the frame's records.
    fn split<'a>(&self, extent: Extent, body: &'a [u8]) -> Result<Vec<&'a [u8]>, Fault> {
        let mut reader = Reader::new(body);
        let mut records = Vec::new();
        for _ in 0..extent.count {
            let start = reader.position();
            self.shape.skip(&mut reader)?;
            let crc = crc32fast::hash(reader.since(start));
            if reader.array::<CRC_BYTES>()? != crc.to_le_bytes() {
                return Err(Fault::new(start, "the checksum of a commit does not match"));
            }
            records.push(reader.since(start));
        }
        if reader.left() > 0 {
            return Err(reader.fault("a frame's size is not that of its records"));
        }
        Ok(records)
    }
}

/// Appends a value of the current schema as a record; `None` if it breaks a limit or rule of the format.
fn put_value(out: &mut Vec<u8>, value: Value) -> Option<()> {
    let Value::Record(fields) = value else { return None };
    let mut head = RecordHead { lsn: 0, time_micros: 0, durable: 0 };
    let mut ops = OpsBuffer::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("lsn", Value::Long(lsn)) => head.lsn = u64::try_from(lsn).ok()?,
            ("time", Value::TimestampMicros(micros)) => head.time_micros = micros,
            ("durable", Value::Long(durable)) => head.durable = u64::try_from(durable).ok()?,
            ("ops", Value::Array(values)) => {
                for value in values {
                    push_op(&mut ops, value)?;
                }
            }
            ("crc", _) => {}
            _ => return None,
        }
    }
    if head.durable >= head.lsn {
        return None;
    }
    let mut record = Pieces::default();
    put_record(&mut record, head, &[&ops]);
    record.slices(0, 0).for_each(|slice| out.extend_from_slice(slice));
    Some(())
}

fn push_op(ops: &mut OpsBuffer, value: Value) -> Option<()> {
    let Value::Record(fields) = value else { return None };
    let [
        (_, Value::Long(keyspace)),
        (_, Value::Enum(kind, _)),
        (_, Value::Bytes(key)),
        (_, Value::Bytes(value)),
    ] = fields.as_slice()
    else {
        return None;
    };
    let kind = match kind {
        1 => Kind::Put,
        2 => Kind::Delete,
        3 => Kind::DeleteRange,
        4 => Kind::Segment,
        _ => return None,
    };
    let keyspace = u32::try_from(*keyspace).ok()?;
    Op { keyspace, kind, key, value }.check().ok()?;
    ops.push(keyspace, kind, key, value).ok()
}

/// A type of Avro's, reduced to what delimits its encoded values.
#[derive(Debug, Clone)]
enum Shape {
    Long,
    Bytes,
    Fixed(usize),
    Array(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<Shape>),
}

impl Shape {
    /// Deeper schemas are refused: none of ours nests so far.
    const DEPTH_MAX: usize = 8;

    fn of_fields<'a>(fields: impl Iterator<Item = &'a Schema>) -> Result<Self, &'static str> {
        fields.map(|field| Self::of(field, Self::DEPTH_MAX)).collect::<Result<_, _>>().map(Self::Record)
    }

    fn of(schema: &Schema, depth: usize) -> Result<Self, &'static str> {
        let depth = depth.checked_sub(1).ok_or("the file's schema nests too deeply")?;
        let shape = match schema {
            Schema::Null => Self::Fixed(0),
            Schema::Boolean => Self::Fixed(1),
            Schema::Float => Self::Fixed(4),
            Schema::Double => Self::Fixed(8),
            Schema::Fixed(fixed) => Self::Fixed(fixed.size),
            Schema::Int
            | Schema::Long
            | Schema::TimestampMicros
            | Schema::TimestampMillis
            | Schema::Enum(_) => Self::Long,
            Schema::Bytes | Schema::String => Self::Bytes,
            Schema::Array(array) => Self::Array(Box::new(Self::of(&array.items, depth)?)),
            Schema::Union(union) => Self::Union(
                union.variants().iter().map(|one| Self::of(one, depth)).collect::<Result<_, _>>()?,
            ),
            Schema::Record(record) => Self::Record(
                record.fields.iter().map(|field| Self::of(&field.schema, depth)).collect::<Result<_, _>>()?,
            ),
            _ => return Err("the file's schema has a type that no version of the log had"),
        };
        match shape {
            // An array of nothing may claim any number of items in no bytes at all.
            Self::Array(item) if item.bytes_min() == 0 => Err("the file's schema has an array of nothing"),
            shape => Ok(shape),
        }
    }

    /// Fewest bytes of a value.
    fn bytes_min(&self) -> usize {
        match self {
            Self::Long | Self::Bytes | Self::Array(_) => 1,
            Self::Union(shapes) => 1 + shapes.iter().map(Self::bytes_min).min().unwrap_or_default(),
            Self::Fixed(bytes) => *bytes,
            Self::Record(shapes) => {
                shapes.iter().fold(0, |sum: usize, shape| sum.saturating_add(shape.bytes_min()))
            }
        }
    }

    /// Reads over one value.
    fn skip(&self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        match self {
            Self::Long => reader.long().map(drop),
            Self::Bytes => reader.bytes(usize::MAX).map(drop),
            Self::Fixed(bytes) => reader.take(*bytes).map(drop),
            Self::Record(shapes) => shapes.iter().try_for_each(|shape| shape.skip(reader)),
            Self::Union(shapes) => {
                let start = *reader;
                let index = usize::try_from(reader.unsigned()?).ok();
                let shape = index.and_then(|index| shapes.get(index));
                shape.ok_or(start.fault("a union has no such branch"))?.skip(reader)
            }
            Self::Array(item) => loop {
                let (count, _) = reader.block()?;
                if count == 0 {
                    return Ok(());
                }
                if count > (reader.left() / item.bytes_min().max(1)) as u64 {
                    return Err(reader.fault("an array has more items than bytes"));
                }
                for _ in 0..count {
                    item.skip(reader)?;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::avro::{put_bytes, put_long};
    use crate::frame::FrameBuffer;

    const MARKER: Marker = [7; 16];

    /// A schema without `time` and `durable`, with a field that is gone and the kinds in another order.
    const OLDER: &str = r#"{"type":"record","name":"Commit","namespace":"logwood","fields":[
        {"name":"lsn","type":"int"},
        {"name":"note","type":["null","string"]},
        {"name":"ops","type":{"type":"array","items":{"type":"record","name":"Op","fields":[
            {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["delete","put"]}},
            {"name":"keyspace","type":"int"},
            {"name":"value","type":"bytes"},
            {"name":"key","type":"bytes"}]}}},
        {"name":"crc","type":{"type":"fixed","name":"Crc32","size":4}}]}"#;

    fn older_frame() -> Vec<u8> {
        let mut body = Vec::new();
        put_long(&mut body, 5);
        put_long(&mut body, 1);
        put_bytes(&mut body, b"a note");
        for value in [1, 1, 3] {
            put_long(&mut body, value);
        }
        put_bytes(&mut body, b"value");
        put_bytes(&mut body, b"key");
        put_long(&mut body, 0);
        body.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        let mut frame = Vec::new();
        put_long(&mut frame, 1);
        put_bytes(&mut frame, &body);
        [&frame[..], &MARKER].concat()
    }

    #[test]
    fn another_schema_is_resolved_to_the_current_one() {
        let layout = Layout::of(OLDER).unwrap();
        let bytes = older_frame();
        let frame = layout.frame(&bytes, &MARKER).unwrap();
        assert_eq!(frame.total_bytes(), bytes.len());
        let record = frame.records().next().unwrap();
        assert_eq!((record.lsn, record.time_micros, record.durable), (5, 0, 0));
        let op = record.ops.clone().next().unwrap();
        assert_eq!((op.keyspace, op.kind, op.key, op.value), (3, Kind::Put, &b"key"[..], &b"value"[..]));
    }

    #[test]
    fn the_current_schema_resolves_to_itself() {
        let spaced = Layout::of(&format!(" {SCHEMA}")).unwrap();
        assert!(matches!(spaced, Layout::Other(_)));
        let mut ops = OpsBuffer::new();
        ops.push(9, Kind::Put, b"k", b"v").unwrap();
        ops.push(9, Kind::Delete, b"k", b"").unwrap();
        ops.push(9, Kind::DeleteRange, b"k", b"l").unwrap();
        ops.push(9, Kind::DeleteRange, b"", b"").unwrap();
        let mut buffer = FrameBuffer::within(Vec::new());
        buffer.push(RecordHead { lsn: 3, time_micros: 77, durable: 2 }, &[&ops, &ops]);
        let bytes = buffer.finish(&MARKER).collect::<Vec<_>>().concat();
        let (by_hand, resolved) =
            (decode_frame(&bytes, &MARKER).unwrap(), spaced.frame(&bytes, &MARKER).unwrap());
        let (a, b) = (by_hand.records().next().unwrap(), resolved.records().next().unwrap());
        assert_eq!((a.lsn, a.time_micros, a.durable), (b.lsn, b.time_micros, b.durable));
        assert!(a.ops.eq(b.ops));
    }

    #[test]
    fn every_flipped_bit_of_an_older_frame_is_found() {
        let layout = Layout::of(OLDER).unwrap();
        let bytes = older_frame();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(layout.frame(&bad, &MARKER).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_whole_commit_that_cannot_be_resolved_is_not_taken_for_a_torn_one() {
        let newer = OLDER.replace(r#""symbols":["delete","put"]"#, r#""symbols":["merge","put"]"#);
        let layout = Layout::of(&newer).unwrap();
        assert!(layout.frame(&older_frame(), &MARKER).is_ok(), "a put is a put");
        let mut bytes = older_frame();
        // Kind 0 is now one that the current schema does not know.
        let (body, end) = (2, bytes.len() - 16 - CRC_BYTES);
        let kind = bytes.windows(6).position(|window| window == b"a note").unwrap() + 7;
        assert_eq!(bytes[kind], 2);
        bytes[kind] = 0;
        assert!(!layout.frame(&bytes, &MARKER).unwrap_err().foreign, "the checksum comes first");
        let crc = crc32fast::hash(&bytes[body..end]).to_le_bytes();
        bytes[end..end + CRC_BYTES].copy_from_slice(&crc);
        let fault = layout.frame(&bytes, &MARKER).unwrap_err();
        assert!(fault.foreign, "{fault:?}");
        assert!(fault.in_file("f").to_string().starts_with("f has log format 1 ("));
    }

    #[test]
    fn schemas_that_are_none_of_ours_are_refused() {
        let with = |field: &str| {
            format!(
                r#"{{"type":"record","name":"Commit","fields":[{field}{{"name":"crc","type":{{"type":"fixed","name":"C","size":4}}}}]}}"#
            )
        };
        assert!(Layout::of(&with("")).is_ok());
        for bad in [
            "{",
            r#""long""#,
            r#"{"type":"record","name":"Commit","fields":[{"name":"lsn","type":"long"}]}"#,
            &with(r#"{"name":"a","type":{"type":"array","items":"null"}},"#),
            &with(r#"{"name":"a","type":["null","Commit"]},"#),
            &with(r#"{"name":"a","type":{"type":"map","values":"long"}},"#),
        ] {
            assert!(Layout::of(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_frame_or_a_fault(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = vec![2];
            put_bytes(&mut bytes, &body);
            bytes.extend_from_slice(&MARKER);
            let _ = Layout::of(OLDER).unwrap().frame(&bytes, &MARKER);
        }
    }
}
