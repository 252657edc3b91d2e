//! Constant tensors and their element types.

use crate::{Bytes, StringStringEntryProto};

/// A constant tensor: its elements are in `raw_data`, in one of the typed lists or in another file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorProto {
    /// The shape; empty for a scalar.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// The number of a [`DataType`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// The range of a larger tensor that this chunk holds.
    #[prost(message, optional, tag = "3")]
    pub segment: Option<Segment>,
    /// Elements of `Float`, and of `Complex64` as pairs.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements of `Int32`, `Bool`, narrower integers, and the bits of floats below 32.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements of `String`.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub string_data: Vec<Bytes>,
    /// Elements of `Int64`.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name of the tensor; the value's name if this is an initializer.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Elements of any type but `String`: little-endian, narrow types packed from the low bits.
    #[prost(bytes = "bytes", tag = "9")]
    pub raw_data: Bytes,
    /// Elements of `Double`, and of `Complex128` as pairs.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Elements of `Uint32` and `Uint64`.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Free-form documentation.
    #[prost(string, tag = "12")]
    pub doc_string: String,
    /// Where the elements are, if `data_location` says they are in another file.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// The number of a [`DataLocation`].
    #[prost(int32, tag = "14")]
    pub data_location: i32,
    /// Free-form key-value pairs.
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

impl TensorProto {
    /// The element type, or `None` if its number is unknown.
    pub fn data_type(&self) -> Option<DataType> {
        DataType::try_from(self.data_type).ok()
    }

    /// Where the elements are, or `None` if the number is unknown.
    pub fn data_location(&self) -> Option<DataLocation> {
        DataLocation::try_from(self.data_location).ok()
    }

    /// The value of `key` in `external_data`, e.g. of `location`, `offset` or `length`.
    pub fn external_entry(&self, key: &str) -> Option<&str> {
        self.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str())
    }

    /// The product of `dims`, or `None` if one is negative or the product overflows.
    pub fn element_count(&self) -> Option<usize> {
        if self.dims.iter().any(|&d| d < 0) {
            return None;
        }
        // An empty tensor is fine even where its other dimensions alone would overflow.
        if self.dims.contains(&0) {
            return Some(0);
        }
        self.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?))
    }
}

/// A range of elements.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Segment {
    /// First element.
    #[prost(int64, tag = "1")]
    pub begin: i64,
    /// One past the last element.
    #[prost(int64, tag = "2")]
    pub end: i64,
}

/// A constant tensor given by its non-zero elements.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseTensorProto {
    /// The non-zero elements, a vector; its name is the name of the whole.
    #[prost(message, optional, tag = "1")]
    pub values: Option<TensorProto>,
    /// Their positions: a vector of linear indices or a matrix of coordinates.
    #[prost(message, optional, tag = "2")]
    pub indices: Option<TensorProto>,
    /// The shape of the dense tensor.
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub dims: Vec<i64>,
}

/// Where the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataLocation {
    /// In the message itself.
    Default = 0,
    /// In the file that `external_data` names.
    External = 1,
}

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// Not given.
    Undefined = 0,
    /// 32-bit IEEE float.
    Float = 1,
    /// Unsigned 8-bit integer.
    Uint8 = 2,
    /// Signed 8-bit integer.
    Int8 = 3,
    /// Unsigned 16-bit integer.
    Uint16 = 4,
    /// Signed 16-bit integer.
    Int16 = 5,
    /// Signed 32-bit integer.
    Int32 = 6,
    /// Signed 64-bit integer.
    Int64 = 7,
    /// UTF-8 string.
    String = 8,
    /// Boolean, one per byte.
    Bool = 9,
    /// 16-bit IEEE float.
    Float16 = 10,
    /// 64-bit IEEE float.
    Double = 11,
    /// Unsigned 32-bit integer.
    Uint32 = 12,
    /// Unsigned 64-bit integer.
    Uint64 = 13,
    /// Pair of 32-bit floats.
    Complex64 = 14,
    /// Pair of 64-bit floats.
    Complex128 = 15,
    /// Upper half of a 32-bit float.
    Bfloat16 = 16,
    /// 8-bit float, 4 exponent bits, no infinities.
    Float8E4M3Fn = 17,
    /// 8-bit float, 4 exponent bits, no infinities, no negative zero.
    Float8E4M3Fnuz = 18,
    /// 8-bit float, 5 exponent bits.
    Float8E5M2 = 19,
    /// 8-bit float, 5 exponent bits, no infinities, no negative zero.
    Float8E5M2Fnuz = 20,
    /// Unsigned 4-bit integer, two per byte.
    Uint4 = 21,
    /// Signed 4-bit integer, two per byte.
    Int4 = 22,
    /// 4-bit float, 2 exponent bits, two per byte.
    Float4E2M1 = 23,
    /// Power of two, 8 exponent bits.
    Float8E8M0 = 24,
    /// Unsigned 2-bit integer, four per byte.
    Uint2 = 25,
    /// Signed 2-bit integer, four per byte.
    Int2 = 26,
    /// 6-bit float, 2 exponent bits.
    Float6E2M3 = 27,
    /// 6-bit float, 3 exponent bits.
    Float6E3M2 = 28,
}

impl DataType {
    /// The name the ONNX specification uses, for messages to users.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undefined => "UNDEFINED",
            Self::Float => "FLOAT",
            Self::Uint8 => "UINT8",
            Self::Int8 => "INT8",
            Self::Uint16 => "UINT16",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::String => "STRING",
            Self::Bool => "BOOL",
            Self::Float16 => "FLOAT16",
            Self::Double => "DOUBLE",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Complex64 => "COMPLEX64",
            Self::Complex128 => "COMPLEX128",
            Self::Bfloat16 => "BFLOAT16",
            Self::Float8E4M3Fn => "FLOAT8E4M3FN",
            Self::Float8E4M3Fnuz => "FLOAT8E4M3FNUZ",
            Self::Float8E5M2 => "FLOAT8E5M2",
            Self::Float8E5M2Fnuz => "FLOAT8E5M2FNUZ",
            Self::Uint4 => "UINT4",
            Self::Int4 => "INT4",
            Self::Float4E2M1 => "FLOAT4E2M1",
            Self::Float8E8M0 => "FLOAT8E8M0",
            Self::Uint2 => "UINT2",
            Self::Int2 => "INT2",
            Self::Float6E2M3 => "FLOAT6E2M3",
            Self::Float6E3M2 => "FLOAT6E3M2",
        }
    }
}
