//! NIR: networks on reals, exchanged between simulators and chips
//! (Pedersen et al., Nature Communications 15, 8122, 2024; layout of `nir` 1.0.8).
//!
//! A file of ours holds the integer network twice: as NIR can say it, and whole in the metadata of
//! the graph. It is read back only where both agree. Files of others hold networks on reals
//! ([`real_network`]).

mod lower;
mod metadata;
mod portable;
mod read;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;
use snnc_ir::{Coding, Graph, RealNetwork, Stage, Verified, verify};

use crate::format::hdf5::{Hdf5Error, Hdf5Tree};
use crate::format::npy::{NpyArray, NpyType};
use crate::{
    Artefact, Capabilities, EmitError, File, FileSource, FitRow, Legalised, Note, ReadError,
    Target, TargetOptions, Trained, Violation,
};
use lower::lower;
use write::Metadata;

/// Writes `network.nir`.
pub struct Nir;

const ENTRY: &str = "network.nir";

/// First bytes of an HDF5 file.
const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Where the integer network lies, in snnc's wire form.
const NETWORK: &str = "snnc_network";

impl Target for Nir {
    fn name(&self) -> &'static str {
        "nir"
    }

    fn summary(&self) -> &'static str {
        "exchange with snnTorch, Norse, Nengo and other simulators (NIR)"
    }

    fn codings(&self) -> &'static [Coding] {
        &[Coding::Graded, Coding::MultiLevel, Coding::Rate]
    }

    fn capabilities(&self) -> Capabilities {
        let trained = Trained::InSinglePrecision;
        Capabilities { trained, continuous: true, ..Capabilities::BYTES }
    }

    fn description(&self) -> String {
        include_str!("nir.txt").trim_end().to_owned()
    }

    fn legalise(
        &self,
        network: &Verified,
        options: &TargetOptions,
    ) -> Result<Legalised, Vec<Violation>> {
        options.check(self.name(), self.options())?;
        let lowered = lower(network)?;
        let fit = vec![FitRow {
            resource: "nodes".into(),
            used: lowered.network.nodes.len() as u64,
            available: None,
        }];
        Ok(Legalised { network: network.clone(), notes: lowered.notes, fit })
    }

    fn emit(&self, network: &Legalised, _: &TargetOptions) -> Result<Artefact, EmitError> {
        let lowered = lower(&network.network).map_err(|violations| {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            EmitError::Container(all.join("; "))
        })?;
        let fault = |e: &dyn std::fmt::Display| EmitError::Container(e.to_string());
        let wire = network.network.to_wire();
        let blob = NpyArray::from_u8([wire.len()], &wire).map_err(|e| fault(&e))?;
        let dt = NpyArray::from_f32(Vec::new(), &[lower::DT]).map_err(|e| fault(&e))?;
        let steps = network.network.timing.timesteps as i64;
        let steps = NpyArray::from_i64(Vec::new(), &[steps]).map_err(|e| fault(&e))?;
        let graph = Metadata::from([
            ("dt".to_owned(), dt.into()),
            ("timesteps".to_owned(), steps.into()),
            (NETWORK.to_owned(), blob.into()),
        ]);
        let content = write::file(&lowered.network, &lowered.metadata, graph)?;
        Ok(Artefact { files: vec![File::new(ENTRY, content)] })
    }

    fn recognises(&self, _: &str, content: &[u8]) -> bool {
        is_nir(content)
            && tree(Bytes::copy_from_slice(content), "").is_ok_and(|t| integers(&t).is_some())
    }

    fn read(&self, files: &dyn FileSource, entry: &str) -> Result<Graph, ReadError> {
        let tree = tree(files.read(entry)?, entry)?;
        let malformed = |reason: String| ReadError::Malformed {
            file: entry.to_owned(),
            place: format!("node/metadata/{NETWORK}"),
            reason,
        };
        let Some(wire) = integers(&tree) else {
            return Err(ReadError::Unsupported {
                file: entry.to_owned(),
                place: "node".into(),
                what: "a continuous-time network as an artefact".into(),
            });
        };
        let graph = Graph::from_wire(wire).map_err(|e| malformed(e.to_string()))?;
        if graph.stage != Stage::Spiking {
            return Err(malformed("is no spiking network".into()));
        }
        let graph = verify(graph).map_err(|e| malformed(e[0].to_string()))?.into_inner();
        let stated = lower(&graph).map_err(|v| malformed(v[0].to_string()))?.network;
        let found = read::network(&tree, entry)?;
        same(&found, &stated).map_err(malformed)?;
        Ok(graph)
    }

    fn emit_real(&self, network: &RealNetwork) -> Option<Result<(Artefact, Vec<Note>), EmitError>> {
        let written = write_real(network);
        Some(
            written.map(|(content, notes)| {
                (Artefact { files: vec![File::new(ENTRY, content)] }, notes)
            }),
        )
    }

    fn read_real(&self, name: &str, content: Bytes) -> Result<Option<RealNetwork>, ReadError> {
        if !is_nir(&content) || self.recognises(name, &content) {
            return Ok(None);
        }
        real_network(content, name).map(Some)
    }
}

/// Whether both are one network; which edges of a loop are late is for the reader to say.
fn same(found: &RealNetwork, stated: &RealNetwork) -> Result<(), String> {
    for (a, b) in found.nodes.iter().zip(&stated.nodes) {
        if a != b {
            return Err(format!("says something else of `{}` than the nodes do", b.name));
        }
    }
    let ends = |n: &RealNetwork| n.edges.iter().map(|e| (e.source, e.target)).collect::<Vec<_>>();
    if found.nodes.len() != stated.nodes.len() || ends(found) != ends(stated) {
        return Err("has other nodes or edges than the graph".into());
    }
    Ok(())
}

fn tree(bytes: Bytes, file: &str) -> Result<Hdf5Tree, ReadError> {
    Hdf5Tree::read(bytes).map_err(|e: Hdf5Error| ReadError::Malformed {
        file: file.to_owned(),
        place: "HDF5".into(),
        reason: e.to_string(),
    })
}

/// The bytes of the integer network, where a file has them.
fn integers(tree: &Hdf5Tree) -> Option<Bytes> {
    let array = tree.array(&format!("node/metadata/{NETWORK}")).ok()?;
    (array.dtype == NpyType::U8).then(|| array.data.clone())
}

/// Whether a file is NIR, by anyone.
pub fn is_nir(content: &[u8]) -> bool {
    content.starts_with(HDF5_SIGNATURE)
        && tree(Bytes::copy_from_slice(content), "")
            .is_ok_and(|t| t.text("node/type").is_ok_and(|kind| kind == "NIRGraph"))
}

/// The network on reals that a NIR file holds, whoever wrote it.
///
/// # Errors
/// When the file is malformed, its parts do not fit, or it holds what is no primitive of NIR.
pub fn real_network(content: Bytes, file: &str) -> Result<RealNetwork, ReadError> {
    read::network(&tree(content, file)?, file)
}

/// A NIR file with a network on reals, in the form that most readers agree on, and what the user
/// should know of it.
///
/// # Errors
/// When a node has no form in NIR.
pub fn write_real(network: &RealNetwork) -> Result<(Vec<u8>, Vec<Note>), EmitError> {
    let (network, stayed) = portable::portable(network);
    let text = "has a resistance other than 1, which Norse leaves out and snnTorch refuses";
    let note = |node: String| Note { node: format!("`{node}`"), text: text.into() };
    let notes = stayed.into_iter().map(note).collect();
    Ok((write::file(&network, &[], Metadata::new())?, notes))
}
