//! Reads an image back: the numbers from the memories, the names from the manifest.

mod nodes;

use std::collections::HashMap;

use snnc_ir::{Graph, Node, Operand, Schedule, Stage, verify};

use nodes::{input_node, maximum_node, output_node, population_node, projection_node, skeleton};

use super::config::{self, Configuration};
use super::emit::{hardware_digest, layer_checksum, memory_checksum, sha256};
use super::geometry::Map;
use super::hardware::Format;
use super::layer::{Kind, Layer};
use super::manifest::{FORMAT, FileEntry, LayerEntry, LayerKind, Manifest};
use super::memory::{self, Memory, MemoryKind};
use crate::{FileSource, ReadError};

/// Whether checksums are held against the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// They must agree.
    Checked,
    /// They are ignored, so that damage shows in what the network does (for tests).
    Ignored,
}

/// The network in an image.
///
/// # Errors
/// When the manifest or a memory is missing, malformed, or does not go with the others.
pub fn read(files: &dyn FileSource, entry: &str, checksums: Checksums) -> Result<Graph, ReadError> {
    let reader = Reader::open(files, entry, checksums)?;
    reader.graph()
}

/// The manifest and the layers of an image.
///
/// # Errors
/// As [`read`].
pub fn read_layers(
    files: &dyn FileSource,
    entry: &str,
    checksums: Checksums,
) -> Result<(Manifest, Vec<Layer>), ReadError> {
    let reader = Reader::open(files, entry, checksums)?;
    let layers = reader.layers()?;
    Ok((reader.manifest, layers))
}

struct Reader<'a> {
    files: &'a dyn FileSource,
    entry: &'a str,
    checksums: Checksums,
    manifest: Manifest,
    shapes: HashMap<String, Vec<usize>>,
}

impl<'a> Reader<'a> {
    fn open(
        files: &'a dyn FileSource,
        entry: &'a str,
        checksums: Checksums,
    ) -> Result<Self, ReadError> {
        let content = files.read(entry)?;
        let malformed = |place: &str, reason: String| ReadError::Malformed {
            file: entry.to_owned(),
            place: place.to_owned(),
            reason,
        };
        let manifest: Manifest = serde_json::from_slice(&content)
            .map_err(|e| malformed(&format!("line {}", e.line()), e.to_string()))?;
        if manifest.format != FORMAT {
            return Err(malformed("format", format!("`{}` is not `{FORMAT}`", manifest.format)));
        }
        if manifest.version != config::VERSION {
            let what = format!("version {}", manifest.version);
            return Err(ReadError::Unsupported {
                file: entry.to_owned(),
                place: "version".into(),
                what,
            });
        }
        let hardware = &manifest.hardware;
        if let Some(problem) = hardware.description.problems().into_iter().next() {
            return Err(malformed("hardware.description", problem));
        }
        if checksums == Checksums::Checked
            && hardware_digest(&hardware.description) != hardware.sha256
        {
            let reason = "the description's SHA-256 is another".to_owned();
            return Err(malformed("hardware.sha256", reason));
        }
        let mut shapes = HashMap::new();
        let named = manifest.inputs.iter().map(|i| (&i.name, &i.shape));
        for (name, shape) in named.chain(manifest.layers.iter().map(|l| (&l.name, &l.shape))) {
            let neurons = shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d));
            if Map::of(shape).is_none() || neurons.is_none_or(|n| n == 0 || n > 1 << 32) {
                return Err(malformed(name, format!("a map of shape {shape:?}")));
            }
            shapes.insert(name.clone(), shape.clone());
        }
        Ok(Reader { files, entry, checksums, manifest, shapes })
    }

    fn malformed(&self, place: impl Into<String>, reason: impl Into<String>) -> ReadError {
        ReadError::Malformed {
            file: self.entry.to_owned(),
            place: place.into(),
            reason: reason.into(),
        }
    }

    fn layers(&self) -> Result<Vec<Layer>, ReadError> {
        self.manifest.layers.iter().enumerate().map(|(i, entry)| self.layer(i, entry)).collect()
    }

    /// The words of one memory file, its width, depth and checksums as the manifest has them.
    fn memory(&self, entry: &FileEntry) -> Result<Memory, ReadError> {
        let wrong = |place: String, reason: String| ReadError::Malformed {
            file: entry.path.clone(),
            place,
            reason,
        };
        if !(1..=64).contains(&entry.width) {
            return Err(self.malformed(&entry.path, format!("words of {} bits", entry.width)));
        }
        let content = self.files.read(&entry.path)?;
        let words = super::format::parse_mem(&content, entry.width, entry.depth)
            .map_err(|(line, reason)| wrong(format!("line {line}"), reason))?;
        let memory = Memory {
            stem: entry.path.clone(),
            kind: entry.kind,
            port: entry.port,
            bank: entry.bank,
            width: entry.width,
            words,
        };
        if self.checksums == Checksums::Checked {
            let sums = [
                ("CRC-32", memory_checksum(&memory), &entry.crc32),
                ("SHA-256", sha256(&content), &entry.sha256),
            ];
            for (name, found, stated) in sums {
                if found != *stated {
                    let reason = format!("the {name} is {found}, but the manifest says {stated}");
                    return Err(wrong("content".into(), reason));
                }
            }
        }
        Ok(memory)
    }

    fn layer(&self, index: usize, entry: &LayerEntry) -> Result<Layer, ReadError> {
        let place = format!("layers[{index}]");
        let used = entry.files.iter().filter(|f| f.format == Format::Mem);
        let memories = used.map(|f| self.memory(f)).collect::<Result<Vec<_>, _>>()?;
        let mut configurations = Vec::new();
        for (port, port_entry) in entry.ports.iter().enumerate() {
            let found = memories
                .iter()
                .find(|m| m.kind == MemoryKind::Configuration && m.port == port)
                .ok_or_else(|| {
                    self.malformed(&place, format!("port {port} has no configuration"))
                })?;
            let shape = self.shapes.get(&port_entry.source).and_then(|s| Map::of(s));
            let source = shape.ok_or_else(|| {
                self.malformed(&place, format!("there is no `{}`", port_entry.source))
            })?;
            let words: Vec<u32> = found.words.iter().map(|&w| w as u32).collect();
            let parsed =
                config::parse(&words, source, port_entry.dense).map_err(|(word, reason)| {
                    ReadError::Malformed {
                        file: found.stem.clone(),
                        place: format!("word {word}"),
                        reason,
                    }
                })?;
            configurations.push(parsed);
        }
        let Some(first) = configurations.first().cloned() else {
            return Err(self.malformed(&place, "no synapses"));
        };
        self.consistent(&place, entry, &configurations)?;
        if self.checksums == Checksums::Checked && layer_checksum(&memories) != first.checksum {
            return Err(self.malformed(&place, "the checksum in configuration word 30 is another"));
        }
        let mut layer = skeleton(index, entry, &configurations, &memories);
        let is_maximum = first.neuron.is_maximum();
        let stated = match entry.kind {
            LayerKind::Neurons => None,
            LayerKind::Maximum => Some(Kind::Maximum),
            LayerKind::RunningMaximum => Some(Kind::RunningMaximum),
        };
        if stated != is_maximum.then_some(first.neuron) || is_maximum && layer.ports.len() != 1 {
            return Err(self.malformed(&place, "configuration and manifest disagree on maxima"));
        }
        if !is_maximum {
            self.numbers(&mut layer, &first, &memories, &place)?;
        }
        Ok(layer)
    }

    /// Whether the ports and the manifest say the same of the neurons.
    fn consistent(
        &self,
        place: &str,
        entry: &LayerEntry,
        configurations: &[Configuration],
    ) -> Result<(), ReadError> {
        let first = &configurations[0];
        let target = Map::of(&entry.shape);
        for (port, c) in configurations.iter().enumerate() {
            let same = Configuration {
                kind: first.kind,
                geometry: first.geometry.clone(),
                checksum: first.checksum,
                ..c.clone()
            };
            if (port > 0) != (c.kind == 3) || same != *first || Some(c.geometry.target) != target {
                return Err(self.malformed(place, format!("port {port} describes other neurons")));
            }
            if c.geometry.dense != entry.ports[port].dense {
                return Err(self.malformed(place, format!("port {port} is of another type")));
            }
        }
        if first.timesteps != self.manifest.timing.timesteps {
            let reason =
                format!("{} timesteps, not {}", first.timesteps, self.manifest.timing.timesteps);
            return Err(self.malformed(place, reason));
        }
        let barrier = self.manifest.timing.schedule == Schedule::LayerSynchronous;
        if first.barrier != (barrier && !first.neuron.is_maximum()) {
            return Err(self.malformed(place, "another schedule than the network's"));
        }
        Ok(())
    }

    /// Fills in what the memories hold.
    fn numbers(
        &self,
        layer: &mut Layer,
        first: &Configuration,
        memories: &[Memory],
        place: &str,
    ) -> Result<(), ReadError> {
        let steps = if first.tables[0] { first.timesteps } else { 1 };
        layer.neuron.threshold = vec![vec![0; steps]];
        layer.neuron.reset = None;
        layer.neuron.decode = None;
        for port in 0..layer.ports.len() {
            let banks = self.banks(layer, memories, MemoryKind::Weight, port, place)?;
            layer.ports[port].weights = memory::gather_weights(layer, port, &banks);
        }
        let bias = self.banks(layer, memories, MemoryKind::Bias, 0, place)?;
        layer.bias = memory::gather_table(layer, &bias).into_iter().flatten().collect();
        let threshold = self.banks(layer, memories, MemoryKind::Threshold, 0, place)?;
        layer.neuron.threshold = memory::gather_table(layer, &threshold);
        for (present, kind) in
            [(first.tables[1], MemoryKind::Reset), (first.tables[2], MemoryKind::Decode)]
        {
            if !present {
                continue;
            }
            // The length in time is the file's: one entry, or one for each timestep.
            let depth = memories.iter().find(|m| m.kind == kind).map_or(0, |m| m.words.len());
            let rows = depth / layer.groups_per_bank().max(1);
            if rows != 1 && rows != first.timesteps {
                return Err(
                    self.malformed(place, format!("a {} table of {rows} timesteps", kind.name()))
                );
            }
            let shape = Some(vec![vec![0; rows]]);
            match kind {
                MemoryKind::Reset => layer.neuron.reset = shape,
                _ => layer.neuron.decode = shape,
            }
            let banks = self.banks(layer, memories, kind, 0, place)?;
            let table = Some(memory::gather_table(layer, &banks));
            match kind {
                MemoryKind::Reset => layer.neuron.reset = table,
                _ => layer.neuron.decode = table,
            }
        }
        let membranes = self.banks(layer, memories, MemoryKind::Membrane, 0, place)?;
        let cells = memory::gather_table(layer, &membranes);
        if cells.iter().any(|row| row.iter().any(|v| *v != row[0])) {
            let what = "an initial potential that differs within a channel".to_owned();
            return Err(ReadError::Unsupported {
                file: self.entry.into(),
                place: place.into(),
                what,
            });
        }
        // In the spiking IR a read-out adds its bias in every timestep or in the first.
        let readout = layer.neuron.kind == Kind::Accumulate;
        let biased = layer.barrier || layer.bias.iter().any(|&b| b != 0);
        if readout && biased && cells.iter().flatten().any(|&v| v != 0) {
            let what = "a read-out with a bias and an initial potential".to_owned();
            let (file, place) = (self.entry.to_owned(), place.to_owned());
            return Err(ReadError::Unsupported { file, place, what });
        }
        layer.initial = cells.iter().filter_map(|row| row.first().copied()).collect();
        Ok(())
    }

    /// The banks of one memory, each of the right depth.
    fn banks(
        &self,
        layer: &Layer,
        memories: &[Memory],
        kind: MemoryKind,
        port: usize,
        place: &str,
    ) -> Result<Vec<Vec<i64>>, ReadError> {
        let depth = memory::depth(layer, kind, port);
        let width = match kind {
            MemoryKind::Weight => layer.widths.weight,
            MemoryKind::Membrane => layer.widths.membrane,
            MemoryKind::Bias => layer.widths.bias,
            _ => layer.widths.threshold,
        };
        (0..layer.npu)
            .map(|bank| {
                let is_it = |m: &&Memory| m.kind == kind && m.port == port && m.bank == bank;
                let found = memories.iter().find(is_it).ok_or_else(|| {
                    self.malformed(place, format!("no {} memory of bank {bank}", kind.name()))
                })?;
                if found.words.len() != depth || found.width != width {
                    let reason = format!(
                        "{} words of {} bits where the configuration asks for {depth} of {width}",
                        found.words.len(),
                        found.width
                    );
                    return Err(ReadError::Malformed {
                        file: found.stem.clone(),
                        place: "size".into(),
                        reason,
                    });
                }
                Ok(found.signed())
            })
            .collect()
    }

    fn graph(&self) -> Result<Graph, ReadError> {
        let manifest = &self.manifest;
        let mut nodes: HashMap<String, (Node, Vec<String>)> = HashMap::new();
        for entry in &manifest.inputs {
            nodes.insert(entry.name.clone(), (input_node(entry), Vec::new()));
        }
        for (entry, layer) in manifest.layers.iter().zip(self.layers()?) {
            if let (true, [port]) = (layer.neuron.kind.is_maximum(), entry.ports.as_slice()) {
                let node = maximum_node(&layer, entry);
                nodes.insert(entry.name.clone(), (node, vec![port.source.clone()]));
                continue;
            }
            for (port, port_entry) in layer.ports.iter().zip(&entry.ports) {
                let node = projection_node(&layer, port, entry).with_origins(&port_entry.origins);
                nodes.insert(port.name.clone(), (node, vec![port_entry.source.clone()]));
            }
            let operands = entry.ports.iter().map(|p| p.name.clone()).collect();
            nodes.insert(entry.name.clone(), (population_node(&layer, entry), operands));
        }
        for entry in &manifest.outputs {
            let node = output_node(entry).map_err(|reason| self.malformed(&entry.name, reason))?;
            nodes.insert(entry.name.clone(), (node, vec![entry.source.clone()]));
        }
        self.assemble(nodes)
    }

    /// The graph of the named nodes, in the order that the manifest gives.
    fn assemble(
        &self,
        mut nodes: HashMap<String, (Node, Vec<String>)>,
    ) -> Result<Graph, ReadError> {
        let mut graph = Graph::new(self.manifest.name.clone(), Stage::Spiking);
        graph.timing = self.manifest.timing;
        let mut ids = HashMap::new();
        let mut pending = Vec::new();
        for name in &self.manifest.order {
            let Some((node, operands)) = nodes.remove(name) else {
                return Err(self.malformed("order", format!("`{name}` is not there, or twice")));
            };
            let id = graph.add(node, &[]);
            ids.insert(name, id);
            pending.push((id, name, operands));
        }
        if let Some(name) = nodes.keys().min() {
            return Err(self.malformed("order", format!("`{name}` is left out")));
        }
        for (id, name, operands) in pending {
            let find =
                |operand: &String| ids.get(operand).map(|&source| Operand { source, delay: 0 });
            let found: Option<Vec<Operand>> = operands.iter().map(find).collect();
            let Some(found) = found else {
                return Err(
                    self.malformed(name, format!("an operand among {operands:?} is not there"))
                );
            };
            graph.set_operands(id, &found);
        }
        verify(graph).map(|verified| verified.into_inner()).map_err(|errors| {
            let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
            self.malformed("network", reasons.join("; "))
        })
    }
}
