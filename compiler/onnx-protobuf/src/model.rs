//! Models, graphs, nodes and functions.

use crate::{
    AttributeProto, DeviceConfigurationProto, NodeDeviceConfigurationProto, SparseTensorProto,
    TensorProto, ValueInfoProto,
};

/// The top-level message of an `.onnx` file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelProto {
    /// Version of the file format; decides which fields may appear.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Name of the tool that wrote the file.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// Version of the tool that wrote the file.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// Reverse-DNS namespace of the model's name.
    #[prost(string, tag = "4")]
    pub domain: String,
    /// Version of the model itself.
    #[prost(int64, tag = "5")]
    pub model_version: i64,
    /// Free-form documentation.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// The computation; a usable model has one.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// The operator sets the nodes refer to, one per domain.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Free-form key-value pairs.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// How to train the model; irrelevant to inference.
    #[prost(message, repeated, tag = "20")]
    pub training_info: Vec<TrainingInfoProto>,
    /// Functions local to the model, which nodes may call like operators.
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionProto>,
    /// Multi-device configurations that nodes may refer to.
    #[prost(message, repeated, tag = "26")]
    pub configuration: Vec<DeviceConfigurationProto>,
}

impl ModelProto {
    /// The imported version of `domain`, if any; `""` and `"ai.onnx"` name the same domain.
    pub fn opset_version(&self, domain: &str) -> Option<i64> {
        fn canonical(domain: &str) -> &str {
            if domain == "ai.onnx" { "" } else { domain }
        }
        let import =
            self.opset_import.iter().find(|i| canonical(&i.domain) == canonical(domain))?;
        Some(import.version)
    }
}

/// A dataflow graph in single-assignment form.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GraphProto {
    /// The operations, in an order in which each value is produced before its use.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name of the graph.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Constants by name; one that is also an input is that input's default.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Free-form documentation.
    #[prost(string, tag = "10")]
    pub doc_string: String,
    /// Inputs; before IR version 4 this list includes every initializer.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Types of intermediate values, as far as the writer knew them.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// Quantisation parameters of tensors, by the name of the tensors that hold them.
    #[prost(message, repeated, tag = "14")]
    pub quantization_annotation: Vec<TensorAnnotation>,
    /// Sparse constants, named by their `values` tensor.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
    /// Free-form key-value pairs.
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// One application of an operator or function.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeProto {
    /// Names of the operands; `""` stands for an omitted optional one.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the results; `""` stands for an unused optional one.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node for diagnostics; may be empty and need not be unique.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Name of the operator or function within its domain.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Parameters fixed at the time of writing.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Free-form documentation.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// Domain of the operator; `""` is ONNX's own.
    #[prost(string, tag = "7")]
    pub domain: String,
    /// Selects among functions that share a domain and name.
    #[prost(string, tag = "8")]
    pub overload: String,
    /// Free-form key-value pairs.
    #[prost(message, repeated, tag = "9")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// How the node is placed in each multi-device configuration.
    #[prost(message, repeated, tag = "10")]
    pub device_configurations: Vec<NodeDeviceConfigurationProto>,
}

impl NodeProto {
    /// The attribute called `name`, if present.
    pub fn find_attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name == name)
    }
}

/// A reusable subgraph, called by nodes of its domain and name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FunctionProto {
    /// Name that a node gives as its `op_type`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Names of the formal inputs.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// Names of the formal outputs.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Names of the attributes that have no default.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// The body, ordered as in a graph.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    /// Free-form documentation.
    #[prost(string, tag = "8")]
    pub doc_string: String,
    /// The operator sets the body refers to.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Domain that a calling node gives.
    #[prost(string, tag = "10")]
    pub domain: String,
    /// Attributes that have a default, with that default.
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<AttributeProto>,
    /// Types of values in the body, as far as the writer knew them.
    #[prost(message, repeated, tag = "12")]
    pub value_info: Vec<ValueInfoProto>,
    /// Tells apart functions that share a domain and name.
    #[prost(string, tag = "13")]
    pub overload: String,
    /// Free-form key-value pairs.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// Graphs that initialise the model's state and perform one training step.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrainingInfoProto {
    /// Computes the initial state.
    #[prost(message, optional, tag = "1")]
    pub initialization: Option<GraphProto>,
    /// Computes one training step.
    #[prost(message, optional, tag = "2")]
    pub algorithm: Option<GraphProto>,
    /// Maps initializers to the outputs of `initialization` that set them.
    #[prost(message, repeated, tag = "3")]
    pub initialization_binding: Vec<StringStringEntryProto>,
    /// Maps initializers to the outputs of `algorithm` that replace them.
    #[prost(message, repeated, tag = "4")]
    pub update_binding: Vec<StringStringEntryProto>,
}

/// A version of the operators of one domain.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSetIdProto {
    /// The domain; `""` is ONNX's own.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// The version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A key-value pair.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringStringEntryProto {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Names the tensors that hold the quantisation parameters of another tensor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorAnnotation {
    /// The annotated tensor.
    #[prost(string, tag = "1")]
    pub tensor_name: String,
    /// Maps a role such as `SCALE_TENSOR` to the name of a tensor.
    #[prost(message, repeated, tag = "2")]
    pub quant_parameter_tensor_names: Vec<StringStringEntryProto>,
}
