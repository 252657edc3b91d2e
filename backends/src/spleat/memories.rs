//! The memories that the modules of an image have, in their own depths and widths.

use super::manifest::{LayerEntry, LayerKind, Manifest};
use super::memory::MemoryKind;
use crate::{FileSource, LayerMemories, MemorySize, ReadError};

/// The memories of every layer of neurons, as the manifest at `entry` has them.
pub fn memories(files: &dyn FileSource, entry: &str) -> Result<Vec<LayerMemories>, ReadError> {
    let content = files.read(entry)?;
    let manifest: Manifest = serde_json::from_slice(&content).map_err(|e| {
        let (place, reason) = (format!("line {}", e.line()), e.to_string());
        ReadError::Malformed { file: entry.to_owned(), place, reason }
    })?;
    let hardware = &manifest.hardware.description;
    let layer = |layer: &LayerEntry| {
        let resources = hardware.resources(&layer.name);
        let queue = |words| MemorySize { words, bits: hardware.aer.bits };
        LayerMemories {
            population: layer.name.clone(),
            weights: (0..layer.ports.len()).map(|i| bank(layer, MemoryKind::Weight, i)).collect(),
            bias: bank(layer, MemoryKind::Bias, 0),
            potentials: bank(layer, MemoryKind::Membrane, 0),
            queue_in: queue(resources.fifo_in),
            queue_out: queue(resources.fifo_out),
        }
    };
    let neurons = |l: &&LayerEntry| l.kind == LayerKind::Neurons;
    Ok(manifest.layers.iter().filter(neurons).map(layer).collect())
}

/// The first bank of a memory; all banks have its size.
fn bank(layer: &LayerEntry, kind: MemoryKind, port: usize) -> MemorySize {
    let entry = layer.files.iter().find(|f| f.kind == kind && f.port == port);
    let nothing = MemorySize { words: 0, bits: 0 };
    entry.map_or(nothing, |f| MemorySize { words: f.depth, bits: f.width.into() })
}
