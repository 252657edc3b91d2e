//! The hardware description: every assumption about the device, in one YAML file.

use serde::{Deserialize, Serialize};

/// A device for which images are made. The fields are the keys of the YAML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hardware {
    /// Always `snnc-spleat-hw`.
    pub format: String,
    /// Version of the format, 1.
    pub version: u32,
    /// Name of the device.
    pub name: String,
    /// Where the figures come from; printed in every manifest.
    pub provenance: String,
    /// Clock, for latencies out of cycles; digits may be grouped as `100_000_000`.
    #[serde(deserialize_with = "grouped")]
    pub clock_hz: u64,
    /// When neurons are compared with their thresholds.
    pub fire_mode: FireMode,
    /// Order in which a layer's neurons are visited, and so that of its events; outermost first.
    pub event_order: [Coordinate; 3],
    /// The word that carries one event.
    pub aer: AerWord,
    /// Widths of the numbers.
    pub numbers: Numbers,
    /// Processing units and FIFOs.
    pub layers: Layers,
    /// Largest sizes.
    pub limits: Limits,
    /// What layers and neurons there are.
    pub supports: Supports,
    /// The device's memory blocks, where a report on fitness is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_blocks: Option<MemoryBlocks>,
    /// Tools that make a bitstream, where there is a script for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesis: Option<Synthesis>,
    /// File formats of the memories; `mem` is always written.
    pub outputs: Vec<Format>,
    /// How energy is estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_profile: Option<String>,
}

fn grouped<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Plain(u64),
        Grouped(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Plain(n) => Ok(n),
        Number::Grouped(text) => text.replace('_', "").parse().map_err(serde::de::Error::custom),
    }
}

/// When neurons are compared with their thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FireMode {
    /// All at the end of a timestep.
    Timestep,
}

/// A coordinate of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinate {
    /// Row.
    Y,
    /// Column.
    X,
    /// Channel.
    C,
}

/// Fields of the event word, each as its highest and lowest bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AerWord {
    /// Width, up to 64.
    pub bits: u32,
    /// 0 spike, 1 end of timestep, 2 end of inference.
    #[serde(rename = "type")]
    pub kind: [u32; 2],
    /// Value of the spike.
    pub payload: [u32; 2],
    /// Channel.
    pub c: [u32; 2],
    /// Row.
    pub y: [u32; 2],
    /// Column.
    pub x: [u32; 2],
    /// Whether the payload is two's complement.
    pub payload_signed: bool,
}

/// Widths in bits of what the memories hold; thresholds, biases and potentials are signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// Weights, at most.
    pub weight_bits: u8,
    /// Membrane potentials, at most.
    pub membrane_bits: u8,
    /// Biases, at most.
    pub bias_bits: u8,
    /// Thresholds, at most.
    pub threshold_bits: u8,
    /// What an adder does beyond its width; the compiler proves that it never comes to that.
    pub overflow: OverflowRule,
    /// How a shift to the right rounds.
    #[serde(default)]
    pub rounding: ShiftRounding,
    /// Whether each layer's memories are only as wide as its numbers need.
    #[serde(default)]
    pub fitted: bool,
}

/// How a shift to the right rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShiftRounding {
    /// Toward minus infinity.
    #[default]
    Floor,
}

/// What an adder does beyond its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverflowRule {
    /// Stays at the end of its range.
    Saturate,
    /// Wraps around.
    Wrap,
    /// Is not defined.
    Error,
}

/// Processing units and FIFOs, by layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// Where nothing else is said.
    pub default: LayerResources,
    /// By the population's name.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub overrides: std::collections::BTreeMap<String, LayerResources>,
}

/// Processing units and FIFOs of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerResources {
    /// Neurons updated in one clock, each from banks of its own.
    pub npu: usize,
    /// Events that wait before the layer.
    #[serde(default = "default_fifo")]
    pub fifo_in: usize,
    /// Events that wait behind the layer.
    #[serde(default = "default_fifo")]
    pub fifo_out: usize,
}

fn default_fifo() -> usize {
    64
}

/// Largest sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Input channels of a convolution.
    pub max_cin: usize,
    /// Inputs of a dense layer.
    #[serde(default = "default_fc_inputs")]
    pub max_fc_inputs: usize,
    /// Rows or columns of a map.
    pub max_hw: usize,
    /// Rows or columns of a kernel.
    pub max_kernel: usize,
    /// Timesteps.
    pub max_timesteps: usize,
    /// Largest payload of a neuron.
    pub max_payload: i64,
    /// Layers.
    #[serde(default = "default_layers")]
    pub max_layers: usize,
}

fn default_fc_inputs() -> usize {
    65_536
}

fn default_layers() -> usize {
    256
}

/// What layers and neurons there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supports {
    /// Convolutions of one dimension.
    pub conv1d: bool,
    /// Convolutions of two dimensions.
    pub conv2d: bool,
    /// Dense layers.
    pub fc: bool,
    /// Convolutions in groups, depthwise among them.
    pub depthwise: bool,
    /// Maximum pooling.
    pub max_pool: MaxPooling,
    /// Average pooling.
    pub avg_pool: AveragePooling,
    /// Additions of two branches.
    pub residual_add: ResidualAddition,
    /// Neurons.
    pub neurons: Vec<NeuronKind>,
    /// Resets.
    pub reset: Vec<ResetKind>,
    /// Spikes with a payload.
    pub graded: bool,
    /// Thresholds, resets and spike values that change from timestep to timestep.
    pub time_tables: bool,
}

/// How maxima are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxPooling {
    /// Not at all.
    None,
    /// Of binary spikes, as their disjunction in each timestep.
    OrBinary,
    /// Of payloads, in a map of the largest so far of each timestep.
    Buffered,
    /// Of payloads, and of the totals of all timesteps so far.
    Totals,
}

/// How averages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AveragePooling {
    /// Not at all.
    None,
    /// As a convolution of each channel with itself.
    AsConv,
}

/// How branches are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResidualAddition {
    /// Not at all.
    None,
    /// Both branches project to the same neurons.
    EventMerge,
}

/// A neuron model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeuronKind {
    /// Integrate and fire.
    If,
    /// Leaky, state and input decaying together (cfg kind 1).
    LifTau2,
    /// Leaky, the state alone decaying by a shift (cfg kind 2).
    LifShiftLeak,
    /// Read-out of the potential.
    Accumulate,
}

/// What firing does to a potential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetKind {
    /// Subtraction.
    Soft,
    /// Replacement.
    Hard,
}

/// Memory blocks of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryBlocks {
    /// Kind of block.
    pub kind: BlockKind,
    /// Number of them.
    pub count: u64,
}

/// A kind of memory block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// AMD block RAM of 36 Kbit.
    XilinxBram36,
    /// Intel block RAM of 10 Kbit.
    IntelM10k,
    /// Lattice block RAM of 18 Kbit (ECP5).
    LatticeEbr18,
    /// Lattice block RAM of 4 Kbit (iCE40).
    LatticeEbr4,
}

/// A family of devices for which there are scripts of synthesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synthesis {
    /// Lattice ECP5-85 in package CABGA756: Yosys, nextpnr.
    Ecp5,
    /// Lattice iCE40UP5K in package SG48: Yosys, nextpnr.
    Ice40,
    /// AMD XC7A100T in package CSG324: Yosys as far as the netlist, Vivado.
    Xc7,
}

/// A file format of memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `$readmemh`.
    Mem,
    /// Intel memory initialisation file.
    Mif,
    /// Xilinx coefficients.
    Coe,
    /// Intel HEX, byte-addressed.
    Ihex,
    /// Intel HEX as Quartus has it, word-addressed.
    #[serde(alias = "ihex_word")]
    Qhex,
}

impl Format {
    /// Their names, in their order.
    pub const NAMES: &'static [&'static str] = &["mem", "mif", "coe", "ihex", "qhex"];

    /// The extension of its files and its name in options.
    pub fn name(self) -> &'static str {
        Format::NAMES[self as usize]
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Format> {
        let all = [Format::Mem, Format::Mif, Format::Coe, Format::Ihex, Format::Qhex];
        all.into_iter().find(|f| f.name() == name)
    }
}

/// The descriptions that come with the compiler, the default first.
const BUILT_IN: &[&str] = &[
    include_str!("hardware/default.yaml"),
    include_str!("hardware/cyclone_v.yaml"),
    include_str!("hardware/zynq_ultrascale.yaml"),
    include_str!("hardware/tight.yaml"),
    include_str!("hardware/ecp5_85.yaml"),
    include_str!("hardware/ice40up5k.yaml"),
    include_str!("hardware/xc7a100t.yaml"),
];

/// Names of the descriptions that come with the compiler, the default first.
pub fn built_in_names() -> Vec<String> {
    BUILT_IN.iter().filter_map(|text| Hardware::parse(text).ok()).map(|h| h.name).collect()
}

impl Hardware {
    /// The description in a file, of a built-in device, or the default.
    ///
    /// # Errors
    /// All that is wrong with the description, or that there is no such device.
    pub fn choose(file: Option<&str>, device: Option<&str>) -> Result<Hardware, Vec<String>> {
        match (file, device) {
            (Some(text), _) => Hardware::parse(text),
            (None, None) => Hardware::parse(BUILT_IN[0]),
            (None, Some(name)) => {
                let mut all = BUILT_IN.iter().filter_map(|text| Hardware::parse(text).ok());
                all.find(|h| h.name == name).ok_or_else(|| {
                    vec![format!("no device `{name}`; there are {}", built_in_names().join(", "))]
                })
            }
        }
    }

    /// Reads a description and checks it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str) -> Result<Hardware, Vec<String>> {
        let hardware: Hardware =
            serde_yaml::from_str(text).map_err(|e| vec![format!("hardware description: {e}")])?;
        let problems = hardware.problems();
        if problems.is_empty() { Ok(hardware) } else { Err(problems) }
    }

    /// What contradicts itself or lies outside what images can say.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, text: String| {
            if !holds {
                problems.push(format!("hardware description: {text}"));
            }
        };
        require(
            self.format == "snnc-spleat-hw",
            format!("format is `{}`, not `snnc-spleat-hw`", self.format),
        );
        require(self.version == 1, format!("version {} is not supported, only 1", self.version));
        let order = [Coordinate::Y, Coordinate::X, Coordinate::C];
        require(self.event_order == order, "event_order must be [y, x, c]".into());
        let n = &self.numbers;
        let widths = [
            ("weight_bits", n.weight_bits, 2, 32),
            ("membrane_bits", n.membrane_bits, 4, 48),
            ("bias_bits", n.bias_bits, 2, 48),
            ("threshold_bits", n.threshold_bits, 2, 48),
        ];
        for (name, value, low, high) in widths {
            require(
                (low..=high).contains(&value),
                format!("{name} is {value}, not in {low}..={high}"),
            );
        }
        require((1..=64).contains(&self.aer.bits), format!("AER words of {} bits", self.aer.bits));
        let mut taken = 0u64;
        for (name, [high, low]) in self.aer.fields() {
            let sound = low <= high && high < self.aer.bits.min(64);
            require(sound, format!("AER field {name}: [{high}, {low}] in {} bits", self.aer.bits));
            if sound {
                let mask = (u64::MAX >> (63 - (high - low))) << low;
                require(taken & mask == 0, format!("AER field {name} overlaps another"));
                taken |= mask;
            }
        }
        require(self.aer.kind[0] > self.aer.kind[1], "the AER field type needs 2 bits".into());
        let npus = self.layers.overrides.values().chain([&self.layers.default]);
        for resources in npus {
            let positive = resources.npu > 0 && resources.fifo_in > 0 && resources.fifo_out > 0;
            require(
                positive && resources.npu <= 4096,
                "npu and FIFO depths must be positive".into(),
            );
        }
        problems
    }

    /// Resources of the layer of that name.
    pub fn resources(&self, layer: &str) -> &LayerResources {
        self.layers.overrides.get(layer).unwrap_or(&self.layers.default)
    }
}

impl AerWord {
    /// The fields with their highest and lowest bit.
    pub fn fields(&self) -> [(&'static str, [u32; 2]); 5] {
        [
            ("type", self.kind),
            ("payload", self.payload),
            ("c", self.c),
            ("y", self.y),
            ("x", self.x),
        ]
    }

    /// How many values a field tells apart.
    pub fn capacity([high, low]: [u32; 2]) -> u64 {
        1u64.checked_shl(high.saturating_sub(low) + 1).unwrap_or(u64::MAX)
    }

    /// Smallest and largest payload.
    pub fn payload_range(&self) -> (i64, i64) {
        let bits = (self.payload[0] - self.payload[1] + 1).min(62);
        if self.payload_signed {
            (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        } else {
            (0, (1 << bits) - 1)
        }
    }
}

#[cfg(test)]
mod tests;
