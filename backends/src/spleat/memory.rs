//! The memories of a layer: which word is where.
//!
//! Output channel `co = j * P + n` is in group `j` of bank `n` out of `P`; all banks work on the same
//! tap and position, one group a clock. Words are two's complement in the width of their memory.

use super::layer::Layer;

/// What a memory holds.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// Configuration words of the layer, or of one of its further ports.
    Configuration,
    /// Weights: word `((ci * Kh + ky) * Kw + kx) * cpb + j`.
    Weight,
    /// Biases: word `j`.
    Bias,
    /// Thresholds: word `t * cpb + j`.
    Threshold,
    /// Amounts that a spike subtracts: word `t * cpb + j`.
    Reset,
    /// Values of a spike: word `t * cpb + j`.
    Decode,
    /// Initial membrane potentials: word `(y * Wout + x) * cpb + j`.
    Membrane,
}

impl MemoryKind {
    /// Every kind, in the order of the manifest.
    pub const ALL: [MemoryKind; 7] = {
        use MemoryKind::*;
        [Configuration, Weight, Bias, Threshold, Reset, Decode, Membrane]
    };

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            MemoryKind::Configuration => "configuration",
            MemoryKind::Weight => "weight",
            MemoryKind::Bias => "bias",
            MemoryKind::Threshold => "threshold",
            MemoryKind::Reset => "reset",
            MemoryKind::Decode => "decode",
            MemoryKind::Membrane => "membrane",
        }
    }

    fn letter(self) -> &'static str {
        match self {
            MemoryKind::Configuration => "cfg",
            MemoryKind::Weight => "w",
            MemoryKind::Bias => "b",
            MemoryKind::Threshold => "t",
            MemoryKind::Reset => "r",
            MemoryKind::Decode => "d",
            MemoryKind::Membrane => "v",
        }
    }
}

/// One memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// File name without extension.
    pub stem: String,
    /// What it holds.
    pub kind: MemoryKind,
    /// The port whose weights or configuration it holds, else 0.
    pub port: usize,
    /// The bank.
    pub bank: usize,
    /// Bits of a word.
    pub width: u8,
    /// Words.
    pub words: Vec<u64>,
}

impl Memory {
    /// Size in bits.
    pub fn bits(&self) -> u64 {
        self.words.len() as u64 * u64::from(self.width)
    }

    /// The words as signed numbers.
    pub fn signed(&self) -> Vec<i64> {
        let shift = 64 - u32::from(self.width.clamp(1, 64));
        self.words.iter().map(|&w| ((w << shift) as i64) >> shift).collect()
    }

    /// The words one after the other, each in as few whole bytes as its width takes, little-endian.
    pub fn bytes(&self) -> Vec<u8> {
        let each = usize::from(self.width).div_ceil(8).min(8);
        self.words.iter().flat_map(|w| w.to_le_bytes().into_iter().take(each)).collect()
    }
}

/// File name without extension of a memory.
pub fn stem(layer: usize, kind: MemoryKind, port: usize, bank: usize) -> String {
    let port = if port == 0 { String::new() } else { format!("p{port}") };
    match kind {
        MemoryKind::Configuration => format!("l{layer}{port}_cfg"),
        _ => format!("l{layer}{port}_{}{bank}", kind.letter()),
    }
}

/// The number of words of a memory of this layer.
pub fn depth(layer: &Layer, kind: MemoryKind, port: usize) -> usize {
    let cpb = layer.groups_per_bank();
    let steps = |table: &[Vec<i64>]| table.iter().map(Vec::len).max().unwrap_or(1);
    match kind {
        MemoryKind::Configuration => super::config::WORDS,
        MemoryKind::Weight => {
            layer.ports.get(port).map_or(0, |p| p.geometry.weights_per_channel() * cpb)
        }
        MemoryKind::Bias => cpb,
        MemoryKind::Threshold => cpb * steps(&layer.neuron.threshold),
        MemoryKind::Reset => cpb * layer.neuron.reset.as_deref().map_or(0, steps),
        MemoryKind::Decode => cpb * layer.neuron.decode.as_deref().map_or(0, steps),
        MemoryKind::Membrane => layer.target.h * layer.target.w * cpb,
    }
}

/// The memories of a layer but for its configuration, in the order of the manifest.
pub fn memories(layer: &Layer) -> Vec<Memory> {
    let mut all = Vec::new();
    if layer.neuron.kind.is_maximum() {
        return all;
    }
    for port in 0..layer.ports.len() {
        all.extend((0..layer.npu).map(|bank| weights(layer, port, bank)));
    }
    let widths = layer.widths;
    let most = (1i64 << (widths.threshold.clamp(1, 63) - 1)) - 1;
    let bias: Vec<Vec<i64>> = layer.bias.iter().map(|&b| vec![b]).collect();
    let neuron = &layer.neuron;
    let tables = [
        (MemoryKind::Bias, Some(&bias), widths.bias, 0),
        (MemoryKind::Threshold, Some(&neuron.threshold), widths.threshold, most),
        (MemoryKind::Reset, neuron.reset.as_ref(), widths.threshold, 0),
        (MemoryKind::Decode, neuron.decode.as_ref(), widths.threshold, 0),
    ];
    for (kind, table, width, padding) in tables {
        let Some(table) = table else { continue };
        all.extend((0..layer.npu).map(|bank| {
            let words = table_words(layer, table, bank, padding);
            memory(layer, kind, 0, bank, width, &words)
        }));
    }
    all.extend((0..layer.npu).map(|bank| {
        let cells = layer.target.h * layer.target.w;
        let row = (0..layer.groups_per_bank()).map(|j| channel(&layer.initial, layer, bank, j, 0));
        let row: Vec<i64> = row.collect();
        memory(layer, MemoryKind::Membrane, 0, bank, widths.membrane, &row.repeat(cells))
    }));
    all
}

fn channel(values: &[i64], layer: &Layer, bank: usize, group: usize, padding: i64) -> i64 {
    values.get(group * layer.npu + bank).copied().unwrap_or(padding)
}

fn table_words(layer: &Layer, table: &[Vec<i64>], bank: usize, padding: i64) -> Vec<i64> {
    let steps = table.iter().map(Vec::len).max().unwrap_or(1);
    let cpb = layer.groups_per_bank();
    let at = |t: usize, group: usize| match table.get(group * layer.npu + bank) {
        Some(row) => row.get(t.min(row.len().saturating_sub(1))).copied().unwrap_or(padding),
        None => padding,
    };
    (0..steps * cpb).map(|i| at(i / cpb, i % cpb)).collect()
}

fn weights(layer: &Layer, port: usize, bank: usize) -> Memory {
    let p = &layer.ports[port];
    let mut words = Vec::with_capacity(depth(layer, MemoryKind::Weight, port));
    for ci in 0..p.geometry.inputs_per_group() {
        for ky in 0..p.geometry.kernel[0] {
            for kx in 0..p.geometry.kernel[1] {
                for group in 0..layer.groups_per_bank() {
                    let co = group * layer.npu + bank;
                    let place = p.geometry.weight_place(co, ci, ky, kx);
                    let live = co < layer.target.c;
                    words.push(if live { p.weights[place] } else { 0 });
                }
            }
        }
    }
    memory(layer, MemoryKind::Weight, port, bank, layer.widths.weight, &words)
}

fn memory(
    layer: &Layer,
    kind: MemoryKind,
    port: usize,
    bank: usize,
    width: u8,
    words: &[i64],
) -> Memory {
    let mask = u64::MAX >> (64 - u32::from(width.clamp(1, 64)));
    let words = words.iter().map(|&w| w as u64 & mask).collect();
    Memory { stem: stem(layer.index, kind, port, bank), kind, port, bank, width, words }
}

/// The weights of a port, in the order of the spiking IR, out of its banks.
pub fn gather_weights(layer: &Layer, port: usize, banks: &[Vec<i64>]) -> Vec<i64> {
    let geometry = &layer.ports[port].geometry;
    let mut weights = vec![0; layer.target.c * geometry.weights_per_channel()];
    let cpb = layer.groups_per_bank();
    for (bank, words) in banks.iter().enumerate() {
        for (address, &word) in words.iter().enumerate() {
            let (group, rest) = (address % cpb, address / cpb);
            let (kx, rest) = (rest % geometry.kernel[1], rest / geometry.kernel[1]);
            let (ky, ci) = (rest % geometry.kernel[0], rest / geometry.kernel[0]);
            let co = group * layer.npu + bank;
            if co < layer.target.c
                && let Some(w) = weights.get_mut(geometry.weight_place(co, ci, ky, kx))
            {
                *w = word;
            }
        }
    }
    weights
}

/// One row for each channel out of the banks of a table.
pub fn gather_table(layer: &Layer, banks: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let cpb = layer.groups_per_bank();
    (0..layer.target.c)
        .map(|co| {
            let words = banks.get(co % layer.npu).map_or(&[][..], Vec::as_slice);
            words.iter().skip(co / layer.npu).step_by(cpb).copied().collect()
        })
        .collect()
}

/// Name of the file of a memory in a format.
pub fn file_name(memory: &Memory, format: super::hardware::Format) -> String {
    format!("{}.{}", memory.stem, format.name())
}
