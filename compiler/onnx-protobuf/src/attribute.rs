//! Attributes of nodes.

use crate::{Bytes, GraphProto, SparseTensorProto, TensorProto, TypeProto};

/// A named parameter of a node: the field that `type` selects holds its value.
///
/// The sub-messages are boxed because they are large and nearly always absent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AttributeProto {
    /// Name of the attribute.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value of a `Float`.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// Value of an `Int`.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// Value of a `String`, UTF-8 by convention only.
    #[prost(bytes = "bytes", tag = "4")]
    pub s: Bytes,
    /// Value of a `Tensor`.
    #[prost(message, optional, boxed, tag = "5")]
    pub t: Option<Box<TensorProto>>,
    /// Value of a `Graph`.
    #[prost(message, optional, boxed, tag = "6")]
    pub g: Option<Box<GraphProto>>,
    /// Value of `Floats`.
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    /// Value of `Ints`.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// Value of `Strings`.
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<Bytes>,
    /// Value of `Tensors`.
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<TensorProto>,
    /// Value of `Graphs`.
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<GraphProto>,
    /// Free-form documentation.
    #[prost(string, tag = "13")]
    pub doc_string: String,
    /// Value of a `TypeProto`.
    #[prost(message, optional, boxed, tag = "14")]
    pub tp: Option<Box<TypeProto>>,
    /// Value of `TypeProtos`.
    #[prost(message, repeated, tag = "15")]
    pub type_protos: Vec<TypeProto>,
    /// The number of an [`AttributeType`]; files of IR version 1 lack it.
    #[prost(int32, tag = "20")]
    pub r#type: i32,
    /// In a function body: the attribute of the call that gives the value.
    #[prost(string, tag = "21")]
    pub ref_attr_name: String,
    /// Value of a `SparseTensor`.
    #[prost(message, optional, boxed, tag = "22")]
    pub sparse_tensor: Option<Box<SparseTensorProto>>,
    /// Value of `SparseTensors`.
    #[prost(message, repeated, tag = "23")]
    pub sparse_tensors: Vec<SparseTensorProto>,
}

/// Each `as_…` returns `None` unless the attribute has that type and a value of its own.
impl AttributeProto {
    /// The declared type, or the one the value implies where none is declared.
    ///
    /// `None` if the number is unknown or several values are present. `Undefined` if no type is
    /// declared and every field is at its default; any `as_…` of a scalar or list then succeeds,
    /// as a zero cannot be told from an absent field.
    pub fn attribute_type(&self) -> Option<AttributeType> {
        use AttributeType as T;
        let declared = T::try_from(self.r#type).ok()?;
        if declared != T::Undefined {
            return Some(declared);
        }
        let mut present = [
            (self.f != 0.0, T::Float),
            (self.i != 0, T::Int),
            (!self.s.is_empty(), T::String),
            (self.t.is_some(), T::Tensor),
            (self.g.is_some(), T::Graph),
            (self.sparse_tensor.is_some(), T::SparseTensor),
            (self.tp.is_some(), T::TypeProto),
            (!self.floats.is_empty(), T::Floats),
            (!self.ints.is_empty(), T::Ints),
            (!self.strings.is_empty(), T::Strings),
            (!self.tensors.is_empty(), T::Tensors),
            (!self.graphs.is_empty(), T::Graphs),
            (!self.sparse_tensors.is_empty(), T::SparseTensors),
            (!self.type_protos.is_empty(), T::TypeProtos),
        ]
        .into_iter()
        .filter_map(|(present, ty)| present.then_some(ty));
        match (present.next(), present.next()) {
            (None, _) => Some(T::Undefined),
            (only, None) => only,
            _ => None,
        }
    }

    fn holds(&self, wanted: AttributeType) -> Option<&Self> {
        let ty = self.attribute_type()?;
        let own = self.ref_attr_name.is_empty();
        (own && (ty == wanted || ty == AttributeType::Undefined)).then_some(self)
    }

    /// The value of a `Float`.
    pub fn as_float(&self) -> Option<f32> {
        self.holds(AttributeType::Float).map(|a| a.f)
    }

    /// The value of an `Int`.
    pub fn as_int(&self) -> Option<i64> {
        self.holds(AttributeType::Int).map(|a| a.i)
    }

    /// The value of a `String`, whatever its encoding.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        self.holds(AttributeType::String).map(|a| &a.s)
    }

    /// The value of a `String`, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The value of a `Tensor`.
    pub fn as_tensor(&self) -> Option<&TensorProto> {
        self.holds(AttributeType::Tensor)?.t.as_deref()
    }

    /// The value of a `Graph`.
    pub fn as_graph(&self) -> Option<&GraphProto> {
        self.holds(AttributeType::Graph)?.g.as_deref()
    }

    /// The value of a `SparseTensor`.
    pub fn as_sparse_tensor(&self) -> Option<&SparseTensorProto> {
        self.holds(AttributeType::SparseTensor)?.sparse_tensor.as_deref()
    }

    /// The value of a `TypeProto`.
    pub fn as_type_proto(&self) -> Option<&TypeProto> {
        self.holds(AttributeType::TypeProto)?.tp.as_deref()
    }

    /// The value of `Floats`.
    pub fn as_floats(&self) -> Option<&[f32]> {
        self.holds(AttributeType::Floats).map(|a| a.floats.as_slice())
    }

    /// The value of `Ints`.
    pub fn as_ints(&self) -> Option<&[i64]> {
        self.holds(AttributeType::Ints).map(|a| a.ints.as_slice())
    }

    /// The value of `Strings`, whatever their encoding.
    pub fn as_strings(&self) -> Option<&[Bytes]> {
        self.holds(AttributeType::Strings).map(|a| a.strings.as_slice())
    }

    /// The value of `Tensors`.
    pub fn as_tensors(&self) -> Option<&[TensorProto]> {
        self.holds(AttributeType::Tensors).map(|a| a.tensors.as_slice())
    }

    /// The value of `Graphs`.
    pub fn as_graphs(&self) -> Option<&[GraphProto]> {
        self.holds(AttributeType::Graphs).map(|a| a.graphs.as_slice())
    }
}

/// The type of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// Not given.
    Undefined = 0,
    /// A 32-bit float.
    Float = 1,
    /// A 64-bit integer.
    Int = 2,
    /// A string of bytes.
    String = 3,
    /// A tensor.
    Tensor = 4,
    /// A subgraph.
    Graph = 5,
    /// A list of 32-bit floats.
    Floats = 6,
    /// A list of 64-bit integers.
    Ints = 7,
    /// A list of strings of bytes.
    Strings = 8,
    /// A list of tensors.
    Tensors = 9,
    /// A list of subgraphs.
    Graphs = 10,
    /// A sparse tensor.
    SparseTensor = 11,
    /// A list of sparse tensors.
    SparseTensors = 12,
    /// A type.
    TypeProto = 13,
    /// A list of types.
    TypeProtos = 14,
}

impl AttributeType {
    /// The name the ONNX specification uses, for messages to users.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undefined => "UNDEFINED",
            Self::Float => "FLOAT",
            Self::Int => "INT",
            Self::String => "STRING",
            Self::Tensor => "TENSOR",
            Self::Graph => "GRAPH",
            Self::Floats => "FLOATS",
            Self::Ints => "INTS",
            Self::Strings => "STRINGS",
            Self::Tensors => "TENSORS",
            Self::Graphs => "GRAPHS",
            Self::SparseTensor => "SPARSE_TENSOR",
            Self::SparseTensors => "SPARSE_TENSORS",
            Self::TypeProto => "TYPE_PROTO",
            Self::TypeProtos => "TYPE_PROTOS",
        }
    }
}
