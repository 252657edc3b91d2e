//! Element types and tensor types.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Quantisation;

/// The type of one element of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// Truth value, one byte, 0 or 1.
    Bool,
    /// Unsigned integer, 2 bits, four to a byte, least significant first.
    U2,
    /// Signed integer, 2 bits, four to a byte, least significant first.
    I2,
    /// Unsigned integer, 4 bits, two to a byte, low nibble first.
    U4,
    /// Signed integer, 4 bits, two to a byte, low nibble first.
    I4,
    /// Unsigned integer, 8 bits.
    U8,
    /// Signed integer, 8 bits.
    I8,
    /// Unsigned integer, 16 bits.
    U16,
    /// Signed integer, 16 bits.
    I16,
    /// Unsigned integer, 32 bits.
    U32,
    /// Signed integer, 32 bits.
    I32,
    /// Unsigned integer, 64 bits.
    U64,
    /// Signed integer, 64 bits.
    I64,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of IEEE 754 binary32.
    Bf16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

impl DType {
    /// Every element type, narrow to wide.
    pub const ALL: [DType; 17] = {
        use DType::*;
        [Bool, U2, I2, U4, I4, U8, I8, U16, I16, U32, I32, U64, I64, F16, Bf16, F32, F64]
    };

    /// Width of one element in bits, as stored (a truth value takes 8).
    pub const fn bits(self) -> usize {
        match self {
            DType::U2 | DType::I2 => 2,
            DType::U4 | DType::I4 => 4,
            DType::Bool | DType::U8 | DType::I8 => 8,
            DType::U16 | DType::I16 | DType::F16 | DType::Bf16 => 16,
            DType::U32 | DType::I32 | DType::F32 => 32,
            DType::U64 | DType::I64 | DType::F64 => 64,
        }
    }

    /// Bytes that `elements` elements take, or `None` when that overflows.
    pub fn byte_len(self, elements: usize) -> Option<usize> {
        Some(elements.checked_mul(self.bits())?.div_ceil(8))
    }

    /// Whether the type holds real numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::Bf16 | DType::F32 | DType::F64)
    }

    /// Smallest and largest value of an integer type (truth values count as 0 and 1), `None` for
    /// real types. The upper end of `U64` is cut to that of `I64`.
    pub const fn integer_range(self) -> Option<(i64, i64)> {
        Some(match self {
            DType::Bool => (0, 1),
            DType::U2 => (0, 3),
            DType::I2 => (-2, 1),
            DType::U4 => (0, 15),
            DType::I4 => (-8, 7),
            DType::U8 => (0, 255),
            DType::I8 => (-128, 127),
            DType::U16 => (0, 65_535),
            DType::I16 => (-32_768, 32_767),
            DType::U32 => (0, u32::MAX as i64),
            DType::I32 => (i32::MIN as i64, i32::MAX as i64),
            DType::U64 => (0, i64::MAX),
            DType::I64 => (i64::MIN, i64::MAX),
            _ => return None,
        })
    }

    /// The name used in the text form, as `u8` or `f32`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U2 => "u2",
            DType::I2 => "i2",
            DType::U4 => "u4",
            DType::I4 => "i4",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::U16 => "u16",
            DType::I16 => "i16",
            DType::U32 => "u32",
            DType::I32 => "i32",
            DType::U64 => "u64",
            DType::I64 => "i64",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// The narrowest of `I8`, `I16`, `I32`, `I64` that holds both ends.
    pub fn narrowest_signed(low: i64, high: i64) -> DType {
        for dtype in [DType::I8, DType::I16, DType::I32] {
            if let Some((min, max)) = dtype.integer_range()
                && low >= min
                && high <= max
            {
                return dtype;
            }
        }
        DType::I64
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is known of a value before the network runs: element type, shape and, for integer codes,
/// the real numbers that they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first. Tensor stages keep ONNX's batch dimension, the spiking stage
    /// has none: (C, H, W) or (N).
    pub shape: Vec<usize>,
    /// The real meaning of integer codes.
    pub quantisation: Option<Quantisation>,
}

impl TensorType {
    /// A type without quantisation.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>) -> Self {
        TensorType { dtype, shape: shape.into(), quantisation: None }
    }

    /// The same type, its codes standing for real numbers by `quantisation`.
    pub fn quantised(mut self, quantisation: Quantisation) -> Self {
        self.quantisation = Some(quantisation);
        self
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether a dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.dtype)?;
        for (i, d) in self.shape.iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { "," })?;
        }
        f.write_str("]")
    }
}
