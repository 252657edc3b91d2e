//! Hints on how to spread a model over several devices.
//!
//! They do not change results; the importer may ignore them.

use crate::DimensionValue;

/// A set of devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeviceConfigurationProto {
    /// Name that nodes refer to.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Number of devices.
    #[prost(int32, tag = "2")]
    pub num_devices: i32,
    /// Names of the devices; empty or one per device.
    #[prost(string, repeated, tag = "3")]
    pub device: Vec<String>,
}

/// How a node uses the devices of one configuration.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeDeviceConfigurationProto {
    /// Name of the configuration.
    #[prost(string, tag = "1")]
    pub configuration_id: String,
    /// How the node's inputs and outputs are split.
    #[prost(message, repeated, tag = "2")]
    pub sharding_spec: Vec<ShardingSpecProto>,
    /// The pipeline stage of the node.
    #[prost(int32, tag = "3")]
    pub pipeline_stage: i32,
}

/// How one tensor is split over devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardingSpecProto {
    /// Name of an input or output of the node.
    #[prost(string, tag = "1")]
    pub tensor_name: String,
    /// Devices that hold the parts, or keys of `index_to_device_group_map`.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub device: Vec<i64>,
    /// The members of each device group.
    #[prost(message, repeated, tag = "3")]
    pub index_to_device_group_map: Vec<IntIntListEntryProto>,
    /// The axes that are split.
    #[prost(message, repeated, tag = "4")]
    pub sharded_dim: Vec<ShardedDimProto>,
}

/// Maps an integer to a list of integers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IntIntListEntryProto {
    /// The key.
    #[prost(int64, tag = "1")]
    pub key: i64,
    /// The list.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub value: Vec<i64>,
}

/// How one axis is split.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardedDimProto {
    /// The axis; negative ones count from the end.
    #[prost(int64, tag = "1")]
    pub axis: i64,
    /// The splits, several if the axis is the product of several extents.
    #[prost(message, repeated, tag = "2")]
    pub simple_sharding: Vec<SimpleShardedDimProto>,
}

/// An even split of one extent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SimpleShardedDimProto {
    /// The extent that is split.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub dim: Option<DimensionValue>,
    /// The number of parts.
    #[prost(int64, tag = "3")]
    pub num_shards: i64,
}
