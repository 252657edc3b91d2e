//! Clocks that the modules of a memory image spend on samples, by the model of their RTL.

use std::collections::HashMap;

use snnc_backends::spleat::aer::events;
use snnc_backends::spleat::{Checksums, Kind, Layer, Manifest, cycles, read_layers};
use snnc_backends::{FileSource, ReadError};
use snnc_ir::{Graph, NodeId};

use crate::Error;
use crate::data::Dataset;
use crate::evaluate::Runner;

/// The layers of an image, ready to count clocks.
pub struct Clocks {
    layers: Vec<Layer>,
    /// Ports by the name of what sends to them, as layer and port.
    ports: HashMap<String, Vec<(usize, usize)>>,
    /// Layers that send, by name.
    senders: HashMap<String, usize>,
}

impl Clocks {
    /// Of the image whose manifest is the file `entry`.
    ///
    /// # Errors
    /// When it is no image.
    pub fn of(files: &dyn FileSource, entry: &str) -> Result<Clocks, ReadError> {
        let (manifest, layers): (Manifest, Vec<Layer>) =
            read_layers(files, entry, Checksums::Checked)?;
        let mut ports: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (i, layer) in manifest.layers.iter().enumerate() {
            for (j, port) in layer.ports.iter().enumerate() {
                ports.entry(port.source.clone()).or_default().push((i, j));
            }
        }
        let sends = |(i, l): (usize, &Layer)| {
            (l.neuron.kind != Kind::Accumulate).then(|| (l.name.clone(), i))
        };
        let senders = layers.iter().enumerate().filter_map(sends).collect();
        Ok(Clocks { layers, ports, senders })
    }

    /// Clocks of all layers together for one sample, mean over the first `samples`.
    ///
    /// # Errors
    /// When a sample cannot be run.
    pub fn mean(
        &self,
        network: &Graph,
        runner: &Runner,
        data: &Dataset,
        samples: usize,
    ) -> Result<f64, Error> {
        let samples = samples.min(data.len());
        let known = |&id: &NodeId| {
            let name = &network[id].name;
            self.ports.contains_key(name) || self.senders.contains_key(name)
        };
        let wanted: Vec<NodeId> = network.ids().filter(known).collect();
        let mut clocks = 0;
        for index in 0..samples {
            let mut spikes = vec![0u64; self.layers.len()];
            runner.answer_showing(data, index, Some(&wanted), &mut |id, _, payloads| {
                let name = &network[id].name;
                for &(layer, port) in self.ports.get(name).into_iter().flatten() {
                    clocks += self.accumulate(layer, port, payloads);
                }
                if let Some(count) = self.senders.get(name).and_then(|&i| spikes.get_mut(i)) {
                    *count += payloads.iter().filter(|p| **p != 0).count() as u64;
                }
            })?;
            let sweeps = |(layer, spikes): (&Layer, u64)| {
                cycles::sweep(layer, network.timing.timesteps, spikes)
            };
            clocks += self.layers.iter().zip(spikes).map(sweeps).sum::<u64>();
        }
        Ok(clocks as f64 / samples.max(1) as f64)
    }

    fn accumulate(&self, layer: usize, port: usize, payloads: &[i64]) -> u64 {
        let Some(layer) = self.layers.get(layer) else { return 0 };
        let Some(source) = layer.ports.get(port).map(|p| p.geometry.source) else { return 0 };
        events(payloads, source).iter().map(|e| cycles::accumulate(layer, port, e)).sum()
    }
}
