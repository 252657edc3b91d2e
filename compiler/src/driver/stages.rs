//! The stages behind a target's legaliser: emitted, read back, certified, stored.
//!
//! Each is made of the one before alone: what is stored was certified, what is certified was read back, and
//! what was read back is the network that was written.

use std::collections::BTreeMap;

use rayon::prelude::*;
use snnc_backends::{
    File, FitRow, LayerMemories, Legalised, MemoryFiles, Note, Target, TargetOptions,
};
use snnc_ir::Graph;

use super::{Compiled, verified};
use crate::artefact::{CERTIFICATE, CertificateSummary, FileRow, MANIFEST, Manifest, same_network};
use crate::certificate::{Certificate, Measured, Published};
use crate::evaluate::Evaluation;
use crate::{Error, watch};

/// A network in a form that a target's files can hold.
pub(super) trait Legal {
    /// What is read back from the files.
    type Back;

    /// The target's files, the entry file first.
    fn emit(&self, target: &dyn Target, options: &TargetOptions) -> Result<Vec<File>, Error>;

    /// What the files hold, with what the manifest says of it.
    fn read(
        &self,
        target: &dyn Target,
        files: &MemoryFiles,
        manifest: &Manifest,
    ) -> Result<Self::Back, Error>;

    /// Whether that is the network that was written.
    fn same(&self, back: &Self::Back) -> Result<(), String>;

    /// What the user should know.
    fn notes(&self) -> &[Note];

    /// Resources used and available.
    fn fit(&self) -> &[FitRow] {
        &[]
    }
}

/// A fault of the compiler that shows at a target.
pub(super) fn fault(target: &dyn Target, reason: impl std::fmt::Display) -> Error {
    Error::internal(target.name(), reason)
}

/// What is wrong with files that were just written.
pub(super) fn unreadable(target: &dyn Target, reason: impl std::fmt::Display) -> Error {
    fault(target, format_args!("what was written cannot be read: {reason}"))
}

impl Legal for Legalised {
    type Back = Graph;

    fn emit(&self, target: &dyn Target, options: &TargetOptions) -> Result<Vec<File>, Error> {
        Ok(target.emit(self, options).map_err(|e| fault(target, e))?.files)
    }

    fn read(
        &self,
        target: &dyn Target,
        files: &MemoryFiles,
        manifest: &Manifest,
    ) -> Result<Graph, Error> {
        let back = target.read(files, &manifest.entry);
        let mut network = back.map_err(|e| unreadable(target, e))?;
        manifest.apply(&mut network, MANIFEST)?;
        Ok(verified(network)?.into_inner())
    }

    fn same(&self, back: &Graph) -> Result<(), String> {
        same_network(back, &self.network)
    }

    fn notes(&self) -> &[Note] {
        &self.notes
    }

    fn fit(&self) -> &[FitRow] {
        &self.fit
    }
}

/// A network in a target's arithmetic.
pub(super) struct Lowered<L> {
    pub(super) target: &'static dyn Target,
    /// The options with what was chosen by data.
    pub(super) options: TargetOptions,
    pub(super) legal: L,
}

impl<L: Legal> Lowered<L> {
    pub(super) fn emit(self) -> Result<Emitted<L>, Error> {
        let files = self.legal.emit(self.target, &self.options)?;
        Ok(Emitted { lowered: self, files })
    }
}

/// The target's files.
pub(super) struct Emitted<L> {
    pub(super) lowered: Lowered<L>,
    files: Vec<File>,
}

impl<L: Legal> Emitted<L> {
    /// The file by which the target reads the others.
    pub(super) fn entry(&self) -> String {
        self.files.first().map(|f| f.path.clone()).unwrap_or_default()
    }

    /// Reads the files as whoever opens the artefact will. `manifest` says what they leave out.
    pub(super) fn read_back(self, manifest: Manifest) -> Result<ReadBack<L>, Error> {
        let Emitted { lowered, files } = self;
        let contents = files.iter().map(|f| (f.path.clone(), f.content.clone()));
        let written = MemoryFiles(contents.collect());
        let target = lowered.target;
        let network = lowered.legal.read(target, &written, &manifest)?;
        lowered.legal.same(&network).map_err(|e| {
            fault(target, format_args!("what was written reads back as another network: {e}"))
        })?;
        Ok(ReadBack { lowered, files, written, manifest, network })
    }
}

/// What the files hold.
pub(super) struct ReadBack<L: Legal> {
    pub(super) lowered: Lowered<L>,
    /// The files, which a subject may add to.
    pub(super) files: Vec<File>,
    written: MemoryFiles,
    pub(super) manifest: Manifest,
    pub(super) network: L::Back,
}

impl<L: Legal> ReadBack<L> {
    /// The memories that the files lay out.
    pub(super) fn memories(&self) -> Result<Vec<LayerMemories>, Error> {
        let target = self.lowered.target;
        target.memories(&self.written, &self.manifest.entry).map_err(|e| unreadable(target, e))
    }

    /// Adds a file that goes with the network.
    pub(super) fn add(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.push(File::new(path, content));
    }

    pub(super) fn certified(self, seen: Seen) -> Certified<L> {
        Certified { read: self, seen }
    }
}

/// What is known of a network that was read back.
pub(super) struct Seen {
    pub(super) certificate: Certificate,
    /// What was seen on data.
    pub(super) evaluation: Option<Evaluation>,
    /// How far spikes are from those of a model that was trained to spike.
    pub(super) measured: BTreeMap<String, Measured>,
}

/// A network that was read back, with its certificate.
pub(super) struct Certified<L: Legal> {
    read: ReadBack<L>,
    seen: Seen,
}

impl<L: Legal> Certified<L> {
    /// The whole folder.
    pub(super) fn stored<S: Subject<Legal = L>>(
        self,
        subject: &S,
    ) -> Result<Compiled<L::Back>, Error> {
        let Certified { mut read, seen } = self;
        subject.complete(&mut read, &seen)?;
        let ReadBack { lowered, mut files, mut manifest, network, .. } = read;
        let target = lowered.target;
        let Seen { certificate, evaluation, measured } = seen;
        manifest.certificate = CertificateSummary::of(&certificate);
        manifest.fit = lowered.legal.fit().to_vec();
        manifest.notes.extend_from_slice(lowered.legal.notes());
        manifest.files = files.par_iter().map(FileRow::of).collect();
        let published = Published::new(&certificate, &manifest.source, &manifest.files);
        let json = subject.published(published, &network).to_json();
        files.push(File::new(CERTIFICATE, json.map_err(|e| fault(target, e))?));
        manifest.files.extend(files.last().map(FileRow::of));
        let yaml = serde_yaml::to_string(&manifest).map_err(|e| fault(target, e))?;
        files.insert(0, File::new(MANIFEST, yaml));
        let host = subject.host();
        Ok(Compiled { target, files, manifest, certificate, network, host, evaluation, measured })
    }
}

/// A network before it meets a target, and what is said of it once it did.
pub(super) trait Subject {
    /// Its form in a target's arithmetic.
    type Legal: Legal;

    /// Codes and legalises the network.
    fn lowered(&self, target: &'static dyn Target) -> Result<Lowered<Self::Legal>, Error>;

    /// The manifest, but for what later stages know: files, fit, certificate, and notes of the target.
    fn manifest(&self, lowered: &Lowered<Self::Legal>, entry: String) -> Manifest;

    /// The certificate of what was read back, and what data shows.
    fn seen(&self, read: &ReadBack<Self::Legal>) -> Result<Seen, Error>;

    /// Adds to the files and the manifest what was seen, and what goes with the network.
    fn complete(&self, _: &mut ReadBack<Self::Legal>, _: &Seen) -> Result<(), Error> {
        Ok(())
    }

    /// Adds to the certificate that is published what helps to check it.
    fn published<'a>(
        &self,
        published: Published<'a>,
        _: &<Self::Legal as Legal>::Back,
    ) -> Published<'a> {
        published
    }

    /// What the host makes of what the network shows.
    fn host(&self) -> Option<Graph> {
        None
    }
}

/// Takes a network through all stages for one target.
pub(super) fn drive<S: Subject>(
    subject: &S,
    target: &'static dyn Target,
) -> Result<Compiled<<S::Legal as Legal>::Back>, Error> {
    let emitted = subject.lowered(target)?.emit()?;
    watch::point();
    let manifest = subject.manifest(&emitted.lowered, emitted.entry());
    let read = emitted.read_back(manifest)?;
    watch::point();
    let seen = subject.seen(&read)?;
    read.certified(seen).stored(subject)
}
