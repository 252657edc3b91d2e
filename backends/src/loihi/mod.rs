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
mod read;
mod sigma_delta;
mod slope;
#[cfg(test)]
mod tests;
mod units;
mod weights;

use snnc_ir::{Coding, Graph, Verified};

use crate::{
    Artefact, EmitError, File, FileSource, Legalised, ReadError, Target, TargetOptions, Violation,
};

/// Writes `network.net` and `mapping.yaml`.
pub struct Loihi;

const ENTRY: &str = "network.net";
const MAPPING: &str = "mapping.yaml";
const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

impl Target for Loihi {
    fn name(&self) -> &'static str {
        "loihi"
    }

    fn summary(&self) -> &'static str {
        "Intel Loihi 2 through Lava NetX: a .net file of sigma-delta neurons"
    }

    fn codings(&self) -> &'static [Coding] {
        &[Coding::SigmaDelta]
    }

    fn description(&self) -> String {
        "Writes network.net, the HDF5 file that Lava NetX (lava-dl 0.6.0) loads, and mapping.yaml.\n\
         \n\
         Networks must be sequential: convolutions (strided, dilated, grouped) and dense layers, average\n\
         pools included. There is no max pooling, no residual addition, no concatenation, and padding is the\n\
         same on both sides.\n\
         \n\
         The coding is sigma-delta: each neuron sends the changes of its rectified sum as graded spikes.\n\
         NetX's neuron neither rescales, nor rounds to codes, nor stops at the largest code, so the network\n\
         is approximate and the certificate says by how much. Weights take 8 bits, the state 24; the\n\
         latency is one timestep for each layer."
            .into()
    }

    fn legalise(&self, network: &Verified, _: &TargetOptions) -> Result<Legalised, Vec<Violation>> {
        sigma_delta::legalise(network)
    }

    fn emit(&self, network: &Legalised, _: &TargetOptions) -> Result<Artefact, EmitError> {
        let net = emit::net(&network.network)?;
        let content = container::write(&net).map_err(|e| EmitError::Container(e.to_string()))?;
        let mapping = mapping::write(&network.network)?;
        Ok(Artefact { files: vec![File::new(ENTRY, content), File::new(MAPPING, mapping)] })
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
