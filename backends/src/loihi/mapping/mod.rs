//! Which cores of which chips a network takes, and `mapping.yaml`, which says so.
//!
//! Nothing public maps a network onto Loihi, so this is a model of its own, made from the figures of
//! `devices.yaml`: populations are cut by channels, or rows of channels, until every core keeps its
//! limits, and laid out along a meander through the mesh, so that layers that talk are neighbours.

mod device;
mod partition;

use std::collections::BTreeMap;

use serde::Serialize;
use snnc_ir::{Graph, Node};

pub(super) use device::{Device, device, devices};
use partition::{Block, Partition, partition};

use crate::{EmitError, FitRow, Violation};

/// The whole file.
#[derive(Serialize)]
struct Mapping<'a> {
    format: u32,
    device: &'a str,
    timesteps: usize,
    latency: usize,
    cores: u64,
    chips: u64,
    figures: Vec<Figure<'a>>,
    layers: Vec<Row<'a>>,
}

/// A figure of the device.
#[derive(Serialize)]
struct Figure<'a> {
    what: &'a str,
    value: u64,
    source: &'a str,
    confidence: &'a str,
}

/// One population. The figures of a core are those of a full one.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    shape: &'a [usize],
    neurons: usize,
    /// Weights as the file holds them.
    weights: usize,
    /// Largest magnitude of a weight.
    largest_weight: i64,
    first_core: u64,
    cores: u64,
    neurons_per_core: u64,
    synapse_bits_per_core: u64,
    input_axons_per_core: u64,
    /// Spikes to other cores in a timestep in which every neuron fires.
    messages_at_full_rate: u64,
    /// Cores that those pass.
    hops_at_full_rate: u64,
    /// What was seen on data.
    #[serde(flatten)]
    seen: Option<Seen>,
}

/// Mean traffic in a timestep, by the spikes of a trace.
#[derive(Serialize)]
struct Seen {
    /// Spikes of the population.
    spikes_per_timestep: f64,
    /// Spikes to other cores.
    messages_per_timestep: f64,
    /// Cores that those pass.
    hops_per_timestep: f64,
}

impl Seen {
    /// Every spike goes to as many cores as when all neurons fire.
    fn of(spikes: f64, row: &Row<'_>) -> Seen {
        let part = spikes / row.neurons.max(1) as f64;
        let rounded = |x: f64| (x * 1000.0).round() / 1000.0;
        Seen {
            spikes_per_timestep: rounded(spikes),
            messages_per_timestep: rounded(part * row.messages_at_full_rate as f64),
            hops_per_timestep: rounded(part * row.hops_at_full_rate as f64),
        }
    }
}

/// Resources of a device that the network takes.
pub(super) fn fit(graph: &Graph, device: &Device) -> Vec<FitRow> {
    let partition = partition(graph, device);
    let most = |f: fn(&Block) -> u64| partition.blocks.iter().map(f).max().unwrap_or(0);
    let row = |resource: &str, used: u64, available: u64| FitRow {
        resource: resource.into(),
        used,
        available: Some(available),
    };
    let cores = device.cores_per_chip.value;
    let mut rows = vec![
        row("cores", partition.cores(), cores * device.chips.value),
        row("chips", partition.cores().div_ceil(cores), device.chips.value),
        row(
            "neurons of the fullest core",
            most(|b| b.neurons_per_core),
            device.neurons_per_core.value,
        ),
        row(
            "bits of synapses of the fullest core",
            most(|b| b.synapse_bits_per_core),
            device.synapse_bits_per_core.value,
        ),
    ];
    if let Some(axons) = &device.input_axons_per_core {
        rows.push(row("input axons of the fullest core", most(|b| b.axons_per_core), axons.value));
    }
    rows
}

/// What cannot be mapped.
pub(super) fn violations(graph: &Graph, device: &Device) -> Vec<Violation> {
    let partition = partition(graph, device);
    let mut found: Vec<Violation> = partition
        .blocks
        .iter()
        .filter_map(|b| {
            let (what, needed) = b.excess?;
            Some(Violation::new(
                &graph[b.population],
                format!(
                    "its smallest part needs {needed} {what}, more than a core of {} has",
                    device.title
                ),
                "make the layer smaller, or go on with --force",
            ))
        })
        .collect();
    let available = device.cores_per_chip.value * device.chips.value;
    if partition.cores() > available {
        found.push(Violation {
            node: "the network".into(),
            reason: format!(
                "takes {} cores, and the largest system of {} has {available}",
                partition.cores(),
                device.title
            ),
            remedy: "make the network smaller, or go on with --force".into(),
        });
    }
    found
}

/// Writes the file; with the mean spikes of a timestep by population, if they are known.
///
/// # Errors
/// When the graph has no order.
pub(super) fn write(
    graph: &Graph,
    device: &Device,
    spikes: Option<&BTreeMap<String, f64>>,
) -> Result<String, EmitError> {
    graph.order().map_err(|e| EmitError::Container(e.to_string()))?;
    let partition = partition(graph, device);
    let mut layers: Vec<Row<'_>> = rows(graph, &partition);
    for row in &mut layers {
        row.seen = spikes.and_then(|s| s.get(row.name)).map(|&spikes| Seen::of(spikes, row));
    }
    let latency = layers.iter().filter(|r| r.weights > 0).count();
    let figures = device.figures().into_iter();
    let mapping = Mapping {
        format: 1,
        device: &device.name,
        timesteps: graph.timing.timesteps,
        latency,
        cores: partition.cores(),
        chips: partition.cores().div_ceil(device.cores_per_chip.value),
        figures: figures
            .map(|(what, value, source, confidence)| Figure { what, value, source, confidence })
            .collect(),
        layers,
    };
    serde_yaml::to_string(&mapping).map_err(|e| EmitError::Container(e.to_string()))
}

fn rows<'a>(graph: &'a Graph, partition: &Partition) -> Vec<Row<'a>> {
    let flows = partition.messages.iter().zip(&partition.hops);
    let row = |(b, (&messages, &hops)): (&Block, (&u64, &u64))| {
        let node: &Node = &graph[b.population];
        let synapses = graph.sources(b.population).into_iter();
        let weights: Vec<_> = synapses.filter_map(|s| graph[s].data.as_ref()).collect();
        let all = weights.iter().filter_map(|w| w.to_i64().ok()).flatten();
        Row {
            name: &node.name,
            shape: &node.ty.shape,
            neurons: node.ty.len(),
            weights: weights.iter().map(|w| w.len()).sum(),
            largest_weight: all.map(i64::abs).max().unwrap_or(0),
            first_core: b.first_core,
            cores: b.cores,
            neurons_per_core: b.neurons_per_core,
            synapse_bits_per_core: b.synapse_bits_per_core,
            input_axons_per_core: b.axons_per_core,
            messages_at_full_rate: messages,
            hops_at_full_rate: hops,
            seen: None,
        }
    };
    partition.blocks.iter().zip(flows).map(row).collect()
}
