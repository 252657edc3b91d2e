//! Samples and labels from `.npz` and `.npy` files.

use std::borrow::Cow;
use std::io::{self, BufWriter};
use std::path::Path;

use bytes::Bytes;
use snnc_backends::format::npy::{NpyArray, NpyType};
use snnc_backends::format::npz::{Npz, NpzError};
use snnc_backends::format::{ArrayFile, read_array_file};

use crate::Error;
use crate::import::mmap;
use crate::inputs::Port;

/// Files larger than so many bytes are mapped into memory.
const MAPPED_FROM: u64 = 64 << 20;

/// Integer data for a real input is fed as `x * scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Factor.
    pub scale: f64,
    /// Added after.
    pub offset: f64,
}

impl Default for Scaling {
    /// 8-bit images to 0..=1.
    fn default() -> Self {
        Scaling { scale: 1.0 / 255.0, offset: 0.0 }
    }
}

#[derive(Clone, Debug)]
enum Elements {
    U8(Bytes),
    /// Little-endian, as the file has them: turned into reals sample by sample.
    F32(Bytes),
    Integers(Vec<i64>),
    Reals(Vec<f32>),
}

/// Samples, the first dimension counting them, and labels if the file has any.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// Labels.
    pub labels: Option<Vec<i64>>,
    elements: Elements,
    len: usize,
}

/// One sample as a network takes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// For a real input.
    Reals(Vec<f32>),
    /// For an integer input.
    Integers(Vec<i64>),
}

impl Dataset {
    /// Reads `x` and, if there is one, `y` of an `.npz`, or the array of an `.npy`; at most `limit` samples.
    ///
    /// # Errors
    /// When the file cannot be read, has no `x`, or `y` does not match it.
    pub fn load(path: &Path, limit: Option<usize>) -> Result<Dataset, Error> {
        Dataset::load_for(&[], path, limit)
    }

    /// As [`Dataset::load`], for a network with these inputs: the first is `x` or has its own name, the
    /// others have theirs, and a sample is the elements of all.
    ///
    /// # Errors
    /// When the file cannot be read, has no array for one of the inputs, or arrays do not go together.
    pub fn load_for(ports: &[Port], path: &Path, limit: Option<usize>) -> Result<Dataset, Error> {
        let place = format!("`{}`", path.display());
        let fail = |reason: String, remedy: &str| Error::input(place.clone(), reason, remedy);
        // A large file is mapped, so that only the samples at work are in memory.
        let large = std::fs::metadata(path).is_ok_and(|m| m.len() > MAPPED_FROM);
        let bytes = mmap::read(path, large)
            .map_err(|e| fail(format!("cannot be read: {e}"), "check the path"))?;
        let file = read_array_file(bytes)
            .map_err(|e| fail(e.to_string(), "save it with numpy.save or numpy.savez"))?;
        let (x, y) = match file {
            ArrayFile::Npy(_) if ports.len() > 1 => {
                let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
                let reason = format!("is one array, but the inputs are {}", names.join(", "));
                return Err(fail(reason, "save one for each with numpy.savez, under its name"));
            }
            ArrayFile::Npy(x) => (x, None),
            ArrayFile::Npz(npz) => {
                let get = |name: &str| -> Result<Option<NpyArray>, Error> {
                    let inflated = npz.inflated_len(name).map_err(|e| fail(e.to_string(), ""))?;
                    match inflated {
                        Some(len) if len > MAPPED_FROM => aside(&npz, name)
                            .map(Some)
                            .map_err(|(reason, remedy)| fail(reason, remedy)),
                        _ => npz.get(name).map_err(|e| fail(e.to_string(), "")),
                    }
                };
                let held: Vec<&str> = npz.names().collect();
                let absent = |name: &str| {
                    let reason = format!("has no array `{name}` (it has {})", held.join(", "));
                    fail(
                        reason,
                        "name the samples `x`, or each input as the model does, the labels `y`",
                    )
                };
                let mut arrays = Vec::new();
                let first = match (get("x")?, ports.first()) {
                    (Some(x), _) => x,
                    (None, Some(port)) => get(&port.name)?.ok_or_else(|| absent("x"))?,
                    (None, None) => return Err(absent("x")),
                };
                arrays.push(first);
                for port in ports.iter().skip(1) {
                    arrays.push(get(&port.name)?.ok_or_else(|| absent(&port.name))?);
                }
                let y = match ports.iter().skip(1).any(|port| port.name == "y") {
                    true => None,
                    false => get("y")?,
                };
                let x = joined(arrays, ports).map_err(|(reason, remedy)| fail(reason, remedy))?;
                (x, y)
            }
        };
        let labels = match y {
            Some(y) => {
                Some(y.to_i64().map_err(|e| fail(format!("`y`: {e}"), "labels are integers"))?)
            }
            None => None,
        };
        Dataset::new(&x, labels, limit).map_err(|reason| fail(reason, ""))
    }

    /// The samples of an array, the first dimension counting them; at most `limit` of them.
    ///
    /// # Errors
    /// Says why when `x` holds no samples, or another number than there are labels.
    pub fn new(
        x: &NpyArray,
        labels: Option<Vec<i64>>,
        limit: Option<usize>,
    ) -> Result<Dataset, String> {
        let Some((&count, shape)) = x.shape.split_first() else {
            return Err("`x` is a single number".into());
        };
        if let Some(labels) = &labels
            && labels.len() != count
        {
            return Err(format!("`x` has {count} samples, `y` {} labels", labels.len()));
        }
        if count == 0 {
            return Err("`x` has no samples".into());
        }
        let elements = match x.dtype {
            NpyType::U8 => Elements::U8(x.data.clone()),
            NpyType::F32 => {
                let whole = NpyArray::new(x.dtype, x.shape.clone(), x.data.clone());
                Elements::F32(whole.map_err(|e| e.to_string())?.data)
            }
            NpyType::F16 | NpyType::F64 => Elements::Reals(x.to_f32().map_err(|e| e.to_string())?),
            _ => Elements::Integers(x.to_i64().map_err(|e| e.to_string())?),
        };
        let len = count.min(limit.unwrap_or(count));
        let labels = labels.map(|mut l| {
            l.truncate(len);
            l
        });
        Ok(Dataset { shape: shape.to_vec(), labels, elements, len })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the elements are bytes, as images have them.
    pub fn is_bytes(&self) -> bool {
        matches!(self.elements, Elements::U8(_))
    }

    /// Whether the elements are reals.
    pub fn is_real(&self) -> bool {
        matches!(self.elements, Elements::F32(_) | Elements::Reals(_))
    }

    /// All samples as one, of one dimension more.
    pub fn as_one(self) -> Dataset {
        let shape = [&[self.len], self.shape.as_slice()].concat();
        Dataset { shape, labels: None, len: 1, ..self }
    }

    /// The samples as an input of shape `wanted` takes them: in that shape, flat, or with the
    /// channels last, which are then moved to the front.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn fitted(&self, wanted: &[usize], path: &Path) -> Result<Cow<'_, Dataset>, Error> {
        let squeezed = |s: &[usize]| s.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
        let flat = self.shape.len() == 1 && self.shape[0] == wanted.iter().product::<usize>();
        if squeezed(&self.shape) == squeezed(wanted) || flat {
            return Ok(Cow::Borrowed(self));
        }
        if let ([height, width, channels], true) = (self.shape.as_slice(), wanted.len() == 3)
            && wanted == [*channels, *height, *width]
        {
            return Ok(Cow::Owned(self.channels_first(*channels, wanted)));
        }
        let reason =
            format!("has samples of shape {:?}, but the network takes {wanted:?}", self.shape);
        Err(Error::input(format!("`{}`", path.display()), reason, "transpose or reshape `x`"))
    }

    fn channels_first(&self, channels: usize, shape: &[usize]) -> Dataset {
        fn turned<T: Copy>(values: &[T], cells: usize, channels: usize) -> Vec<T> {
            let sample = |s: &[T]| -> Vec<T> {
                (0..s.len()).map(|i| s[i % cells * channels + i / cells]).collect()
            };
            values.chunks_exact(cells * channels).flat_map(sample).collect()
        }
        let cells = shape.iter().product::<usize>() / channels;
        let elements = match &self.elements {
            Elements::U8(v) => Elements::U8(turned(v, cells, channels).into()),
            Elements::F32(v) => Elements::Reals(turned(&reals(v), cells, channels)),
            Elements::Integers(v) => Elements::Integers(turned(v, cells, channels)),
            Elements::Reals(v) => Elements::Reals(turned(v, cells, channels)),
        };
        Dataset { shape: shape.to_vec(), elements, ..self.clone() }
    }

    /// Sample `index` for a real input.
    pub fn reals(&self, index: usize, scaling: Scaling) -> Vec<f32> {
        let n: usize = self.shape.iter().product();
        let range = index * n..(index + 1) * n;
        let scaled = |x: f64| (x * scaling.scale + scaling.offset) as f32;
        match &self.elements {
            Elements::U8(b) => {
                // Of bytes there are few, of pixels many.
                let table: [f32; 256] = std::array::from_fn(|x| scaled(x as f64));
                b[range].iter().map(|&x| table[usize::from(x)]).collect()
            }
            Elements::F32(b) => reals(&b[4 * range.start..4 * range.end]),
            Elements::Integers(v) => v[range].iter().map(|&x| scaled(x as f64)).collect(),
            Elements::Reals(v) => v[range].to_vec(),
        }
    }

    /// Sample `index` for an integer input, `x * scale + offset` rounded.
    pub fn integers(&self, index: usize, scaling: Scaling) -> Vec<i64> {
        let n: usize = self.shape.iter().product();
        let range = index * n..(index + 1) * n;
        let scaled = |x: f64| (x * scaling.scale + scaling.offset).round_ties_even() as i64;
        match &self.elements {
            Elements::U8(b) => b[range].iter().map(|&x| scaled(f64::from(x))).collect(),
            Elements::F32(b) => {
                let reals = reals(&b[4 * range.start..4 * range.end]);
                reals.into_iter().map(|x| scaled(f64::from(x))).collect()
            }
            Elements::Integers(v) => v[range].iter().map(|&x| scaled(x as f64)).collect(),
            Elements::Reals(v) => v[range].iter().map(|&x| scaled(f64::from(x))).collect(),
        }
    }
}

/// The arrays of several inputs as one, whose samples have the elements of all.
///
/// # Errors
/// Reason and remedy, when they do not go together.
fn joined(mut arrays: Vec<NpyArray>, ports: &[Port]) -> Result<NpyArray, (String, &'static str)> {
    if arrays.len() == 1 {
        return Ok(arrays.remove(0));
    }
    let alone = || ("an input is a single number".to_owned(), "the first dimension counts samples");
    let mut rows = Vec::with_capacity(arrays.len());
    let count = *arrays[0].shape.first().ok_or_else(alone)?;
    let mixed = ports.iter().any(|port| port.real != ports[0].real);
    let alike = !mixed && arrays.iter().all(|array| array.dtype == arrays[0].dtype);
    let dtype = if alike { arrays[0].dtype } else { NpyType::F32 };
    for (array, port) in arrays.iter().zip(ports) {
        let (&own, shape) = array.shape.split_first().ok_or_else(alone)?;
        if own != count {
            let (name, first) = (&port.name, &ports[0].name);
            let reason = format!("has {count} samples of `{first}`, {own} of `{name}`");
            return Err((reason, "give every input as many"));
        }
        if shape.iter().product::<usize>() != port.len {
            let (name, len) = (&port.name, port.len);
            let reason =
                format!("has samples of shape {shape:?} for `{name}`, which takes {len} values");
            return Err((reason, "give every input in the model's shape"));
        }
        let data = if alike {
            let whole = NpyArray::new(array.dtype, array.shape.clone(), array.data.clone());
            whole.map_err(|e| (e.to_string(), "save it again"))?.data
        } else {
            // Whole numbers are an input's codes; what they would be as reals is not known here.
            let real = matches!(array.dtype, NpyType::F16 | NpyType::F32 | NpyType::F64);
            if !real && port.real != Some(false) {
                let (name, kind) = (&port.name, array.dtype);
                let reason = format!("has {kind} for `{name}` beside arrays of other types");
                return Err((reason, "give it as f32, or all inputs in one type"));
            }
            let values = array.to_f32().map_err(|e| (e.to_string(), "give it as f32"))?;
            values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into()
        };
        rows.push((data, port.len * dtype.size()));
    }
    let elements: usize = rows.iter().map(|(_, len)| len / dtype.size()).sum();
    let mut bytes = Vec::with_capacity(count * elements * dtype.size());
    for sample in 0..count {
        for (data, len) in &rows {
            bytes.extend_from_slice(&data[sample * len..(sample + 1) * len]);
        }
    }
    NpyArray::new(dtype, [count, elements], bytes).map_err(|e| (e.to_string(), ""))
}

/// An array that is inflated to a file without a name and mapped from there.
///
/// # Errors
/// Reason and remedy, when it is damaged or the file cannot be written.
fn aside(npz: &Npz, name: &str) -> Result<NpyArray, (String, &'static str)> {
    let unwritten = |e: io::Error| {
        let reason = format!("cannot be inflated to a temporary file: {e}");
        (reason, "free space for it, or point TMPDIR where there is some")
    };
    let damaged = |e: &dyn std::error::Error| (e.to_string(), "save it again");
    let mut file = BufWriter::new(tempfile::tempfile().map_err(unwritten)?);
    npz.inflate(name, &mut file).map_err(|e| match e {
        NpzError::Output { source, .. } => unwritten(source),
        other => damaged(&other),
    })?;
    let file = file.into_inner().map_err(|e| unwritten(e.into_error()))?;
    NpyArray::read(mmap::unnamed(file).map_err(unwritten)?).map_err(|e| damaged(&e))
}

fn reals(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

#[cfg(test)]
mod tests {
    use snnc_backends::format::npz::{Compression, NpzWriter};

    use super::*;

    #[test]
    fn every_type_of_real_is_real() {
        for dtype in [NpyType::F16, NpyType::F32, NpyType::F64, NpyType::U8, NpyType::I32] {
            let data = vec![0; 4 * dtype.size()].into();
            let x = NpyArray { dtype, shape: vec![2, 2], data };
            let real = matches!(dtype, NpyType::F16 | NpyType::F32 | NpyType::F64);
            assert_eq!(Dataset::new(&x, None, None).unwrap().is_real(), real, "{dtype}");
        }
    }

    #[test]
    fn what_is_inflated_aside_is_what_is_inflated_in_memory() {
        let values: Vec<f32> = (0..100_000).map(|i| (i % 37) as f32).collect();
        let array = NpyArray::from_f32([100, 1000], &values).unwrap();
        let mut writer = NpzWriter::new(Compression::Deflated);
        writer.add("x", &array).unwrap();
        let bytes = writer.finish().unwrap();
        let npz = Npz::open(bytes.clone()).unwrap();
        assert!(npz.inflated_len("x").unwrap().is_some_and(|len| len > 400_000));
        assert_eq!(aside(&npz, "x").unwrap(), array);
        // A byte of the data in the middle is another one.
        let mut damaged = bytes;
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let (reason, remedy) = aside(&Npz::open(damaged).unwrap(), "x").unwrap_err();
        assert!(reason.contains("member \"x\""), "{reason}");
        assert_eq!(remedy, "save it again");
    }

    #[test]
    fn samples_with_channels_last_are_turned() {
        // Two samples of 2 by 3 cells and 2 channels; channel c of cell i of sample s is 100 s + 10 c + i.
        let last: Vec<u8> = (0..24).map(|k| 100 * (k / 12) + 10 * (k % 2) + k % 12 / 2).collect();
        let x = NpyArray { dtype: NpyType::U8, shape: vec![2, 2, 3, 2], data: last.into() };
        let data = Dataset::new(&x, None, None).unwrap();
        let as_is = Scaling { scale: 1.0, offset: 0.0 };
        let turned = data.fitted(&[2, 2, 3], Path::new("x.npy")).unwrap();
        let second = [100, 101, 102, 103, 104, 105, 110, 111, 112, 113, 114, 115];
        assert_eq!(turned.integers(1, as_is), second);
        assert_eq!(turned.shape, [2, 2, 3]);
        assert!(matches!(data.fitted(&[2, 3, 2], Path::new("x.npy")), Ok(Cow::Borrowed(_))));
        assert!(data.fitted(&[3, 2, 2], Path::new("x.npy")).is_err());
    }
}
