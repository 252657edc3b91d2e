//! What an image takes of the hardware.

use serde::Deserialize;
use snnc_ir::Graph;

use super::hardware::{BlockKind, Hardware};
use super::layer::{Kind, Layer};
use super::memory::{self, Memory, MemoryKind};
use crate::{FitRow, Violation};

/// Bits of each kind of memory, and the memory blocks where the hardware says what it has.
pub fn rows(layers: &[Layer], hardware: &Hardware) -> Vec<FitRow> {
    let row =
        |resource: String, used: u64, available: Option<u64>| FitRow { resource, used, available };
    let most = Some(hardware.limits.max_layers as u64);
    let mut rows = vec![row("layers".into(), layers.len() as u64, most)];
    let memories: Vec<Memory> = layers.iter().flat_map(memory::memories).collect();
    for kind in MemoryKind::ALL {
        let bits = memories.iter().filter(|m| m.kind == kind).map(Memory::bits).sum();
        if bits > 0 {
            rows.push(row(format!("{} memory (bits)", kind.name()), bits, None));
        }
    }
    let held = layers.iter().filter(|l| l.neuron.kind.is_maximum()).map(buffers);
    let fifos = layers.iter().flat_map(|layer| fifos(layer, hardware));
    let others: Vec<(u64, u64)> = held.flatten().chain(fifos).collect();
    let bits = others.iter().map(|(depth, width)| depth * width).sum();
    rows.push(row("FIFOs and buffers (bits)".into(), bits, None));
    if let Some(blocks) = &hardware.memory_blocks
        && let Some(block) = Block::of(blocks.kind)
    {
        let stored = memories.iter().map(|m| (m.words.len() as u64, u64::from(m.width)));
        let used = stored.chain(others).map(|(depth, width)| block.count(depth, width)).sum();
        rows.push(row(format!("{} blocks", block.name), used, Some(blocks.count)));
    }
    rows
}

/// The largest payloads or totals so far of a layer of maxima, and for running maxima what was sent
/// and the totals themselves; as depth and width of each bank.
fn buffers(layer: &Layer) -> Vec<(u64, u64)> {
    let width = u64::from(layer.widths.membrane);
    let windows = memory::depth(layer, MemoryKind::Membrane, 0) as u64;
    let mut all = vec![(windows, width); layer.npu];
    if layer.neuron.kind == Kind::RunningMaximum {
        all.extend(all.clone());
        let maps = layer.ports.iter().map(|p| p.geometry.source);
        let cells: usize = maps.map(|m| m.h * m.w * layer.groups_per_bank()).sum();
        all.extend(vec![(cells as u64, width); layer.npu]);
    }
    all
}

/// A FIFO before each port and one behind the layer.
fn fifos(layer: &Layer, hardware: &Hardware) -> Vec<(u64, u64)> {
    let resources = hardware.resources(&layer.name);
    let width = u64::from(hardware.aer.bits);
    let mut fifos = vec![(resources.fifo_in as u64, width); layer.ports.len()];
    fifos.push((resources.fifo_out as u64, width));
    fifos
}

/// A kind of memory block.
#[derive(Clone, Debug, Deserialize)]
struct Block {
    name: String,
    /// Words and bits of each configuration.
    shapes: Vec<(u64, u64)>,
}

#[derive(Deserialize)]
struct Blocks {
    xilinx_bram36: Block,
    intel_m10k: Block,
    lattice_ebr18: Block,
    lattice_ebr4: Block,
}

impl Block {
    fn of(kind: BlockKind) -> Option<Block> {
        let blocks: Blocks = serde_yaml::from_str(include_str!("hardware/blocks.yaml")).ok()?;
        Some(match kind {
            BlockKind::XilinxBram36 => blocks.xilinx_bram36,
            BlockKind::IntelM10k => blocks.intel_m10k,
            BlockKind::LatticeEbr18 => blocks.lattice_ebr18,
            BlockKind::LatticeEbr4 => blocks.lattice_ebr4,
        })
    }

    /// Blocks for a memory, in the configuration that takes the fewest.
    fn count(&self, depth: u64, width: u64) -> u64 {
        let take = |&(words, bits): &(u64, u64)| depth.div_ceil(words) * width.div_ceil(bits);
        self.shapes.iter().map(take).min().unwrap_or(0)
    }
}

/// Resources of which there are not enough.
pub fn lacking(graph: &Graph, rows: &[FitRow]) -> Vec<Violation> {
    rows.iter()
        .filter_map(|row| {
            let available = row.available.filter(|&a| row.used > a)?;
            Some(Violation {
                node: format!("network `{}`", graph.name),
                reason: format!(
                    "takes {} {}, the hardware has {available}",
                    row.used, row.resource
                ),
                remedy:
                    "use a larger device, fewer bits, or --force to write the image nevertheless"
                        .into(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_take_the_best_shape() {
        let m10k = Block::of(BlockKind::IntelM10k).unwrap();
        assert_eq!([m10k.count(256, 40), m10k.count(257, 40), m10k.count(8192, 1)], [1, 2, 1]);
        let bram = Block::of(BlockKind::XilinxBram36).unwrap();
        assert_eq!([bram.count(1024, 32), bram.count(10_000, 16), bram.count(1, 72)], [1, 5, 1]);
        // 1.08 million weights of 16 bits: 17.3 Mbit, more than 557 M10K hold, less than 912 BRAM36.
        assert!(m10k.count(1_080_000, 16) > 557 && bram.count(1_080_000, 16) < 912);
    }
}
