//! What a simulation needs beside the image: the capacities of a build, and the plan that connects
//! the layers of one image in it.

use crate::spleat::layer::{Kind, Layer};
use crate::spleat::manifest::Manifest;
use crate::spleat::memory::{MemoryKind, depth};

/// How much a build of the model holds. Every image that fits runs in the same build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacities {
    layers: usize,
    inputs: usize,
    ports: usize,
    lanes: usize,
    weights: usize,
    channels: usize,
    thresholds: usize,
    resets: usize,
    decodes: usize,
    neurons: usize,
    sources: usize,
    windows: usize,
    fifo: usize,
}

impl Capacities {
    /// What an image takes.
    pub fn of(manifest: &Manifest, layers: &[Layer]) -> Capacities {
        let hardware = &manifest.hardware.description;
        let start = Capacities {
            layers: layers.len(),
            inputs: manifest.inputs.len(),
            ..Capacities::default()
        };
        layers.iter().fold(start, |all, layer| {
            let banks = |kind| layer.npu * depth(layer, kind, 0);
            let weights: usize =
                (0..layer.ports.len()).map(|p| depth(layer, MemoryKind::Weight, p)).sum();
            let running = layer.neuron.kind == Kind::RunningMaximum;
            let sources = layer.ports.iter().map(|p| p.geometry.source.neurons()).sum();
            let resources = hardware.resources(&layer.name);
            all.and(Capacities {
                ports: layer.ports.len(),
                lanes: layer.npu,
                weights: layer.npu * weights,
                channels: layer.npu * layer.groups_per_bank(),
                thresholds: banks(MemoryKind::Threshold),
                resets: banks(MemoryKind::Reset),
                decodes: banks(MemoryKind::Decode),
                neurons: banks(MemoryKind::Membrane),
                sources: if running { sources } else { 0 },
                windows: if running { banks(MemoryKind::Membrane) } else { 0 },
                fifo: resources.fifo_in.max(resources.fifo_out),
                ..Capacities::default()
            })
        })
    }

    /// What holds both.
    #[must_use]
    pub fn and(self, other: Capacities) -> Capacities {
        Capacities {
            layers: self.layers.max(other.layers),
            inputs: self.inputs.max(other.inputs),
            ports: self.ports.max(other.ports),
            lanes: self.lanes.max(other.lanes),
            weights: self.weights.max(other.weights),
            channels: self.channels.max(other.channels),
            thresholds: self.thresholds.max(other.thresholds),
            resets: self.resets.max(other.resets),
            decodes: self.decodes.max(other.decodes),
            neurons: self.neurons.max(other.neurons),
            sources: self.sources.max(other.sources),
            windows: self.windows.max(other.windows),
            fifo: self.fifo.max(other.fifo),
        }
    }

    /// The parameters of the top module, none below 1.
    pub(super) fn parameters(&self) -> [(&'static str, usize); 13] {
        [
            ("LAYERS", self.layers),
            ("INPUTS", self.inputs),
            ("PORTS", self.ports),
            ("LANES", self.lanes),
            ("WEIGHTS", self.weights),
            ("CHANNELS", self.channels),
            ("THRESHOLDS", self.thresholds),
            ("RESETS", self.resets),
            ("DECODES", self.decodes),
            ("NEURONS", self.neurons),
            ("SOURCES", self.sources),
            ("WINDOWS", self.windows),
            ("FIFO", self.fifo),
        ]
        .map(|(name, value)| (name, value.max(1)))
    }
}

/// The content of `plan.mem`: which stream feeds which port, and what no configuration word has.
/// Its layout is at the head of `top.sv`.
///
/// # Errors
/// When the image is larger than the capacities, or a port is fed by nothing.
pub fn plan(
    manifest: &Manifest,
    layers: &[Layer],
    samples: usize,
    capacities: &Capacities,
) -> Result<String, String> {
    let own = Capacities::of(manifest, layers);
    if capacities.and(own) != *capacities {
        return Err("the image is larger than what the simulation was built for".into());
    }
    let hardware = &manifest.hardware.description;
    let aer = &hardware.aer;
    let wide = |[high, low]: [u32; 2]| (high - low + 1) as usize;
    let low = |field: [u32; 2]| field[1] as usize;
    let mut words = vec![layers.len(), manifest.inputs.len(), samples, patience(manifest, layers)];
    words.push(low(aer.kind));
    for field in [aer.payload, aer.c, aer.y, aer.x] {
        words.extend([low(field), wide(field)]);
    }
    words.push(usize::from(aer.payload_signed));
    let streams: Vec<&str> = manifest
        .inputs
        .iter()
        .map(|i| i.name.as_str())
        .chain(manifest.layers.iter().map(|l| l.name.as_str()))
        .collect();
    for (layer, entry) in layers.iter().zip(&manifest.layers) {
        let resources = hardware.resources(&layer.name);
        words.extend([
            layer.ports.len(),
            usize::from(layer.widths.bias),
            usize::from(layer.widths.threshold),
            depth(layer, MemoryKind::Threshold, 0),
            depth(layer, MemoryKind::Reset, 0),
            depth(layer, MemoryKind::Decode, 0),
            resources.fifo_out,
            usize::from(layer.neuron.kind == Kind::RunningMaximum),
        ]);
        for port in &entry.ports {
            let stream = streams.iter().position(|name| *name == port.source);
            words.push(stream.ok_or_else(|| format!("nothing sends to `{}`", entry.name))?);
            words.push(resources.fifo_in);
        }
        words.extend(vec![0; 2 * capacities.ports.saturating_sub(entry.ports.len())]);
    }
    let unused = capacities.layers.saturating_sub(layers.len());
    words.extend(vec![0; unused * (8 + 2 * capacities.ports)]);
    words.into_iter().map(line).collect()
}

fn line(word: usize) -> Result<String, String> {
    let word =
        u32::try_from(word).map_err(|_| format!("{word} does not fit a word of the plan"))?;
    Ok(format!("{word:08X}\n"))
}

/// Clocks in which all layers together empty their FIFOs and sweep: without a word handed on for
/// longer, nothing will ever be.
fn patience(manifest: &Manifest, layers: &[Layer]) -> usize {
    let hardware = &manifest.hardware.description;
    let each = layers.iter().map(|layer| {
        let groups = layer.groups_per_bank();
        let sweep = 2 * layer.target.h * layer.target.w * groups + layer.target.neurons();
        let waiting = hardware.resources(&layer.name).fifo_in;
        let taps = layer.ports.iter().map(|p| p.geometry.kernel[0] * p.geometry.kernel[1]);
        sweep + taps.map(|t| waiting * t * groups).sum::<usize>()
    });
    (2 * each.sum::<usize>() + 10_000).min(1 << 31)
}
