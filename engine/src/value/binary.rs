//! The bytes of one value.
//!
//! ```text
//! value  := tag payload           tag: low half the type, high half the code of a width w (1, 2, 4, 8)
//! int    := w bytes, two's complement        uint  := 8 bytes       float := 8 bytes, IEEE 754
//! string := len:w bytes
//! array  := count:w end:w*count value*count
//! object := count:w name_end:w*count value_end:w*count name*count value*count
//! ```
//!
//! Invariants, checked by [`validate`]:
//! - An end counts from the begin of the values (or names); value `i` is exactly the bytes between two ends.
//! - Names ascend strictly in byte order; none has NUL, or more than [`NAME_BYTES_MAX`] bytes.
//! - A width is the least that holds the number (or the count and both last ends), an integer is `uint`
//!   only above `i64::MAX`, a float is finite: a value has one encoding, and equal bytes mean equality.

/// How deep values nest at most; the document itself is level 1.
pub const NESTING_MAX: usize = 128;
/// Longest name of a field, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;

const NULL: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const INT: u8 = 4;
const UINT: u8 = 5;
const FLOAT: u8 = 6;
const STRING: u8 = 7;
const ARRAY: u8 = 8;
const OBJECT: u8 = 9;

/// The code of 8 bytes; codes 0 to 3 are the binary logarithms of widths.
const WIDTH_8: u8 = 3;

/// Why bytes are not a value. Where is added by whoever knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad(pub(crate) &'static str);

/// Bytes that are not a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a document: {reason}, at byte {offset}")]
pub struct Malformed {
    /// Where the value that is wrong begins, in bytes from the document's start.
    pub offset: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A value within a document, borrowed from its bytes.
#[derive(Clone, Copy)]
pub enum ValueRef<'a> {
    /// Nothing, said explicitly.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer up to `i64::MAX`.
    Int(i64),
    /// An integer above `i64::MAX`.
    Uint(u64),
    /// A finite floating-point number.
    Float(f64),
    /// Text.
    String(&'a str),
    /// Values by position.
    Array(Array<'a>),
    /// Values by name.
    Object(Object<'a>),
}

/// An array within a document.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    ends: Ends<'a>,
    values: &'a [u8],
}

/// An object within a document; its fields ascend by name.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    name_ends: Ends<'a>,
    value_ends: Ends<'a>,
    names: &'a [u8],
    values: &'a [u8],
}

/// A table of ends. `bytes` has exactly `count * width` bytes.
#[derive(Clone, Copy)]
struct Ends<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl<'a> Ends<'a> {
    fn count(self) -> usize {
        self.bytes.len() / self.width
    }

    fn end(self, index: usize) -> usize {
        uint(&self.bytes[index * self.width..(index + 1) * self.width])
    }

    fn last(self) -> usize {
        self.count().checked_sub(1).map_or(0, |index| self.end(index))
    }

    /// The part of `body` that is element `index`; the index is within the count.
    fn slice(self, body: &'a [u8], index: usize) -> Result<&'a [u8], Bad> {
        let start = if index == 0 { 0 } else { self.end(index - 1) };
        body.get(start..self.end(index)).ok_or(Bad("the ends of a table do not ascend"))
    }
}

/// Up to 8 little-endian bytes; what does not fit `usize` is beyond the end of anything.
fn uint(bytes: &[u8]) -> usize {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    usize::try_from(u64::from_le_bytes(word)).unwrap_or(usize::MAX)
}

impl<'a> Array<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.ends.count()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<ValueRef<'a>> {
        self.try_get(index).ok().flatten()
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = ValueRef<'a>> + use<'a> {
        let array = *self;
        (0..self.len()).filter_map(move |index| array.get(index))
    }

    pub(crate) fn try_get(&self, index: usize) -> Result<Option<ValueRef<'a>>, Bad> {
        if index >= self.len() {
            return Ok(None);
        }
        read(self.ends.slice(self.values, index)?).map(Some)
    }

    pub(crate) fn try_iter(&self) -> impl Iterator<Item = Result<ValueRef<'a>, Bad>> + use<'a> {
        let array = *self;
        (0..self.len()).filter_map(move |index| array.try_get(index).transpose())
    }
}

impl<'a> Object<'a> {
    /// The object without fields.
    pub(crate) const EMPTY: Object<'static> = Object {
        name_ends: Ends { bytes: &[], width: 1 },
        value_ends: Ends { bytes: &[], width: 1 },
        names: &[],
        values: &[],
    };

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.name_ends.count()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The field of this name; dots have no meaning here.
    pub fn get(&self, name: &str) -> Option<ValueRef<'a>> {
        self.try_get(name).ok().flatten()
    }

    /// The fields in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> + use<'a> {
        self.try_iter().filter_map(Result::ok)
    }

    pub(crate) fn try_get(&self, name: &str) -> Result<Option<ValueRef<'a>>, Bad> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name_ends.slice(self.names, middle)?.cmp(name.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    return read(self.value_ends.slice(self.values, middle)?).map(Some);
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn try_iter(&self) -> impl Iterator<Item = Result<(&'a str, ValueRef<'a>), Bad>> + use<'a> {
        let object = *self;
        (0..self.len()).map(move |index| {
            let name = utf8(object.name_ends.slice(object.names, index)?)?;
            Ok((name, read(object.value_ends.slice(object.values, index)?)?))
        })
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Bad> {
    std::str::from_utf8(bytes).map_err(|_| Bad("a string is not UTF-8"))
}

/// Splits off the first `len` bytes.
fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Bad> {
    let (head, tail) = rest.split_at_checked(len).ok_or(Bad("a value goes beyond its bytes"))?;
    *rest = tail;
    Ok(head)
}

/// Reads the value that is exactly `bytes`: what is beside the path asked for is not looked at.
///
/// Total and without allocation: no byte string makes it fail otherwise than by [`Bad`].
pub(crate) fn read(bytes: &[u8]) -> Result<ValueRef<'_>, Bad> {
    let mut rest = bytes;
    let tag = take(&mut rest, 1)?[0];
    let code = tag >> 4;
    if code > WIDTH_8 {
        return Err(Bad("a width is unknown"));
    }
    let width = 1_usize << code;
    let value = match tag & 0x0f {
        NULL => ValueRef::Null,
        FALSE => ValueRef::Bool(false),
        TRUE => ValueRef::Bool(true),
        INT => ValueRef::Int(read_int(take(&mut rest, width)?)),
        UINT => ValueRef::Uint(u64::from_le_bytes(read_8(&mut rest)?)),
        FLOAT => ValueRef::Float(f64::from_le_bytes(read_8(&mut rest)?)),
        STRING => {
            let len = uint(take(&mut rest, width)?);
            ValueRef::String(utf8(take(&mut rest, len)?)?)
        }
        ARRAY => {
            let count = uint(take(&mut rest, width)?);
            let ends = read_ends(&mut rest, count, width)?;
            ValueRef::Array(Array { ends, values: take(&mut rest, ends.last())? })
        }
        OBJECT => {
            let count = uint(take(&mut rest, width)?);
            let name_ends = read_ends(&mut rest, count, width)?;
            let value_ends = read_ends(&mut rest, count, width)?;
            let names = take(&mut rest, name_ends.last())?;
            let values = take(&mut rest, value_ends.last())?;
            ValueRef::Object(Object { name_ends, value_ends, names, values })
        }
        _ => return Err(Bad("a type is unknown")),
    };
    if !rest.is_empty() {
        return Err(Bad("bytes follow a value"));
    }
    Ok(value)
}

fn read_8(rest: &mut &[u8]) -> Result<[u8; 8], Bad> {
    let mut word = [0; 8];
    word.copy_from_slice(take(rest, 8)?);
    Ok(word)
}

/// Two's complement of 1, 2, 4 or 8 bytes.
fn read_int(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut word = if negative { [0xff; 8] } else { [0; 8] };
    word[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(word)
}

fn read_ends<'a>(rest: &mut &'a [u8], count: usize, width: usize) -> Result<Ends<'a>, Bad> {
    let len = count.checked_mul(width).ok_or(Bad("a count goes beyond its bytes"))?;
    Ok(Ends { bytes: take(rest, len)?, width })
}

/// Checks a value and all within it. `offset` is where it begins, `depth` how deep it lies.
///
/// Afterwards every read within these bytes succeeds.
pub(crate) fn validate(bytes: &[u8], offset: usize, depth: usize) -> Result<(), Malformed> {
    let at = |bad: Bad| Malformed { offset, reason: bad.0 };
    if depth > NESTING_MAX {
        return Err(at(Bad("values nest deeper than 128 levels")));
    }
    let value = read(bytes).map_err(at)?;
    check_tag(bytes[0], &value).map_err(at)?;
    match value {
        ValueRef::Array(array) => {
            let start = offset + bytes.len() - array.values.len();
            validate_elements(array.ends, array.values, start, depth)
        }
        ValueRef::Object(object) => {
            check_names(&object).map_err(at)?;
            let start = offset + bytes.len() - object.values.len();
            validate_elements(object.value_ends, object.values, start, depth)
        }
        _ => Ok(()),
    }
}

fn validate_elements(ends: Ends<'_>, values: &[u8], start: usize, depth: usize) -> Result<(), Malformed> {
    let mut from = 0;
    for index in 0..ends.count() {
        let element = ends.slice(values, index);
        let element = element.map_err(|bad| Malformed { offset: start + from, reason: bad.0 })?;
        validate(element, start + from, depth + 1)?;
        from += element.len();
    }
    Ok(())
}

/// Whether the tag is the one that [`Encoder`] writes for this value.
fn check_tag(tag: u8, value: &ValueRef<'_>) -> Result<(), Bad> {
    let expected = match value {
        ValueRef::Null => NULL,
        ValueRef::Bool(false) => FALSE,
        ValueRef::Bool(true) => TRUE,
        ValueRef::Int(int) => INT | int_code(*int) << 4,
        ValueRef::Uint(uint) if i64::try_from(*uint).is_ok() => {
            return Err(Bad("an integer has the wrong type"));
        }
        ValueRef::Uint(_) => UINT | WIDTH_8 << 4,
        ValueRef::Float(float) if !float.is_finite() => return Err(Bad("a number is not finite")),
        ValueRef::Float(_) => FLOAT | WIDTH_8 << 4,
        ValueRef::String(string) => STRING | width_code(string.len())? << 4,
        ValueRef::Array(array) => ARRAY | width_code(array.len().max(array.values.len()))? << 4,
        ValueRef::Object(object) => {
            OBJECT | width_code(object.len().max(object.names.len()).max(object.values.len()))? << 4
        }
    };
    if tag == expected { Ok(()) } else { Err(Bad("a width is not the least")) }
}

fn check_names(object: &Object<'_>) -> Result<(), Bad> {
    let mut previous: Option<&str> = None;
    for index in 0..object.len() {
        let name = utf8(object.name_ends.slice(object.names, index)?)?;
        if previous.is_some_and(|previous| previous >= name) {
            return Err(Bad("the names of an object do not ascend"));
        }
        check_name(name)?;
        previous = Some(name);
    }
    Ok(())
}

/// The rule for names of fields at every depth.
pub(super) fn check_name(name: &str) -> Result<(), Bad> {
    if name.len() > NAME_BYTES_MAX {
        return Err(Bad("a name has at most 1024 bytes"));
    }
    if name.contains('\0') { Err(Bad("a name does not contain NUL")) } else { Ok(()) }
}

/// The code of the least width that holds `number`: 1, 2 or 4 bytes.
fn width_code(number: usize) -> Result<u8, Bad> {
    match number {
        0..=0xff => Ok(0),
        0x100..=0xffff => Ok(1),
        0x1_0000..=0xffff_ffff => Ok(2),
        _ => Err(Bad("a value is larger than 4 GiB")),
    }
}

fn int_code(int: i64) -> u8 {
    if i8::try_from(int).is_ok() {
        0
    } else if i16::try_from(int).is_ok() {
        1
    } else if i32::try_from(int).is_ok() {
        2
    } else {
        WIDTH_8
    }
}

pub(crate) fn write_null(out: &mut Vec<u8>) {
    out.push(NULL);
}

pub(crate) fn write_bool(out: &mut Vec<u8>, bool: bool) {
    out.push(if bool { TRUE } else { FALSE });
}

pub(crate) fn write_int(out: &mut Vec<u8>, int: i64) {
    let code = int_code(int);
    out.push(INT | code << 4);
    out.extend_from_slice(&int.to_le_bytes()[..1 << code]);
}

/// `uint` is written as [`INT`] where that holds it.
pub(crate) fn write_uint(out: &mut Vec<u8>, uint: u64) {
    if let Ok(int) = i64::try_from(uint) {
        return write_int(out, int);
    }
    out.push(UINT | WIDTH_8 << 4);
    out.extend_from_slice(&uint.to_le_bytes());
}

/// `float` is finite.
pub(crate) fn write_float(out: &mut Vec<u8>, float: f64) {
    debug_assert!(float.is_finite());
    out.push(FLOAT | WIDTH_8 << 4);
    out.extend_from_slice(&float.to_le_bytes());
}

pub(crate) fn write_string(out: &mut Vec<u8>, string: &str) -> Result<(), Bad> {
    let code = width_code(string.len())?;
    out.push(STRING | code << 4);
    write_len(out, string.len(), code);
    out.extend_from_slice(string.as_bytes());
    Ok(())
}

fn write_len(out: &mut Vec<u8>, len: usize, code: u8) {
    out.extend_from_slice(&(len as u64).to_le_bytes()[..1 << code]);
}

/// Elements of an array, or fields of an object in ascending order, on their way into a value.
#[derive(Default)]
pub(crate) struct Elements {
    names: Vec<u8>,
    name_ends: Vec<usize>,
    /// The elements' values, each written by one of the `write_*` functions and closed by [`Elements::end`].
    pub(crate) values: Vec<u8>,
    value_ends: Vec<usize>,
}

impl Elements {
    /// The value just written to `values` is an element.
    pub(crate) fn end(&mut self) {
        self.value_ends.push(self.values.len());
    }

    /// The value just written to `values` is the field `name`, greater than the names before it.
    pub(crate) fn end_field(&mut self, name: &str) {
        self.names.extend_from_slice(name.as_bytes());
        self.name_ends.push(self.names.len());
        self.end();
    }

    pub(crate) fn write_array(&self, out: &mut Vec<u8>) -> Result<(), Bad> {
        let code = width_code(self.value_ends.len().max(self.values.len()))?;
        out.push(ARRAY | code << 4);
        write_len(out, self.value_ends.len(), code);
        self.value_ends.iter().for_each(|end| write_len(out, *end, code));
        out.extend_from_slice(&self.values);
        Ok(())
    }

    pub(crate) fn write_object(&self, out: &mut Vec<u8>) -> Result<(), Bad> {
        debug_assert_eq!(self.name_ends.len(), self.value_ends.len());
        let code = width_code(self.name_ends.len().max(self.names.len()).max(self.values.len()))?;
        out.push(OBJECT | code << 4);
        write_len(out, self.name_ends.len(), code);
        self.name_ends.iter().chain(&self.value_ends).for_each(|end| write_len(out, *end, code));
        out.extend_from_slice(&self.names);
        out.extend_from_slice(&self.values);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_the_least_width() {
        for (int, bytes) in [
            (0, &[0x04, 0][..]),
            (-1, &[0x04, 0xff]),
            (128, &[0x14, 128, 0]),
            (-129, &[0x14, 0x7f, 0xff]),
            (65_536, &[0x24, 0, 0, 1, 0]),
            (i64::MAX, &[0x34, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = Vec::new();
            write_int(&mut out, int);
            assert_eq!(out, bytes);
            assert_eq!(read(&out).unwrap().as_i64(), Some(int));
        }
    }

    #[test]
    fn other_encodings_of_a_value_are_malformed() {
        let wide_int = [0x14, 1, 0];
        let small_uint = [0x35, 1, 0, 0, 0, 0, 0, 0, 0];
        let nan = [&[0x36][..], &f64::NAN.to_le_bytes()].concat();
        let null_with_width = [0x11];
        let descending = [0x09, 2, 1, 2, 1, 2, b'b', b'a', NULL, NULL];
        let twice = [0x09, 2, 1, 2, 1, 2, b'a', b'a', NULL, NULL];
        for bytes in [&wide_int[..], &small_uint, &nan, &null_with_width, &descending, &twice] {
            assert!(validate(bytes, 0, 1).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_fault_deep_inside_is_reported_where_it_is() {
        let inner = [0x08, 1, 1, 0x0f];
        let outer = [&[0x08, 2, 1, 5, NULL][..], &inner].concat();
        assert_eq!(validate(&outer, 10, 1), Err(Malformed { offset: 18, reason: "a type is unknown" }));
    }

    #[test]
    fn zero_is_not_a_value() {
        assert!(read(&[0]).is_err());
        assert!(read(&[]).is_err());
    }
}
