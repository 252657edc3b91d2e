//! What an image takes of the hardware.

use snnc_ir::Graph;

use super::hardware::Hardware;
use super::layer::Layer;
use super::memory;
use crate::{FitRow, Violation};

/// Bits of each kind of memory, and the memory blocks where the hardware says what it has.
pub fn rows(layers: &[Layer], _hardware: &Hardware) -> Vec<FitRow> {
    let mut rows = vec![FitRow {
        resource: "layers".into(),
        used: layers.len() as u64,
        available: Some(_hardware.limits.max_layers as u64),
    }];
    let memories: Vec<memory::Memory> = layers.iter().flat_map(memory::memories).collect();
    for kind in memory::MemoryKind::ALL {
        let bits = memories.iter().filter(|m| m.kind == kind).map(memory::Memory::bits).sum();
        if bits > 0 {
            rows.push(FitRow {
                resource: format!("{} memory (bits)", kind.name()),
                used: bits,
                available: None,
            });
        }
    }
    rows
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
