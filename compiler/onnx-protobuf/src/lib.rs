//! The messages of the ONNX file format, up to IR version 14.
//!
//! The structs are written by hand against the field numbers of the ONNX IR specification, so
//! building needs neither `protoc` nor a build script. Three choices follow from what an importer
//! does with them:
//!
//! * `bytes` fields are [`Bytes`]: decoding from a [`Bytes`] (for example one that owns a memory
//!   map) borrows the weights instead of copying them. They lie at arbitrary offsets, so elements
//!   wider than a byte must be read unaligned.
//! * Absent scalars read as their default, as files written by the proto2 and the proto3 variant
//!   of the schema disagree on which defaults are stored. Only sub-messages and oneofs are
//!   [`Option`]s.
//! * Enumerations are kept as `i32`, so a file from a newer ONNX decodes and the importer can name
//!   the number it does not know. The typed getters return `None` for such a number.
//!
//! Decoding never panics: nesting is limited to 100 messages and lengths are checked. It does not
//! validate either. In particular an empty input is a valid, empty [`ModelProto`].
//!
//! ```
//! use onnx_protobuf::{Bytes, Message, ModelProto};
//!
//! let model = ModelProto::decode(Bytes::from_static(&[0x08, 14])).unwrap();
//! assert_eq!(model.ir_version, onnx_protobuf::IR_VERSION);
//! assert!(model.graph.is_none());
//! ```

mod attribute;
mod device;
mod model;
mod tensor;
mod types;

pub use attribute::{AttributeProto, AttributeType};
pub use bytes::Bytes;
pub use device::{
    DeviceConfigurationProto, IntIntListEntryProto, NodeDeviceConfigurationProto, ShardedDimProto,
    ShardingSpecProto, SimpleShardedDimProto,
};
pub use model::{
    FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorAnnotation, TrainingInfoProto,
};
pub use prost::{DecodeError, Message};
pub use tensor::{DataLocation, DataType, Segment, SparseTensorProto, TensorProto};
pub use types::{
    Dimension, DimensionValue, MapType, OpaqueType, OptionalType, SequenceType, TensorShapeProto,
    TensorType, TypeProto, TypeValue, ValueInfoProto,
};

/// The newest IR version whose fields are all known here.
pub const IR_VERSION: i64 = 14;
