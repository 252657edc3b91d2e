//! What payload bits cost: the row of prices that the allocation of bits pays from.

use std::collections::HashSet;

use snnc_ir::{Graph, NodeId};

use super::Site;
use crate::energy::{
    Input, Layer, Neurons, Payload, Profile, Widths, layer_energy, tensor_layers_of,
};

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cost {
    /// Payload bits, mean over neurons.
    AverageBits,
    /// Expected payload bits on the wire: bits times neurons that fire, for one sample.
    WireBits,
    /// Expected spikes of all neurons, for one sample.
    Spikes,
    /// Expected weights met by spikes, for one sample.
    SynapticOperations,
    /// Expected energy in nJ for one sample, one timestep, by a profile of the metric.
    Energy(&'static Profile),
}

impl Cost {
    /// The unit of amounts.
    pub const fn unit(self) -> &'static str {
        match self {
            Cost::AverageBits => "bits",
            Cost::WireBits => "bits on the wire",
            Cost::Spikes => "spikes",
            Cost::SynapticOperations => "synaptic operations",
            Cost::Energy(_) => "nJ",
        }
    }
}

/// Bits of a membrane potential where the network does not tell yet.
const POTENTIAL_BITS: u32 = 24;
/// Codes of an image.
const INPUT: Payload = Payload::graded(8);

/// Prices of one network.
///
/// The share of neurons that fire is known before the run only for the populations themselves, so a
/// pool between is taken to pass it on. Each timestep counts once: these are the prices of one
/// timestep of graded spikes. The profile `hardware` makes a graded reset as wide as the operand that
/// arrives, so its energy is not quite a sum over sites; what is left out is that product.
pub(super) struct Prices<'a> {
    graph: &'a Graph,
    cost: Cost,
    neurons: usize,
    weight_bits: u8,
    layers: Vec<(NodeId, Layer)>,
    sites: HashSet<NodeId>,
    inputs: Vec<NodeId>,
}

impl<'a> Prices<'a> {
    /// Prices of a canonical network with payloads sent at `sites`.
    pub(super) fn new(graph: &'a Graph, sites: &[Site], weight_bits: u8, cost: Cost) -> Self {
        let hidden = sites.iter().filter(|s| !s.input);
        Prices {
            graph,
            cost,
            neurons: hidden.map(|s| graph[s.node].ty.len()).sum(),
            weight_bits,
            layers: tensor_layers_of(graph),
            sites: sites.iter().map(|s| s.node).collect(),
            inputs: sites.iter().filter(|s| s.input).map(|s| s.node).collect(),
        }
    }

    /// What `bits` at a site cost when `share` of its neurons fire.
    pub(super) fn of(&self, site: &Site, bits: u8, share: f64) -> f64 {
        let neurons = self.graph[site.node].ty.len() as f64;
        match self.cost {
            Cost::AverageBits => f64::from(bits) * neurons / self.neurons.max(1) as f64,
            Cost::WireBits => f64::from(bits) * neurons * share,
            Cost::Spikes => neurons * share,
            Cost::SynapticOperations => {
                let fed = self.fed(site.node);
                fed.iter().map(|l| l.inputs as f64 * share * l.strided_fan_out()).sum()
            }
            Cost::Energy(profile) => {
                self.energy(site, Payload::graded(bits.into()), share, profile)
            }
        }
    }

    /// What has to be paid whatever is chosen: layers without spikes, and the input as it is.
    pub(super) fn fixed(&self) -> f64 {
        let Cost::Energy(profile) = self.cost else { return 0.0 };
        let by_input: HashSet<NodeId> =
            self.inputs.iter().flat_map(|&site| self.ahead(site)).collect();
        let layer = |(id, layer): &(NodeId, Layer)| match by_input.contains(id) {
            true => self.spiking(layer, INPUT, layer.inputs as f64),
            false => self.silent(layer),
        };
        self.layers.iter().map(|l| layer_energy(&layer(l), profile).total_nj).sum()
    }

    /// Energy that spikes of a site cause: where they arrive, and where they leave.
    fn energy(&self, site: &Site, sends: Payload, share: f64, profile: &Profile) -> f64 {
        let total = |layer: &Layer| layer_energy(layer, profile).total_nj;
        let arriving = self.fed(site.node).into_iter().map(|layer| {
            let events = layer.inputs as f64 * share;
            total(&self.spiking(layer, sends, events)) - total(&self.silent(layer))
        });
        let events_out = self.graph[site.node].ty.len() as f64 * share;
        let leaving =
            self.layers.iter().filter(|(id, _)| self.leads(*id, site.node)).map(|(_, l)| {
                let silent = Layer { sends, ..self.silent(l) };
                total(&Layer { events_out, ..silent.clone() }) - total(&silent)
            });
        arriving.chain(leaving.take(1)).sum()
    }

    /// A layer of the network as it will be, with `events` arriving.
    fn spiking(&self, layer: &Layer, payload: Payload, events: f64) -> Layer {
        let input = Input::Spikes { payload, events, presentations: 1.0 };
        let widths = Widths { weight: self.weight_bits.into(), potential: POTENTIAL_BITS };
        Layer { input, neurons: Neurons::Fire, widths, ..layer.clone() }
    }

    fn silent(&self, layer: &Layer) -> Layer {
        self.spiking(layer, Payload::BINARY, 0.0)
    }

    /// Layers at which the payloads of a site arrive.
    fn fed(&self, site: NodeId) -> Vec<&Layer> {
        let seen = self.ahead(site);
        self.layers.iter().filter(|(id, _)| seen.contains(id)).map(|(_, layer)| layer).collect()
    }

    /// Whether the sums of a layer become the payloads of a site.
    fn leads(&self, layer: NodeId, site: NodeId) -> bool {
        layer == site || self.ahead(layer).contains(&site)
    }

    /// Nodes that a value reaches, up to and with the next layer or site.
    fn ahead(&self, from: NodeId) -> HashSet<NodeId> {
        let mut seen = HashSet::new();
        let mut open = self.graph.users(from);
        while let Some(id) = open.pop() {
            let ends = self.sites.contains(&id) || self.layers.iter().any(|(l, _)| *l == id);
            if seen.insert(id) && !ends {
                open.extend(self.graph.users(id));
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::sites;
    use crate::import::{self, ImportOptions};
    use crate::passes::{self, Context};

    fn digits() -> Graph {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/digits_cnn_bn_float.onnx");
        let imported = import::load(path.as_ref(), &ImportOptions::default()).expect("a model");
        passes::canonicalise(imported.graph, &mut Context::default()).expect("canonical")
    }

    #[test]
    fn prices_add_up_to_the_energy_of_the_whole() {
        let graph = digits();
        let sites = sites(&graph);
        let hidden: Vec<&Site> = sites.iter().filter(|s| !s.input).collect();
        let chosen = [(3, 0.25), (1, 0.5), (4, 0.125)];
        assert_eq!(hidden.len(), chosen.len());
        for profile in Profile::all() {
            let prices = Prices::new(&graph, &sites, 8, Cost::Energy(profile));
            let parts =
                hidden.iter().zip(chosen).map(|(s, (bits, share))| prices.of(s, bits, share));
            let sum = prices.fixed() + parts.sum::<f64>();

            // The same chain of layers, each with what the one before sends and its own spikes.
            let mut whole = 0.0;
            for (i, (id, layer)) in prices.layers.iter().enumerate() {
                let mut layer = prices.spiking(layer, INPUT, layer.inputs as f64);
                if let Some((bits, share)) = i.checked_sub(1).map(|before| chosen[before]) {
                    let events = layer.inputs as f64 * share;
                    layer = prices.spiking(&layer, Payload::graded(bits.into()), events);
                }
                if let Some((bits, share)) = chosen.get(i) {
                    layer.sends = Payload::graded((*bits).into());
                    layer.events_out = graph[*id].ty.len() as f64 * share;
                }
                whole += layer_energy(&layer, profile).total_nj;
            }
            let coupled = if profile.name == "hardware" { 1e-4 } else { 1e-9 };
            assert!((sum / whole - 1.0).abs() < coupled, "{}: {sum} against {whole}", profile.name);
        }
    }

    #[test]
    fn operations_are_spikes_times_the_weights_that_they_meet() {
        let graph = digits();
        let sites = sites(&graph);
        let spikes = Prices::new(&graph, &sites, 8, Cost::Spikes);
        let operations = Prices::new(&graph, &sites, 8, Cost::SynapticOperations);
        let last = sites.last().expect("a site");
        // The read-out has ten neurons for each of them.
        assert_eq!(operations.of(last, 4, 0.25), 10.0 * spikes.of(last, 4, 0.25));
        assert_eq!(spikes.of(last, 4, 0.25), spikes.of(last, 1, 0.25));
        assert!(operations.of(&sites[1], 4, 0.25) > operations.of(&sites[1], 4, 0.125));
    }
}
