//! Arrays whose bytes may be borrowed from a mapped file.

use std::ops::Range;

use bytes::Bytes;

use crate::{DType, TensorType};

/// Why bytes are not a tensor, or a tensor not the numbers asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The product of the dimensions, or its size in bytes, does not fit in memory.
    #[error("shape {0:?} has too many elements")]
    TooLarge(Vec<usize>),
    /// The bytes are fewer or more than the shape takes.
    #[error("{dtype}{shape:?} takes {expected} bytes, but {found} are given")]
    Length {
        /// Element type.
        dtype: DType,
        /// Shape asked for.
        shape: Vec<usize>,
        /// Bytes that dtype and shape take.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// Integers were asked of a real tensor.
    #[error("a {0} tensor holds no integers")]
    NotInteger(DType),
}

/// A constant array: element type, shape, and little-endian bytes in C order.
///
/// The bytes are reference counted, so that weights can stay in a memory-mapped file; types
/// narrower than a byte stay packed as ONNX packs them.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Bytes,
}

impl Tensor {
    /// A tensor over existing bytes.
    ///
    /// # Errors
    /// When the number of bytes is not what dtype and shape take.
    pub fn new(dtype: DType, shape: Vec<usize>, bytes: Bytes) -> Result<Self, TensorError> {
        let expected = shape
            .iter()
            .try_fold(1usize, |product, &d| product.checked_mul(d))
            .and_then(|elements| dtype.byte_len(elements))
            .ok_or_else(|| TensorError::TooLarge(shape.clone()))?;
        if expected != bytes.len() {
            return Err(TensorError::Length { dtype, shape, expected, found: bytes.len() });
        }
        Ok(Tensor { dtype, shape, bytes })
    }

    /// A tensor of reals; `shape` must have `values.len()` elements.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let mut bytes = vec![0; 4 * values.len()];
        for (bytes, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
            *bytes = value.to_le_bytes();
        }
        Tensor { dtype: DType::F32, shape: shape.to_vec(), bytes: bytes.into() }
    }

    /// A tensor of integers stored in `dtype`, which must be a whole-byte integer type that holds
    /// every value; `shape` must have `values.len()` elements.
    pub fn from_i64(dtype: DType, shape: &[usize], values: &[i64]) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let width = dtype.bits() / 8;
        debug_assert!(width > 0 && !dtype.is_float());
        let mut bytes = Vec::with_capacity(values.len() * width);
        for v in values {
            bytes.extend_from_slice(&v.to_le_bytes()[..width]);
        }
        Tensor { dtype, shape: shape.to_vec(), bytes: bytes.into() }
    }

    /// A tensor of integers in the narrowest signed type that holds them.
    pub fn from_integers(shape: &[usize], values: &[i64]) -> Self {
        let low = values.iter().copied().min().unwrap_or(0);
        let high = values.iter().copied().max().unwrap_or(0);
        Tensor::from_i64(DType::narrowest_signed(low, high), shape, values)
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, little-endian, C order.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The type of this tensor, without quantisation.
    pub fn tensor_type(&self) -> TensorType {
        TensorType::new(self.dtype, self.shape.clone())
    }

    /// The same elements in another shape of as many elements.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshaped(&self, shape: Vec<usize>) -> Result<Self, TensorError> {
        Tensor::new(self.dtype, shape, self.bytes.clone())
    }

    /// Every element as an integer.
    ///
    /// # Errors
    /// When the elements are reals. `U64` above the range of `i64` wraps.
    pub fn to_i64(&self) -> Result<Vec<i64>, TensorError> {
        self.part_to_i64(0..self.len())
    }

    /// The elements of a range as integers, in C order; what lies beyond the last is left out.
    ///
    /// # Errors
    /// As [`Tensor::to_i64`].
    pub fn part_to_i64(&self, range: Range<usize>) -> Result<Vec<i64>, TensorError> {
        let end = range.end.min(self.len());
        let range = range.start.min(end)..end;
        let b = &self.bytes;
        let narrow = |bits: usize, signed: bool| {
            let per_byte = 8 / bits;
            range
                .clone()
                .map(|i| {
                    let raw = (b[i / per_byte] >> (bits * (i % per_byte))) & ((1 << bits) - 1);
                    let shift = 8 - bits as u32;
                    if signed { i64::from(((raw << shift) as i8) >> shift) } else { i64::from(raw) }
                })
                .collect()
        };
        macro_rules! whole {
            ($t:ty) => {
                b[range.start * size_of::<$t>()..range.end * size_of::<$t>()]
                    .chunks_exact(size_of::<$t>())
                    .map(|c| <$t>::from_le_bytes(c.try_into().unwrap_or_default()) as i64)
                    .collect()
            };
        }
        Ok(match self.dtype {
            DType::U2 => narrow(2, false),
            DType::I2 => narrow(2, true),
            DType::U4 => narrow(4, false),
            DType::I4 => narrow(4, true),
            DType::Bool | DType::U8 => whole!(u8),
            DType::I8 => whole!(i8),
            DType::U16 => whole!(u16),
            DType::I16 => whole!(i16),
            DType::U32 => whole!(u32),
            DType::I32 => whole!(i32),
            DType::U64 => whole!(u64),
            DType::I64 => whole!(i64),
            other => return Err(TensorError::NotInteger(other)),
        })
    }

    /// Every element as an f32; integers are converted, wider reals rounded to nearest.
    pub fn to_f32(&self) -> Vec<f32> {
        let b = &self.bytes;
        match self.dtype {
            DType::F32 => b.as_chunks::<4>().0.iter().map(|&c| f32::from_le_bytes(c)).collect(),
            DType::F64 => b
                .chunks_exact(8)
                .map(|c| f64::from_le_bytes(c.try_into().unwrap_or_default()) as f32)
                .collect(),
            DType::F16 => {
                b.chunks_exact(2).map(|c| half_to_f32(u16::from_le_bytes([c[0], c[1]]))).collect()
            }
            DType::Bf16 => b
                .chunks_exact(2)
                .map(|c| f32::from_bits(u32::from_le_bytes([0, 0, c[0], c[1]])))
                .collect(),
            _ => self.to_i64().unwrap_or_default().into_iter().map(|v| v as f32).collect(),
        }
    }
}

/// IEEE 754 binary16 to binary32, exact.
fn half_to_f32(h: u16) -> f32 {
    let sign = u32::from(h >> 15) << 31;
    let exponent = u32::from((h >> 10) & 0x1f);
    let fraction = u32::from(h & 0x3ff);
    match (exponent, fraction) {
        (0, f) => f32::from_bits(sign | 0x3f80_0000) * (f as f32 * 2f32.powi(-24)),
        (31, f) => f32::from_bits(sign | 0x7f80_0000 | (f << 13)),
        (e, f) => f32::from_bits(sign | ((e + 112) << 23) | (f << 13)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_types_unpack_low_part_first() {
        let four = Tensor::new(DType::I4, vec![3], Bytes::from_static(&[0x8f, 0x07])).unwrap();
        assert_eq!(four.to_i64().unwrap(), [-1, -8, 7]);
        let two =
            Tensor::new(DType::U2, vec![5], Bytes::from_static(&[0b11_10_01_00, 0b10])).unwrap();
        assert_eq!(two.to_i64().unwrap(), [0, 1, 2, 3, 2]);
    }

    #[test]
    fn a_part_is_that_of_the_whole() {
        let tensors = [
            Tensor::new(DType::I4, vec![5], Bytes::from_static(&[0x8f, 0x07, 0x02])).unwrap(),
            Tensor::from_i64(DType::I16, &[5], &[1, -2, 300, 4, 5]),
        ];
        for tensor in tensors {
            let whole = tensor.to_i64().unwrap();
            for (from, to) in [(0, 5), (1, 4), (3, 3), (2, 9), (7, 9)] {
                let part = whole.get(from..to.min(5)).unwrap_or_default();
                assert_eq!(tensor.part_to_i64(from..to).unwrap(), part);
            }
        }
    }

    #[test]
    fn lengths_and_products_are_checked() {
        let bytes = || Bytes::from_static(&[0; 4]);
        assert!(matches!(
            Tensor::new(DType::F32, vec![2], bytes()),
            Err(TensorError::Length { .. })
        ));
        let huge = vec![usize::MAX, 3];
        assert!(matches!(Tensor::new(DType::U8, huge, bytes()), Err(TensorError::TooLarge(_))));
    }

    #[test]
    fn half_precision_is_exact() {
        for (bits, value) in
            [(0x3c00u16, 1.0f32), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0)]
        {
            assert_eq!(half_to_f32(bits), value);
        }
        assert!(half_to_f32(0x7c01).is_nan() && half_to_f32(0xfc00) == f32::NEG_INFINITY);
    }
}
