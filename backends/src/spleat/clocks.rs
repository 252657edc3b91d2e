//! Clocks that the modules of an image spend on samples, by the model of their RTL ([`cycles`]).

use std::collections::{BTreeMap, HashMap};

use super::aer::events;
use super::{Checksums, Kind, Layer, Manifest, cycles, read_layers};
use crate::{Clocks, FileSource, ReadError};

/// The layers of an image, ready to count clocks.
pub(super) struct ImageClocks {
    layers: Vec<Layer>,
    /// Ports by the name of what sends to them, as layer and port.
    ports: HashMap<String, Vec<(usize, usize)>>,
}

impl ImageClocks {
    /// Of the image whose manifest is the file `entry`.
    ///
    /// # Errors
    /// When it is no image.
    pub(super) fn of(files: &dyn FileSource, entry: &str) -> Result<ImageClocks, ReadError> {
        let (manifest, layers): (Manifest, Vec<Layer>) =
            read_layers(files, entry, Checksums::Checked)?;
        let mut ports: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (i, layer) in manifest.layers.iter().enumerate() {
            for (j, port) in layer.ports.iter().enumerate() {
                ports.entry(port.source.clone()).or_default().push((i, j));
            }
        }
        Ok(ImageClocks { layers, ports })
    }
}

impl Clocks for ImageClocks {
    fn concerns(&self, population: &str) -> bool {
        self.ports.contains_key(population) || self.layers.iter().any(|l| l.name == population)
    }

    fn received(&self, population: &str, payloads: &[i64]) -> u64 {
        let clocks = |&(layer, port): &(usize, usize)| {
            let Some(layer) = self.layers.get(layer) else { return 0 };
            let Some(source) = layer.ports.get(port).map(|p| p.geometry.source) else { return 0 };
            events(payloads, source).iter().map(|e| cycles::accumulate(layer, port, e)).sum()
        };
        self.ports.get(population).into_iter().flatten().map(clocks).sum()
    }

    fn swept(&self, timesteps: usize, spikes: &BTreeMap<String, u64>) -> u64 {
        let clocks = |layer: &Layer| {
            let sends = layer.neuron.kind != Kind::Accumulate;
            let sent = spikes.get(&layer.name).copied().filter(|_| sends).unwrap_or(0);
            cycles::sweep(layer, timesteps, sent)
        };
        self.layers.iter().map(clocks).sum()
    }
}
