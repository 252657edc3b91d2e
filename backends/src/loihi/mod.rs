//! Intel Loihi by way of Lava NetX: `network.net`, which lava-dl 0.6.0 loads (archived, so the
//! format is frozen), and `mapping.yaml`.
//!
//! A network is a strictly sequential list of layers with current-based (LIF) or sigma-delta
//! neurons. Everything that NetX computes on a CPU in fixed point is expressed in the spiking IR,
//! so that a file, whoever wrote it, is read back into a graph that runs bit for bit as NetX runs
//! it: one timestep for each synaptic layer, 24-bit states, weights as NetX's loader leaves them.

mod chain;
mod container;
mod emit;
mod mapping;
mod net;
mod padding;
mod rate;
mod read;
mod residual;
mod settings;
mod sigma_delta;
mod slope;
#[cfg(test)]
mod tests;
mod trained;
mod units;
mod weights;

use std::collections::BTreeMap;

use snnc_ir::{Coding, Graph, Neuron, Op, PeriodicReset, SpikingOp, Verified, VerifyError, verify};

use settings::Settings;

use crate::{
    Artefact, Capabilities, EmitError, File, FileSource, FitRow, Legalised, Note, ReadError,
    Target, TargetOption, TargetOptions, Trained, Violation,
};

/// Writes `network.net` and `mapping.yaml`.
pub struct Loihi;

const ENTRY: &str = "network.net";
const MAPPING: &str = "mapping.yaml";
const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Resets the current-based neurons of a network as NetX does with its arguments `reset_interval`
/// and `reset_offset`, which a file does not hold: at the beginning of timestep `offset` (counted
/// from 0) and every `interval` timesteps, one timestep later with each layer. An `interval` of 0
/// takes resets away. A read-out without neurons goes on adding up.
pub fn reset_periodically(network: &mut Graph, interval: usize, offset: usize) {
    let Ok(order) = network.order() else { return };
    let mut layer = 0;
    for id in order {
        if let Op::Spiking(SpikingOp::Population(p)) = &mut network[id].op {
            if let Neuron::CurrentBased(n) = &mut p.neuron {
                let first = offset.saturating_add(layer).checked_rem(interval);
                n.reset = first.map(|first| PeriodicReset { interval, first });
            }
            layer += 1;
        }
    }
}

fn chosen(options: &TargetOptions) -> Option<&'static mapping::Device> {
    mapping::device(options.device.as_deref())
}

/// A network in NetX's arithmetic, if it is one.
fn verified(
    network: Graph,
    notes: Vec<Note>,
    fit: Vec<FitRow>,
) -> Result<Legalised, Vec<Violation>> {
    let violation = |e: &VerifyError| Violation::fault("the network in NetX's arithmetic", e);
    match verify(network) {
        Ok(network) => Ok(Legalised { network, notes, fit }),
        Err(errors) => Err(errors.iter().map(violation).collect()),
    }
}

impl Target for Loihi {
    fn name(&self) -> &'static str {
        "loihi"
    }

    fn summary(&self) -> &'static str {
        "Intel Loihi through Lava NetX: a .net file of sigma-delta or current-based neurons"
    }

    fn codings(&self) -> &'static [Coding] {
        &[Coding::SigmaDelta, Coding::Rate]
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { trained: Trained::OnIntegers, ..Capabilities::BYTES }
    }

    fn devices(&self) -> Vec<String> {
        mapping::devices().iter().map(|d| d.name.clone()).collect()
    }

    fn options(&self) -> &'static [TargetOption] {
        &settings::OPTIONS
    }

    fn description(&self) -> String {
        "Writes network.net, the HDF5 file that Lava NetX (lava-dl 0.6.0) loads, and\n\
         mapping.yaml.\n\
         \n\
         Networks must be sequential: convolutions (strided, dilated, grouped), dense layers,\n\
         average pools; no max pooling, no concatenation. NetX pads both sides of a map alike:\n\
         where a model does not, the kernel is widened by zeros. A residual addition over one\n\
         layer is carried through that layer by extra channels, in sigma-delta coding; any\n\
         other is refused.\n\
         \n\
         Coding sigma-delta (the default): each neuron emits the changes of its rectified sum\n\
         as graded spikes. NetX's neuron neither rescales, nor rounds to codes, nor saturates,\n\
         so the network is approximate and the certificate states the error. Weights have 8\n\
         bits, the state 24; the latency is one timestep per layer. --set saturate=on adds a\n\
         second neuron that subtracts what exceeds the largest code: twice the neurons, four\n\
         times the synapses. It helps where most activations saturate in few layers.\n\
         \n\
         Coding rate: binary spikes of current-based neurons with a hard reset, which lose\n\
         what exceeds their threshold. --set peak-rate=R (0.25) is the firing rate of the\n\
         largest code: a lower one loses less and needs more timesteps. Thresholds are lowered\n\
         by the mean loss on --data, or by --set threshold.POPULATION=FACTOR.\n\
         \n\
         mapping.yaml divides the network into cores by published figures of the device\n\
         (loihi2, the default; loihi1 has no payloads and needs the coding rate). Intel's own\n\
         tools are not public and may map it otherwise. With --data it counts the spikes from\n\
         core to core in a timestep."
            .into()
    }

    fn legalise(
        &self,
        network: &Verified,
        options: &TargetOptions,
    ) -> Result<Legalised, Vec<Violation>> {
        let device = chosen(options).ok_or_else(|| {
            vec![Violation {
                node: "--device".into(),
                reason: format!("there is no `{}`", options.device.as_deref().unwrap_or_default()),
                remedy: format!("use one of {}", self.devices().join(", ")),
            }]
        })?;
        let settings = Settings::of(options)?;
        let trained = network.is_float();
        let rate = trained || rate::is_rate(network);
        if !rate && !device.payloads.value {
            return Err(vec![Violation {
                node: "--device".into(),
                reason: format!(
                    "sigma-delta neurons send numbers, and a spike of {} has none",
                    device.title
                ),
                remedy: "use --code rate, or --device loihi2".into(),
            }]);
        }
        let mut legalised = if trained {
            trained::legalise(network)?
        } else {
            let (padded, mut notes) = padding::alike(network);
            let mut legalised = if rate {
                rate::legalise(&padded, &settings)?
            } else {
                let (carried, more) = residual::carried(&padded);
                notes.extend(more);
                sigma_delta::legalise(&carried, settings.saturate)?
            };
            legalised.notes.splice(0..0, notes);
            legalised
        };
        let unmapped = mapping::violations(&legalised.network, device);
        if !unmapped.is_empty() && !options.force {
            return Err(unmapped);
        }
        let note = |v: Violation| Note { node: v.node, text: format!("not mapped: {}", v.reason) };
        legalised.notes.extend(unmapped.into_iter().map(note));
        legalised.fit.extend(mapping::fit(&legalised.network, device));
        Ok(legalised)
    }

    fn emit(&self, network: &Legalised, options: &TargetOptions) -> Result<Artefact, EmitError> {
        let device = chosen(options)
            .ok_or_else(|| EmitError::Container("there is no such device".into()))?;
        let net = emit::net(&network.network)?;
        let content = container::write(&net).map_err(|e| EmitError::Container(e.to_string()))?;
        let mapping = mapping::write(&network.network, device, None)?;
        Ok(Artefact { files: vec![File::new(ENTRY, content), File::new(MAPPING, mapping)] })
    }

    fn with_activity(
        &self,
        network: &Graph,
        options: &TargetOptions,
        spikes: &BTreeMap<String, f64>,
    ) -> Result<Option<File>, EmitError> {
        let Some(device) = chosen(options) else { return Ok(None) };
        mapping::write(network, device, Some(spikes)).map(|text| Some(File::new(MAPPING, text)))
    }

    fn recognises(&self, _: &str, content: &[u8]) -> bool {
        // NIR files are HDF5 too; what tells them apart is the group at the root.
        content.starts_with(HDF5_SIGNATURE) && container::has_layers(content)
    }

    fn read(&self, files: &dyn FileSource, entry: &str) -> Result<Graph, ReadError> {
        let net = container::read(files.read(entry)?, entry)?;
        read::graph(&net, entry)
    }
}
