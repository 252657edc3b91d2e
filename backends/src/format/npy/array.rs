//! The array itself: element types, shape arithmetic, constructors.

use super::NpyError;
use bytes::Bytes;
use std::fmt;

/// What NumPy itself can hold.
const MAX_RANK: usize = 64;

/// Element type of an [`NpyArray`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NpyType {
    /// One byte, zero is false and anything else is true.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 binary16.
    F16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

impl NpyType {
    /// All types, for tables and tests.
    pub const ALL: [Self; 12] = [
        Self::Bool,
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F16,
        Self::F32,
        Self::F64,
    ];

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Kind and size as NumPy spells them, without the byte order: `f4`, `b1`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Bool => "b1",
            Self::U8 => "u1",
            Self::I8 => "i1",
            Self::U16 => "u2",
            Self::I16 => "i2",
            Self::U32 => "u4",
            Self::I32 => "i4",
            Self::U64 => "u8",
            Self::I64 => "i8",
            Self::F16 => "f2",
            Self::F32 => "f4",
            Self::F64 => "f8",
        }
    }
}

impl fmt::Display for NpyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

/// A dense array of numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct NpyArray {
    /// Element type.
    pub dtype: NpyType,
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, little-endian, in C order (last dimension fastest).
    pub data: Bytes,
}

impl fmt::Debug for NpyArray {
    /// Leaves out the elements of large arrays, which would bury a failing assertion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES: usize = 64;
        let mut out = f.debug_struct("NpyArray");
        out.field("dtype", &self.dtype).field("shape", &self.shape);
        if self.data.len() <= SHOWN_BYTES {
            out.field("data", &self.data).finish()
        } else {
            out.field("data_len", &self.data.len()).finish()
        }
    }
}

impl NpyArray {
    /// An array of `data`, which holds little-endian elements in C order.
    ///
    /// # Errors
    /// [`NpyError::LengthMismatch`] when `data` is not as long as type and shape ask for,
    /// [`NpyError::ShapeOverflow`] when no data could be.
    pub fn new(
        dtype: NpyType,
        shape: impl Into<Vec<usize>>,
        data: impl Into<Bytes>,
    ) -> Result<Self, NpyError> {
        let array = Self { dtype, shape: shape.into(), data: data.into() };
        array.check()?;
        Ok(array)
    }

    /// Number of elements: the product of the dimensions, 1 for a scalar.
    ///
    /// # Errors
    /// [`NpyError::ShapeOverflow`] when the array is too large to address.
    pub fn element_count(&self) -> Result<usize, NpyError> {
        Ok(byte_len(self.dtype, &self.shape)? / self.dtype.size())
    }

    /// Refuses fields that contradict each other, which they may since they are public.
    pub(crate) fn check(&self) -> Result<(), NpyError> {
        let expected = byte_len(self.dtype, &self.shape)?;
        if expected != self.data.len() {
            return Err(NpyError::LengthMismatch {
                dtype: self.dtype,
                shape: self.shape.clone(),
                expected,
                found: self.data.len(),
            });
        }
        Ok(())
    }
}

/// Bytes that an array needs.
///
/// Zero dimensions are left out of the check for overflow, as NumPy does: strides computed from
/// the others must be addressable although no element is.
pub(crate) fn byte_len(dtype: NpyType, shape: &[usize]) -> Result<usize, NpyError> {
    if shape.len() > MAX_RANK {
        return Err(NpyError::TooManyDimensions { rank: shape.len(), limit: MAX_RANK });
    }
    let addressable = shape
        .iter()
        .filter(|&&dim| dim != 0)
        .try_fold(dtype.size(), |bytes, &dim| bytes.checked_mul(dim))
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or_else(|| NpyError::ShapeOverflow { shape: shape.to_vec() })?;
    Ok(if shape.contains(&0) { 0 } else { addressable })
}

macro_rules! constructors {
    ($($name:ident, $element:ty, $dtype:ident;)*) => {
        impl NpyArray {
            $(
                #[doc = concat!("A `", stringify!($element), "` array of `values` in C order.")]
                ///
                /// # Errors
                /// [`NpyError::LengthMismatch`] when `shape` does not hold as many values.
                pub fn $name(
                    shape: impl Into<Vec<usize>>,
                    values: &[$element],
                ) -> Result<Self, NpyError> {
                    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    Self::new(NpyType::$dtype, shape, data)
                }
            )*
        }
    };
}

constructors! {
    from_u8, u8, U8;
    from_i8, i8, I8;
    from_i16, i16, I16;
    from_i32, i32, I32;
    from_i64, i64, I64;
    from_f32, f32, F32;
    from_f64, f64, F64;
}
