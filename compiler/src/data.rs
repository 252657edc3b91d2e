//! Samples and labels from `.npz` and `.npy` files.

use std::borrow::Cow;
use std::io::{self, BufWriter};
use std::path::Path;

use bytes::Bytes;
use rayon::prelude::*;
use snnc_backends::format::npy::{NpyArray, NpyError, NpyType};
use snnc_backends::format::npz::{Npz, NpzError};
use snnc_backends::format::{ArrayFile, read_array_file};

use crate::Error;
use crate::inputs::Port;
use crate::mmap;

/// Arrays of more bytes than this are mapped into memory, from an unnamed copy.
const MAPPED_FROM: u64 = 64 << 20;

/// Integer data for a real input is fed as `x * scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Factor.
    pub scale: f64,
    /// Added after.
    pub offset: f64,
}

impl Scaling {
    /// Numbers stay as they are.
    pub const AS_IS: Scaling = Scaling { scale: 1.0, offset: 0.0 };
}

impl Default for Scaling {
    /// 8-bit images to 0..=1.
    fn default() -> Self {
        Scaling { scale: 1.0 / 255.0, offset: 0.0 }
    }
}

/// Samples, the first dimension counting them, and labels if the file has any.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// Labels.
    pub labels: Option<Vec<i64>>,
    dtype: NpyType,
    /// The elements as the file has them: turned into numbers sample by sample.
    bytes: Bytes,
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
        // A large file is copied aside, so that only the samples at work are in memory, and whoever
        // writes to the file meanwhile changes nothing.
        let large = std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() > MAPPED_FROM);
        let bytes = mmap::copy(path, large).map_err(|e| match e {
            mmap::CopyError::Read(e) => fail(format!("cannot be read: {e}"), "check the path"),
            mmap::CopyError::Aside(e) => {
                let (reason, remedy) = not_aside(&e);
                fail(reason, remedy)
            }
        })?;
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
        Dataset::new(&x, labels, limit).map_err(|(reason, remedy)| fail(reason, remedy))
    }

    /// The samples of an array, the first dimension counting them; at most `limit` of them.
    ///
    /// # Errors
    /// Reason and remedy when `x` holds no samples, another number than there are labels, or in one of
    /// the samples NaN, an infinity or a number beyond single precision (of reals) or 64 bits.
    pub fn new(
        x: &NpyArray,
        labels: Option<Vec<i64>>,
        limit: Option<usize>,
    ) -> Result<Dataset, (String, &'static str)> {
        let Some((&count, shape)) = x.shape.split_first() else {
            return Err(("`x` is a single number".into(), "the first dimension counts samples"));
        };
        if let Some(labels) = &labels
            && labels.len() != count
        {
            let reason = format!("`x` has {count} samples, `y` {} labels", labels.len());
            return Err((reason, "give one label to each sample"));
        }
        if count == 0 {
            return Err(("`x` has no samples".into(), "give at least one"));
        }
        let whole = NpyArray::new(x.dtype, x.shape.clone(), x.data.clone());
        let bytes = whole.map_err(|e| (e.to_string(), "save it again"))?.data;
        let len = count.min(limit.unwrap_or(count));
        let labels = labels.map(|mut l| {
            l.truncate(len);
            l
        });
        let data = Dataset { shape: shape.to_vec(), labels, dtype: x.dtype, bytes, len };
        let flaw = match len {
            // One sample is not worth the way to another thread.
            1 => data.flaw(0),
            _ => (0..len).into_par_iter().find_map_first(|index| data.flaw(index)),
        };
        match flaw {
            None => Ok(data),
            Some(reason) => Err((reason, "replace that number, or leave the sample out")),
        }
    }

    /// What is wrong with the numbers of one sample.
    fn flaw(&self, index: usize) -> Option<String> {
        let not_finite = |values: &[f32]| {
            let at = values.iter().position(|v| !v.is_finite())?;
            Some(format!("sample {index} of `x` has {} at element {at}", values[at]))
        };
        let refused = |e: NpyError| Some(format!("sample {index} of `x`: {e}"));
        match self.dtype {
            NpyType::F32 => {
                let (elements, _) = self.slice(index).as_chunks::<4>();
                let finite = |b: &[u8; 4]| f32::from_le_bytes(*b).is_finite();
                // Of the usual sample nothing is copied.
                if elements.iter().all(finite) { None } else { not_finite(&self.floats(index)) }
            }
            NpyType::F16 | NpyType::F64 => match self.array(index).to_f32() {
                Ok(values) => not_finite(&values),
                Err(e) => refused(e),
            },
            NpyType::U64 => self.array(index).to_i64().err().and_then(refused),
            _ => None,
        }
    }

    /// The bytes of one sample.
    fn slice(&self, index: usize) -> &[u8] {
        let n = self.shape.iter().product::<usize>() * self.dtype.size();
        &self.bytes[index * n..(index + 1) * n]
    }

    fn array(&self, index: usize) -> NpyArray {
        let data = self.bytes.slice_ref(self.slice(index));
        NpyArray { dtype: self.dtype, shape: self.shape.clone(), data }
    }

    /// One sample of reals.
    fn floats(&self, index: usize) -> Vec<f32> {
        match self.dtype {
            NpyType::F32 => {
                let (elements, _) = self.slice(index).as_chunks::<4>();
                elements.iter().map(|&b| f32::from_le_bytes(b)).collect()
            }
            // That all can be converted was seen when the data was read.
            _ => self.array(index).to_f32().unwrap_or_default(),
        }
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
        self.dtype == NpyType::U8
    }

    /// Whether the elements are reals.
    pub fn is_real(&self) -> bool {
        matches!(self.dtype, NpyType::F16 | NpyType::F32 | NpyType::F64)
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
        let (cells, size) = (shape.iter().product::<usize>() / channels.max(1), self.dtype.size());
        let mut bytes = Vec::with_capacity(self.len * cells * channels * size);
        for sample in (0..self.len).map(|index| self.slice(index)) {
            for i in 0..cells * channels {
                let from = (i % cells * channels + i / cells) * size;
                bytes.extend_from_slice(&sample[from..from + size]);
            }
        }
        Dataset { shape: shape.to_vec(), bytes: bytes.into(), ..self.clone() }
    }

    /// Sample `index` for a real input: integers are scaled, reals are taken as they are.
    pub fn reals(&self, index: usize, scaling: Scaling) -> Vec<f32> {
        let scaled = |x: f64| (x * scaling.scale + scaling.offset) as f32;
        match self.dtype {
            NpyType::U8 => {
                // Of bytes there are few, of pixels many.
                let table: [f32; 256] = std::array::from_fn(|x| scaled(x as f64));
                self.slice(index).iter().map(|&x| table[usize::from(x)]).collect()
            }
            _ if self.is_real() => self.floats(index),
            _ => self.whole(index).into_iter().map(|x| scaled(x as f64)).collect(),
        }
    }

    /// One sample of integers.
    fn whole(&self, index: usize) -> Vec<i64> {
        // That all can be converted was seen when the data was read.
        self.array(index).to_i64().unwrap_or_default()
    }

    /// Sample `index` for an integer input, `x * scale + offset` rounded.
    pub fn integers(&self, index: usize, scaling: Scaling) -> Vec<i64> {
        let scaled = |x: f64| (x * scaling.scale + scaling.offset).round_ties_even() as i64;
        match self.dtype {
            NpyType::U8 => self.slice(index).iter().map(|&x| scaled(f64::from(x))).collect(),
            _ if self.is_real() => {
                self.floats(index).into_iter().map(|x| scaled(f64::from(x))).collect()
            }
            // Whole numbers beyond 2^53 stay what they are.
            _ if scaling == Scaling::AS_IS => self.whole(index),
            _ => self.whole(index).into_iter().map(|x| scaled(x as f64)).collect(),
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
                let reason = format!("has {kind} for `{name}` next to arrays of other types");
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

/// Reason and remedy where a copy aside cannot be written.
fn not_aside(e: &io::Error) -> (String, &'static str) {
    let reason = format!("cannot be copied to a temporary file: {e}");
    (reason, "free space for it, or point TMPDIR where there is some")
}

/// An array that is inflated to a file without a name and mapped from there.
///
/// # Errors
/// Reason and remedy, when it is damaged or the file cannot be written.
fn aside(npz: &Npz, name: &str) -> Result<NpyArray, (String, &'static str)> {
    let unwritten = |e: io::Error| not_aside(&e);
    let damaged = |e: &dyn std::error::Error| (e.to_string(), "save it again");
    let mut file = BufWriter::new(tempfile::tempfile().map_err(unwritten)?);
    npz.inflate(name, &mut file).map_err(|e| match e {
        NpzError::Output { source, .. } => unwritten(source),
        other => damaged(&other),
    })?;
    let file = file.into_inner().map_err(|e| unwritten(e.into_error()))?;
    NpyArray::read(mmap::unnamed(file).map_err(unwritten)?).map_err(|e| damaged(&e))
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
    fn what_is_no_number_is_refused_with_its_sample() {
        let array = |values: &[f32]| NpyArray::from_f32([3, 2], values).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = array(&[0.0, 1.0, 2.0, bad, 4.0, 5.0]);
            let (reason, _) = Dataset::new(&x, None, None).unwrap_err();
            assert!(reason.starts_with("sample 1 of `x` has ") && reason.ends_with("element 1"));
            // What is left out by the limit is not looked at.
            assert!(Dataset::new(&x, None, Some(1)).is_ok());
        }
        let halves = |x: u16| [[0; 2], [0; 2], x.to_le_bytes(), [0; 2]].concat().into();
        let x = |dtype, data| NpyArray { dtype, shape: vec![2, 2], data };
        for half in [0x7c00, 0xfc00, 0x7e00] {
            assert!(Dataset::new(&x(NpyType::F16, halves(half)), None, None).is_err(), "{half:x}");
        }
        let doubles = |v: f64| [0.0, 0.0, v, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        for double in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(Dataset::new(&x(NpyType::F64, doubles(double)), None, None).is_err());
        }
        let words = |v: u64| [0, 0, v, 0].iter().flat_map(|v: &u64| v.to_le_bytes()).collect();
        assert!(Dataset::new(&x(NpyType::U64, words(u64::MAX)), None, None).is_err());
        let largest = Dataset::new(&x(NpyType::U64, words(i64::MAX as u64)), None, None).unwrap();
        assert_eq!(largest.integers(1, Scaling::AS_IS), [i64::MAX, 0]);
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
