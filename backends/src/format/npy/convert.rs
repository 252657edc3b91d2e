//! Typed access to the elements, and the reordering of foreign layouts.

use super::{NpyArray, NpyError, NpyType};

impl NpyArray {
    /// The elements as `i64`, in C order.
    ///
    /// # Errors
    /// [`NpyError::NotRepresentable`] for a fraction, an infinity, a NaN, or a value beyond 64
    /// bits; [`NpyError::LengthMismatch`] when the fields of `self` contradict each other.
    pub fn to_i64(&self) -> Result<Vec<i64>, NpyError> {
        self.convert("i64", |number| i64::try_from(number.integer()?).ok())
    }

    /// The elements as `u8`, in C order.
    ///
    /// # Errors
    /// [`NpyError::NotRepresentable`] for anything but a whole number from 0 to 255;
    /// [`NpyError::LengthMismatch`] when the fields of `self` contradict each other.
    pub fn to_u8(&self) -> Result<Vec<u8>, NpyError> {
        self.convert("u8", |number| u8::try_from(number.integer()?).ok())
    }

    /// The elements as `f32`, in C order. An `f64` is rounded to the nearest `f32`.
    ///
    /// # Errors
    /// [`NpyError::NotRepresentable`] for an integer that `f32` does not hold exactly (some beyond
    /// 2^24 are not) and for a finite `f64` beyond the range of `f32`;
    /// [`NpyError::LengthMismatch`] when the fields of `self` contradict each other.
    pub fn to_f32(&self) -> Result<Vec<f32>, NpyError> {
        self.convert("f32", Number::to_f32)
    }

    fn convert<T>(
        &self,
        to: &'static str,
        convert: impl Fn(Number) -> Option<T>,
    ) -> Result<Vec<T>, NpyError> {
        use Number::{Float, Integer};
        self.check()?;
        match self.dtype {
            NpyType::Bool => self.map(to, convert, |[b]| Integer(i128::from(b != 0))),
            NpyType::U8 => self.map(to, convert, |[b]| Integer(i128::from(b))),
            NpyType::I8 => self.map(to, convert, |b| Integer(i8::from_le_bytes(b).into())),
            NpyType::U16 => self.map(to, convert, |b| Integer(u16::from_le_bytes(b).into())),
            NpyType::I16 => self.map(to, convert, |b| Integer(i16::from_le_bytes(b).into())),
            NpyType::U32 => self.map(to, convert, |b| Integer(u32::from_le_bytes(b).into())),
            NpyType::I32 => self.map(to, convert, |b| Integer(i32::from_le_bytes(b).into())),
            NpyType::U64 => self.map(to, convert, |b| Integer(u64::from_le_bytes(b).into())),
            NpyType::I64 => self.map(to, convert, |b| Integer(i64::from_le_bytes(b).into())),
            NpyType::F16 => {
                self.map(to, convert, |b| Float(f16_to_f32(u16::from_le_bytes(b)).into()))
            }
            NpyType::F32 => self.map(to, convert, |b| Float(f32::from_le_bytes(b).into())),
            NpyType::F64 => self.map(to, convert, |b| Float(f64::from_le_bytes(b))),
        }
    }

    fn map<const N: usize, T>(
        &self,
        to: &'static str,
        convert: impl Fn(Number) -> Option<T>,
        decode: impl Fn([u8; N]) -> Number,
    ) -> Result<Vec<T>, NpyError> {
        let (elements, _) = self.data.as_chunks::<N>();
        let mut out = Vec::with_capacity(elements.len());
        for (index, &element) in elements.iter().enumerate() {
            let number = decode(element);
            let value = convert(number).ok_or_else(|| NpyError::NotRepresentable {
                index,
                value: number.text(),
                from: self.dtype,
                to,
            })?;
            out.push(value);
        }
        Ok(out)
    }
}

/// An element of any type, without loss.
#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn integer(self) -> Option<i128> {
        match self {
            Self::Integer(value) => Some(value),
            // The cast saturates, so it is exact only where a round trip says so; the bound keeps
            // out 2^127 and above, where a saturated value would round back to itself.
            Self::Float(value) => {
                (value.fract() == 0.0 && value.abs() < 1e30).then_some(value as i128)
            }
        }
    }

    fn to_f32(self) -> Option<f32> {
        match self {
            Self::Integer(value) => {
                let rounded = value as f32;
                (rounded as i128 == value).then_some(rounded)
            }
            Self::Float(value) => {
                let rounded = value as f32;
                (rounded.is_finite() || !value.is_finite()).then_some(rounded)
            }
        }
    }

    fn text(self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
        }
    }
}

/// Exact: every binary16 is a binary32.
fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let mantissa = u32::from(bits & 0x3ff);
    match exponent {
        0 => {
            let magnitude = mantissa as f32 / (1 << 24) as f32;
            f32::from_bits(magnitude.to_bits() | sign)
        }
        0x1f => f32::from_bits(sign | 0x7f80_0000 | mantissa << 13),
        _ => f32::from_bits(sign | (exponent + (127 - 15)) << 23 | mantissa << 13),
    }
}

/// Reverses the bytes of every element of `size` bytes.
pub(super) fn swap_bytes(data: &mut [u8], size: usize) {
    for element in data.chunks_exact_mut(size) {
        element.reverse();
    }
}

/// Copies elements of `size` bytes from Fortran order (first dimension fastest) to C order.
///
/// `data` must be as long as `shape` asks for.
pub(super) fn fortran_to_c(data: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let strides: Vec<usize> = shape
        .iter()
        .scan(size, |next, &dim| {
            let stride = *next;
            *next *= dim;
            Some(stride)
        })
        .collect();
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for _ in 0..data.len() / size {
        out.extend_from_slice(&data[at..at + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out
}
