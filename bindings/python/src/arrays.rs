//! NumPy arrays in and out, without copies.
#![expect(unsafe_code, reason = "the elements of an array are read where NumPy has them")]

use bytes::Bytes;
use numpy::{IntoPyArray, PyArrayDescr};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods, ToPyArray};
use pyo3::prelude::*;
use snnc::Error;
use snnc::data::Dataset;
use snnc_backends::format::npy::{NpyArray, NpyType};

/// The elements of an array that lives as long as they are used.
struct Elements {
    _array: Py<PyUntypedArray>,
    data: *const u8,
    len: usize,
}

// SAFETY: the memory belongs to the array, which is held; it is only read.
unsafe impl Send for Elements {}
// SAFETY: as above.
unsafe impl Sync for Elements {}

impl AsRef<[u8]> for Elements {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: a contiguous array that is held has `len` bytes from `data` on. Whoever writes into it
        // meanwhile gets answers to a mixture, as with every function of NumPy that releases the lock.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

fn element(dtype: &Bound<'_, PyArrayDescr>) -> Option<NpyType> {
    Some(match (dtype.kind(), dtype.itemsize()) {
        (b'b', 1) => NpyType::Bool,
        (b'u', 1) => NpyType::U8,
        (b'u', 2) => NpyType::U16,
        (b'u', 4) => NpyType::U32,
        (b'u', 8) => NpyType::U64,
        (b'i', 1) => NpyType::I8,
        (b'i', 2) => NpyType::I16,
        (b'i', 4) => NpyType::I32,
        (b'i', 8) => NpyType::I64,
        (b'f', 2) => NpyType::F16,
        (b'f', 4) => NpyType::F32,
        (b'f', 8) => NpyType::F64,
        _ => return None,
    })
}

/// The samples of a contiguous array in the machine's byte order, whose first dimension counts them; the
/// package makes arrays so.
pub(crate) fn dataset(
    x: &Bound<'_, PyUntypedArray>,
    labels: Option<Vec<i64>>,
) -> Result<Dataset, Error> {
    let refused = |reason: String, help: &str| Error::input("`x`", reason, help);
    let dtype = x.dtype();
    let Some(kind) = element(&dtype) else {
        let reason = format!("has elements of type {dtype}");
        return Err(refused(reason, "give it as float32, or as whole numbers"));
    };
    if !x.is_c_contiguous() || !dtype.is_native_byteorder().unwrap_or(true) {
        return Err(Error::internal("`x`", "is not laid out in order"));
    }
    let len = x.len() * dtype.itemsize();
    // SAFETY: the pointer is that of a live array.
    let data = unsafe { (*x.as_array_ptr()).fields.data.cast::<u8>().cast_const() };
    let elements = Elements { _array: x.clone().unbind(), data, len };
    let array = NpyArray::new(kind, x.shape().to_vec(), Bytes::from_owner(elements));
    let array = array.map_err(|e| refused(e.to_string(), "reshape it"))?;
    Dataset::new(&array, labels, None).map_err(|(reason, help)| refused(reason, help))
}

/// Name, bytes, type and shape of an array: NumPy makes a view of the bytes of that type and shape.
pub(crate) type Raw<'py> = (String, Bound<'py, PyAny>, &'static str, Vec<usize>);

/// An array with its name for Python.
pub(crate) fn raw(py: Python<'_>, (name, array): (String, NpyArray)) -> Raw<'_> {
    let NpyArray { dtype, shape, data } = array;
    // Elements that nobody else holds are not copied.
    let bytes = match data.try_into_mut() {
        Ok(own) => Vec::from(own).into_pyarray(py).into_any(),
        Err(shared) => shared.to_pyarray(py).into_any(),
    };
    (name, bytes, code(dtype), shape)
}

/// The type as NumPy spells it.
fn code(dtype: NpyType) -> &'static str {
    match dtype {
        NpyType::Bool => "?",
        NpyType::U8 => "u1",
        NpyType::I8 => "i1",
        NpyType::U16 => "u2",
        NpyType::I16 => "i2",
        NpyType::U32 => "u4",
        NpyType::I32 => "i4",
        NpyType::U64 => "u8",
        NpyType::I64 => "i8",
        NpyType::F16 => "f2",
        NpyType::F32 => "f4",
        NpyType::F64 => "f8",
    }
}
