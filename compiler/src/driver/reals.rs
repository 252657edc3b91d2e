//! Networks in continuous time: targets that hold them write the same network anew.

use std::collections::BTreeMap;

use snnc_backends::{File, MemoryFiles, Note, Target, TargetOptions};
use snnc_ir::{RealNetwork, RealOp};

use super::Compiled;
use super::manifest::plain;
use super::stages::{Legal, Lowered, ReadBack, Seen, Subject, drive, unreadable};
use crate::artefact::Manifest;
use crate::certificate::{Certificate, PopulationCertificate, Verdict};
use crate::frontend::RealFile;
use crate::{Error, Problem};

/// A network in continuous time as a target's files hold it.
struct Continuous {
    target: &'static dyn Target,
    files: Vec<File>,
    notes: Vec<Note>,
}

impl Legal for Continuous {
    type Back = RealNetwork;

    fn emit(&self, _: &dyn Target, _: &TargetOptions) -> Result<Vec<File>, Error> {
        Ok(self.files.clone())
    }

    fn read(
        &self,
        target: &dyn Target,
        files: &MemoryFiles,
        manifest: &Manifest,
    ) -> Result<RealNetwork, Error> {
        let content = files.0.get(&manifest.entry).cloned().unwrap_or_default();
        let network = target.read_real(&manifest.entry, content);
        network
            .map_err(|e| unreadable(target, e))?
            .ok_or_else(|| unreadable(target, "it is no network in continuous time"))
    }

    /// What was read back is written as the same bytes.
    fn same(&self, back: &RealNetwork) -> Result<(), String> {
        match self.target.emit_real(back) {
            Some(Ok((again, _))) if again.files == self.files => Ok(()),
            Some(Err(e)) => Err(e.to_string()),
            _ => Err("written again it is another file".into()),
        }
    }

    fn notes(&self) -> &[Note] {
        &self.notes
    }
}

/// A network in continuous time.
struct Reals<'a>(&'a RealFile);

impl Subject for Reals<'_> {
    type Legal = Continuous;

    fn lowered(&self, target: &'static dyn Target) -> Result<Lowered<Continuous>, Error> {
        let Some(emitted) = target.emit_real(&self.0.network) else {
            let name = target.name();
            let reason = format!("is a continuous-time network, and {name} takes integers");
            let help = "compile a quantised ONNX model, or --target nir";
            let problem = Problem::new(format!("the network on {name}"), reason, help);
            return Err(Error::Unsupported(vec![problem]));
        };
        let (artefact, notes) = emitted.map_err(|e| {
            Error::Unsupported(vec![Problem::new(target.name(), e.to_string(), "change that node")])
        })?;
        let legal = Continuous { target, files: artefact.files, notes };
        Ok(Lowered { target, options: TargetOptions::default(), legal })
    }

    fn manifest(&self, lowered: &Lowered<Continuous>, entry: String) -> Manifest {
        plain(lowered.target, self.0.source.clone(), entry)
    }

    /// Nothing is proved: what neurons in continuous time do depends on the timestep that a user chooses.
    fn seen(&self, read: &ReadBack<Continuous>) -> Result<Seen, Error> {
        let neurons = |op: &RealOp| matches!(op, RealOp::Neurons(_));
        let method = "the same primitives and numbers; a timestep is chosen where it runs";
        let row = |node: usize| {
            let name = &read.network.nodes[node].name;
            PopulationCertificate::new(name, format!("`{name}`"), Verdict::Approximate, method)
        };
        let certificate = Certificate {
            verdict: Verdict::Approximate,
            reference: "model".into(),
            populations: read.network.indices(neurons).into_iter().map(row).collect(),
            obligations: Vec::new(),
        };
        Ok(Seen { certificate, evaluation: None, measured: BTreeMap::new() })
    }
}

/// Writes a network in continuous time for a target.
///
/// # Errors
/// When the target takes no such networks.
pub fn compile_reals(
    file: &RealFile,
    target: &'static dyn Target,
) -> Result<Compiled<RealNetwork>, Error> {
    drive(&Reals(file), target)
}
