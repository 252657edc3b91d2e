//! The manifest: names, origins and scales, and what each memory file holds.

use serde::{Deserialize, Serialize};
use snnc_ir::{Coding, Decoder, Encoder, Origin, Timing};

use super::hardware::{Format, Hardware};
use super::memory::MemoryKind;

/// The value of [`Manifest::format`].
pub const FORMAT: &str = "snnc-spleat-image";

/// Content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Version of the format, 1.
    pub version: u32,
    /// That this is a stand-in.
    pub provenance: String,
    /// The network's name.
    pub name: String,
    /// Timesteps and schedule.
    pub timing: Timing,
    /// Names of all nodes, in order of computation.
    pub order: Vec<String>,
    /// The device.
    pub hardware: HardwareEntry,
    /// Where events come from.
    pub inputs: Vec<InputEntry>,
    /// The layers.
    pub layers: Vec<LayerEntry>,
    /// What becomes of their events.
    pub outputs: Vec<OutputEntry>,
}

/// The device of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HardwareEntry {
    /// SHA-256 of the description as canonical YAML.
    pub sha256: String,
    /// The description.
    pub description: Hardware,
}

/// A graph input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputEntry {
    /// Name of the encoder.
    pub name: String,
    /// (C), (C, L) or (C, H, W).
    pub shape: Vec<usize>,
    /// The encoder.
    pub encoder: Encoder,
    /// ONNX nodes.
    pub origins: Vec<Origin>,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerEntry {
    /// Name of the population.
    pub name: String,
    /// (C), (C, L) or (C, H, W).
    pub shape: Vec<usize>,
    /// Neurons, or maxima.
    pub kind: LayerKind,
    /// How values become spikes.
    pub coding: Coding,
    /// Smallest and largest payload.
    pub payloads: [i64; 2],
    /// Real value of one unit of payload.
    pub scale: Vec<f32>,
    /// ONNX nodes.
    pub origins: Vec<Origin>,
    /// Synapses.
    pub ports: Vec<PortEntry>,
    /// Static checks.
    pub checks: Checks,
    /// The memories.
    pub files: Vec<FileEntry>,
}

/// What a layer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// Synapses and neurons.
    Neurons,
    /// The largest payload of each window.
    Maximum,
    /// By how much the largest total of each window grew.
    RunningMaximum,
}

/// The synapses of a layer from one population or input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortEntry {
    /// Name of the projection; empty for maxima.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Name of the population or input.
    pub source: String,
    /// Whether every source meets every target.
    pub dense: bool,
    /// ONNX nodes.
    pub origins: Vec<Origin>,
}

/// What was proved of a layer for all inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// Smallest and largest membrane potential, in the middle of a timestep too.
    pub membrane: [i64; 2],
    /// Bits that these take.
    pub used_bits: u8,
    /// Bits that the memory has.
    pub available_bits: u8,
}

/// A memory in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path beside the manifest.
    pub path: String,
    /// What it holds.
    pub kind: MemoryKind,
    /// The port, where it is not the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub port: usize,
    /// The bank.
    pub bank: usize,
    /// Bits of a word.
    pub width: u8,
    /// Number of words.
    pub depth: usize,
    /// File format.
    pub format: Format,
    /// CRC-32 (IEEE 802.3) of the words, each little-endian in as few bytes as it takes.
    pub crc32: String,
    /// SHA-256 of the file.
    pub sha256: String,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A graph output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputEntry {
    /// Name of the decoder.
    pub name: String,
    /// The layer.
    pub source: String,
    /// What is read: the potential, or payloads of spikes.
    pub reads: Reads,
    /// Element type of the scores.
    pub dtype: String,
    /// Shape of the scores.
    pub shape: Vec<usize>,
    /// The decoder.
    pub decoder: Decoder,
    /// ONNX nodes.
    pub origins: Vec<Origin>,
}

/// What an output reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// Membrane potentials.
    Membrane,
    /// Payloads.
    Spikes,
}
