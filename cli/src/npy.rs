//! Reading matrices of floats from `.npy` files (format 1 and 2, little-endian f2, f4 and f8, C order).

use half::f16;

/// A matrix of floats.
#[derive(Debug, PartialEq)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// One row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// Decodes a whole file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let body = bytes.strip_prefix(b"\x93NUMPY").ok_or("it does not begin with the magic of .npy")?;
        let (version, rest) = body.split_first_chunk::<2>().ok_or("it ends in its header")?;
        let (length, rest) = match version[0] {
            1 => {
                rest.split_first_chunk::<2>().map(|(len, rest)| (usize::from(u16::from_le_bytes(*len)), rest))
            }
            2 => rest.split_first_chunk::<4>().map(|(len, rest)| (u32::from_le_bytes(*len) as usize, rest)),
            other => return Err(format!("it has format version {other}; versions 1 and 2 are read")),
        }
        .ok_or("it ends in its header")?;
        let header = rest.get(..length).ok_or("it ends in its header")?;
        let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
        if field(header, "fortran_order") != Some("False") {
            return Err("it is not in C order; save it with numpy.ascontiguousarray".to_owned());
        }
        let (rows, columns) = shape(header).ok_or("its shape is not that of a matrix")?;
        let kind = field(header, "descr").unwrap_or_default().trim_matches('\'').to_owned();
        let values = decode_values(&kind, &rest[length..])?;
        if rows.checked_mul(columns) != Some(values.len()) {
            return Err(format!("it holds {} numbers, its shape is {rows} × {columns}", values.len()));
        }
        Ok(Self { rows, columns, values })
    }
}

fn decode_values(kind: &str, data: &[u8]) -> Result<Vec<f32>, String> {
    match kind {
        "<f2" => {
            Ok(data.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect())
        }
        "<f4" => Ok(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        "<f8" => Ok(data.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()),
        other => Err(format!("its numbers are of type {other:?}; little-endian f2, f4 and f8 are read")),
    }
}

/// The value of a field of the header, which is written as a Python dictionary.
fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let rest = header.split_once(&format!("'{name}':"))?.1.trim_start();
    Some(rest.split([',', '}']).next()?.trim())
}

fn shape(header: &str) -> Option<(usize, usize)> {
    let inside = header.split_once("'shape':")?.1.split_once('(')?.1.split_once(')')?.0;
    let sizes: Vec<_> = inside.split(',').map(str::trim).filter(|size| !size.is_empty()).collect();
    match sizes[..] {
        [rows, columns] => Some((rows.parse().ok()?, columns.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend_from_slice(&(header.len() as u16).to_le_bytes());
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(data);
        file
    }

    #[test]
    fn matrices_are_read_and_others_refused_by_name() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }\n";
        let data: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let matrix = Matrix::decode(&file(header, &data)).unwrap();
        assert_eq!((matrix.rows, matrix.columns, matrix.row(1)), (2, 1, &[-2.0f32][..]));
        for (bad, reason) in [
            (b"PK\x03\x04".to_vec(), "magic"),
            (file(header, &data[..4]), "shape is 2 × 1"),
            (file(&header.replace("<f4", "<i4"), &data), "type"),
            (file(&header.replace("False", "True"), &data), "C order"),
            (file(&header.replace("(2, 1)", "(2,)"), &data), "matrix"),
            (file(header, &data)[..9].to_vec(), "header"),
        ] {
            let error = Matrix::decode(&bad).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
