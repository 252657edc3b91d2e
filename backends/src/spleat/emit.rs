//! Writes the image.

use sha2::{Digest, Sha256};
use snnc_ir::analysis::intervals;
use snnc_ir::{Graph, NodeId, Op, Population, SpikingOp};

use super::hardware::{Format, Hardware, OverflowRule};
use super::layer::{Kind, Layer};
use super::legalise::{layers, membrane_range};
use super::manifest::{
    Checks, FORMAT, FileEntry, HardwareEntry, InputEntry, LayerEntry, LayerKind, Manifest,
    OutputEntry, PortEntry, Reads,
};
use super::memory::{self, Memory, MemoryKind};
use super::work::stages;
use super::{ENTRY, PROVENANCE, config};
use crate::{Artefact, EmitError, File};

/// The files of a legalised network.
///
/// # Errors
/// When the network was not legalised for this hardware.
pub fn emit(graph: &Graph, hardware: &Hardware, formats: &[Format]) -> Result<Artefact, EmitError> {
    let fault = |node: &str, reason: String| EmitError::Node { node: node.to_owned(), reason };
    let layers = layers(graph, hardware).map_err(|violations| {
        let first = violations.into_iter().next();
        first.map_or_else(|| fault("network", "has no layers".into()), |v| fault(&v.node, v.reason))
    })?;
    let bounds = intervals(graph).map_err(|e| fault("network", e.to_string()))?;
    let mut files = Vec::new();
    let mut entries = Vec::new();
    for (layer, id) in layers.iter().zip(stages(graph)) {
        let memories =
            image(layer, hardware).map_err(|reason| fault(&graph[id].describe(), reason))?;
        let range = membrane_range(graph, &bounds, id);
        let checks = Checks {
            membrane: [range.low, range.high],
            used_bits: range.bits(),
            available_bits: layer.widths.membrane,
        };
        let mut written = Vec::new();
        for memory in &memories {
            for &format in formats {
                let content = memory::file_name(memory, format);
                let text = super::format::write(memory, format);
                written.push(file_entry(memory, format, &content, text.as_bytes()));
                files.push(File::new(content, text));
            }
        }
        entries.push(layer_entry(graph, id, layer, checks, written));
    }
    let manifest = manifest(graph, hardware, entries)?;
    let mut text =
        serde_json::to_string_pretty(&manifest).map_err(|e| EmitError::Container(e.to_string()))?;
    text.push('\n');
    files.insert(0, File::new(ENTRY, text));
    Ok(Artefact { files })
}

/// All memories of a layer, configuration first, with the checksum in its place.
///
/// # Errors
/// When a number does not fit a configuration word.
pub fn image(layer: &Layer, hardware: &Hardware) -> Result<Vec<Memory>, String> {
    let saturate = hardware.numbers.overflow == OverflowRule::Saturate;
    let mut all = Vec::new();
    for port in 0..layer.ports.len() {
        let words = config::words(layer, port, saturate)?;
        all.push(Memory {
            stem: memory::stem(layer.index, MemoryKind::Configuration, port, 0),
            kind: MemoryKind::Configuration,
            port,
            bank: 0,
            width: 32,
            words: words.iter().map(|&w| u64::from(w)).collect(),
        });
    }
    all.extend(memory::memories(layer));
    let checksum = layer_checksum(&all);
    if let Some(word) = all.first_mut().and_then(|m| m.words.get_mut(config::CHECKSUM)) {
        *word = u64::from(checksum);
    }
    Ok(all)
}

/// CRC-32 over all memories of a layer, the checksum's own word counting as 0.
pub fn layer_checksum(memories: &[Memory]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for (i, memory) in memories.iter().enumerate() {
        let mut bytes = memory.bytes();
        if i == 0
            && let Some(own) = bytes.get_mut(4 * config::CHECKSUM..4 * config::CHECKSUM + 4)
        {
            own.fill(0);
        }
        crc.update(&bytes);
    }
    crc.finalize()
}

/// CRC-32 of one memory, as the manifest has it.
pub fn memory_checksum(memory: &Memory) -> String {
    format!("{:08x}", crc32fast::hash(&memory.bytes()))
}

/// SHA-256 as the manifest has it.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a hardware description, whatever the layout of its file.
pub fn hardware_digest(hardware: &Hardware) -> String {
    sha256(serde_yaml::to_string(hardware).unwrap_or_default().as_bytes())
}

fn file_entry(memory: &Memory, format: Format, path: &str, content: &[u8]) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        kind: memory.kind,
        port: memory.port,
        bank: memory.bank,
        width: memory.width,
        depth: memory.words.len(),
        format,
        crc32: memory_checksum(memory),
        sha256: sha256(content),
    }
}

fn population(graph: &Graph, id: NodeId) -> Option<&Population> {
    match &graph[id].op {
        Op::Spiking(SpikingOp::Population(p)) => Some(p),
        _ => None,
    }
}

fn layer_entry(
    graph: &Graph,
    id: NodeId,
    layer: &Layer,
    checks: Checks,
    files: Vec<FileEntry>,
) -> LayerEntry {
    let node = &graph[id];
    let p = population(graph, id);
    let kind = match layer.neuron.kind {
        Kind::Maximum => LayerKind::Maximum,
        Kind::RunningMaximum => LayerKind::RunningMaximum,
        _ => LayerKind::Neurons,
    };
    let ports = graph.sources(id).into_iter().zip(&layer.ports).map(|(operand, port)| {
        let (source, origins) = match kind {
            LayerKind::Maximum | LayerKind::RunningMaximum => (Some(operand), Vec::new()),
            LayerKind::Neurons => (graph.source(operand, 0), graph[operand].origins.clone()),
        };
        let source = source.map(|s| graph[s].name.clone()).unwrap_or_default();
        PortEntry { name: port.name.clone(), source, dense: port.geometry.dense, origins }
    });
    LayerEntry {
        name: node.name.clone(),
        shape: node.ty.shape.clone(),
        kind,
        coding: p.map_or(snnc_ir::Coding::MultiLevel, |p| p.coding),
        payloads: p.map_or([0, 0], |p| [p.minimum, p.maximum]),
        scale: p.map_or_else(Vec::new, |p| p.scale.clone()),
        origins: node.origins.clone(),
        ports: ports.collect(),
        checks,
        files,
    }
}

fn manifest(
    graph: &Graph,
    hardware: &Hardware,
    layers: Vec<LayerEntry>,
) -> Result<Manifest, EmitError> {
    let order = graph.order().map_err(|e| EmitError::Container(e.to_string()))?;
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for &id in &order {
        let node = &graph[id];
        match &node.op {
            Op::Spiking(SpikingOp::Encoder(encoder)) => inputs.push(InputEntry {
                name: node.name.clone(),
                shape: node.ty.shape.clone(),
                encoder: encoder.clone(),
                origins: node.origins.clone(),
            }),
            Op::Spiking(SpikingOp::Decoder(decoder)) => {
                let source = graph.source(id, 0);
                let kind = source.and_then(|s| population(graph, s)).map(|p| &p.neuron);
                outputs.push(OutputEntry {
                    name: node.name.clone(),
                    source: source.map(|s| graph[s].name.clone()).unwrap_or_default(),
                    reads: match kind.is_some_and(|neuron| !neuron.fires()) {
                        true => Reads::Membrane,
                        false => Reads::Spikes,
                    },
                    dtype: node.ty.dtype.name().to_owned(),
                    shape: node.ty.shape.clone(),
                    decoder: decoder.clone(),
                    origins: node.origins.clone(),
                });
            }
            _ => {}
        }
    }
    Ok(Manifest {
        format: FORMAT.into(),
        version: config::VERSION,
        provenance: PROVENANCE.into(),
        name: graph.name.clone(),
        timing: graph.timing,
        order: order.iter().map(|&id| graph[id].name.clone()).collect(),
        hardware: HardwareEntry {
            sha256: hardware_digest(hardware),
            description: hardware.clone(),
        },
        inputs,
        layers,
        outputs,
    })
}
