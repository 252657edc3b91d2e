//! Types and shapes of values.

use crate::{DataType, StringStringEntryProto};

/// The name and type of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfoProto {
    /// Name of the value.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its type; may be missing inside subgraphs.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// Free-form documentation.
    #[prost(string, tag = "3")]
    pub doc_string: String,
    /// Free-form key-value pairs.
    #[prost(message, repeated, tag = "4")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

impl ValueInfoProto {
    /// The value's type if it is a dense tensor.
    pub fn tensor_type(&self) -> Option<&TensorType> {
        match self.r#type.as_ref()?.value.as_ref()? {
            TypeValue::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}

/// The type of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeProto {
    /// The type proper.
    #[prost(oneof = "TypeValue", tags = "1, 4, 5, 7, 8, 9")]
    pub value: Option<TypeValue>,
    /// What the value stands for, e.g. an image.
    #[prost(string, tag = "6")]
    pub denotation: String,
}

/// The kinds of type.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum TypeValue {
    /// A dense tensor.
    #[prost(message, tag = "1")]
    Tensor(TensorType),
    /// A list of values of one type.
    #[prost(message, tag = "4")]
    Sequence(SequenceType),
    /// A map from scalars to values of one type.
    #[prost(message, tag = "5")]
    Map(MapType),
    /// A type only its domain knows.
    #[prost(message, tag = "7")]
    Opaque(OpaqueType),
    /// A sparse tensor.
    #[prost(message, tag = "8")]
    SparseTensor(TensorType),
    /// A value or nothing.
    #[prost(message, tag = "9")]
    Optional(OptionalType),
}

/// The element type and shape of a dense or sparse tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    /// The number of a [`DataType`].
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// The shape; if missing, even the rank is unknown.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

impl TensorType {
    /// The element type, or `None` if its number is unknown.
    pub fn elem_type(&self) -> Option<DataType> {
        DataType::try_from(self.elem_type).ok()
    }
}

/// The element type of a sequence.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SequenceType {
    /// Type of each element.
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// The key and value types of a map.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MapType {
    /// The number of a [`DataType`]: an integer type or `String`.
    #[prost(int32, tag = "1")]
    pub key_type: i32,
    /// Type of each value.
    #[prost(message, optional, boxed, tag = "2")]
    pub value_type: Option<Box<TypeProto>>,
}

impl MapType {
    /// The key type, or `None` if its number is unknown.
    pub fn key_type(&self) -> Option<DataType> {
        DataType::try_from(self.key_type).ok()
    }
}

/// The type an optional value has when present.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OptionalType {
    /// Type of the value.
    #[prost(message, optional, boxed, tag = "1")]
    pub elem_type: Option<Box<TypeProto>>,
}

/// The name of a type that only its domain knows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpaqueType {
    /// Domain of the type.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Name within the domain.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// A shape, of which some dimensions may be unknown.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShapeProto {
    /// The dimensions; empty for a scalar.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// One dimension of a shape.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dimension {
    /// Its extent; `None` if nothing is known about it.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
    /// What the dimension stands for, e.g. the batch.
    #[prost(string, tag = "3")]
    pub denotation: String,
}

/// The extent of a dimension.
#[derive(Clone, PartialEq, Eq, Hash, prost::Oneof)]
pub enum DimensionValue {
    /// A fixed extent.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// A symbol; dimensions with the same symbol have the same extent.
    #[prost(string, tag = "2")]
    Param(String),
}
