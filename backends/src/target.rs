//! What every target offers, and the words in which it reports.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use snnc_ir::{Coding, Graph, Node, RealNetwork, Verified};

use crate::{Capabilities, TargetOption};

/// A piece of hardware, or a file format, for which networks are compiled.
pub trait Target: Sync {
    /// The name users write after `--target`.
    fn name(&self) -> &'static str;

    /// One sentence for lists.
    fn summary(&self) -> &'static str;

    /// The codings it carries, the default first.
    fn codings(&self) -> &'static [Coding];

    /// What it is made for.
    fn capabilities(&self) -> Capabilities;

    /// Names that `--device` takes, the default first; empty if there is no choice.
    fn devices(&self) -> Vec<String> {
        Vec::new()
    }

    /// The options of this target alone, which [`TargetOptions::extra`] holds.
    fn options(&self) -> &'static [TargetOption] {
        &[]
    }

    /// Looks at the content of a hardware description; `None` where the target takes none.
    ///
    /// # Errors
    /// All that is wrong with the description.
    fn check_hardware(&self, _text: &str) -> Option<Result<(), Vec<String>>> {
        None
    }

    /// A page of plain text on limits and options, for `snnc targets NAME`.
    fn description(&self) -> String;

    /// A page in Markdown on the format of the target's files, for `snnc targets NAME --image-format`; `None`
    /// where others define it.
    fn image_format(&self) -> Option<&'static str> {
        None
    }

    /// The network in the target's own arithmetic.
    ///
    /// # Errors
    /// All reasons why the target cannot hold the network, each with its ONNX node.
    fn legalise(
        &self,
        network: &Verified,
        options: &TargetOptions,
    ) -> Result<Legalised, Vec<Violation>>;

    /// The target's files for a network that this target legalised. Equal networks give equal bytes.
    ///
    /// # Errors
    /// When a value does not fit the format: a fault of the legaliser.
    fn emit(&self, network: &Legalised, options: &TargetOptions) -> Result<Artefact, EmitError>;

    /// A file of the artefact once more, with what was seen on data: mean spikes of a timestep by
    /// population. None where nothing depends on that.
    ///
    /// # Errors
    /// As [`Target::emit`].
    fn with_activity(
        &self,
        _: &Graph,
        _: &TargetOptions,
        _: &BTreeMap<String, f64>,
    ) -> Result<Option<File>, EmitError> {
        Ok(None)
    }

    /// Whether a file of that name (without folders) and content is the entry file of this
    /// target's format. The content decides; a name is only a hint.
    fn recognises(&self, name: &str, content: &[u8]) -> bool;

    /// The network in a file of this target's format, ours or not, and the files it refers to.
    ///
    /// # Errors
    /// When a file is missing, malformed or says what is not supported.
    fn read(&self, files: &dyn FileSource, entry: &str) -> Result<Graph, ReadError>;

    /// The memories that a file of this target's format lays out, layer by layer; none where the
    /// format leaves that to the device.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    fn memories(&self, _: &dyn FileSource, _: &str) -> Result<Vec<LayerMemories>, ReadError> {
        Ok(Vec::new())
    }

    /// A network in continuous time in the target's files; `None` where it takes no such networks.
    ///
    /// # Errors
    /// When a node has no form in them.
    fn emit_real(&self, _: &RealNetwork) -> Option<Result<(Artefact, Vec<Note>), EmitError>> {
        None
    }

    /// The network in continuous time in a file of that name and content; `None` where it is another kind of
    /// file.
    ///
    /// # Errors
    /// When it is malformed.
    fn read_real(&self, _: &str, _: Bytes) -> Result<Option<RealNetwork>, ReadError> {
        Ok(None)
    }

    /// What counts the clocks of the hardware that a file of this target's format describes; `None` where no
    /// model of that hardware says how many there are.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    fn clocks(&self, _: &dyn FileSource, _: &str) -> Result<Option<Box<dyn Clocks>>, ReadError> {
        Ok(None)
    }
}

/// Counts the clocks that hardware spends on samples.
pub trait Clocks {
    /// Whether what the population of that name sends takes clocks.
    fn concerns(&self, population: &str) -> bool;

    /// Clocks of these samples, of each of which is said what every population of concern sends:
    /// by name the payloads of each timestep, one for each neuron.
    ///
    /// # Errors
    /// When the samples do not say what must be known, or the hardware comes to no end.
    fn pipeline(
        &self,
        samples: &[BTreeMap<String, Vec<Vec<i64>>>],
    ) -> Result<PipelineClocks, String>;
}

/// Clocks of samples in layers that work side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PipelineClocks {
    /// From the first word of a sample to its answer, for each sample by itself.
    pub latencies: Vec<u64>,
    /// Between answers when samples follow each other without a pause, mean; none of a single sample.
    pub interval: Option<f64>,
}

/// One memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize {
    /// Words.
    pub words: usize,
    /// Bits of a word.
    pub bits: u32,
}

/// The memories of one layer. What lies in banks is one bank of it: that is what an access meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerMemories {
    /// Name of the population.
    pub population: String,
    /// Weights of each projection, in the order of the population's sources.
    pub weights: Vec<MemorySize>,
    /// Biases.
    pub bias: MemorySize,
    /// Membrane potentials.
    pub potentials: MemorySize,
    /// Events that wait before the layer.
    pub queue_in: MemorySize,
    /// Events that wait behind it.
    pub queue_out: MemorySize,
}

/// What the user chose, as far as targets see it.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    /// One of [`Target::devices`].
    pub device: Option<String>,
    /// Content of a hardware description file (YAML).
    pub hardware: Option<String>,
    /// Go on where a check of fitness fails, and report it.
    pub force: bool,
    /// Bits of weights, where the target leaves a choice.
    pub weight_bits: Option<u8>,
    /// Factors of thresholds by population, chosen by data; what the user says goes before.
    pub thresholds: BTreeMap<String, f64>,
    /// Options of this target alone, from the configuration file or `--set KEY=VALUE`.
    pub extra: BTreeMap<String, String>,
}

/// A network in a target's arithmetic.
#[derive(Clone, Debug)]
pub struct Legalised {
    /// The network; populations keep their canonical names and order.
    pub network: Verified,
    /// What the user should know.
    pub notes: Vec<Note>,
    /// Resources used and available.
    pub fit: Vec<FitRow>,
}

/// Something the user should know that is no error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The node concerned, as [`Node::describe`] has it.
    pub node: String,
    /// What there is to know.
    pub text: String,
}

/// One resource of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitRow {
    /// The resource, with its unit.
    pub resource: String,
    /// How much the network takes.
    pub used: u64,
    /// How much there is; `None` where that is not known.
    pub available: Option<u64>,
}

/// Why a target cannot hold a network: one limit that one node passes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {reason}")]
pub struct Violation {
    /// The node, as [`Node::describe`] has it.
    pub node: String,
    /// The limit and by how much it is passed.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

/// What a user can do about a fault of the compiler.
pub const FAULT: &str = "this is a fault of snnc: report it with the model";

impl Violation {
    /// A fault of the target's own code: nothing that the user gave is wrong.
    pub fn fault(node: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Violation { node: node.into(), reason: reason.to_string(), remedy: FAULT.into() }
    }

    /// Whether the compiler is at fault, and not the network.
    pub fn is_fault(&self) -> bool {
        self.remedy == FAULT
    }

    /// A violation by `node`.
    pub fn new(node: &Node, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Violation { node: node.describe(), reason: reason.into(), remedy: remedy.into() }
    }
}

/// The files of one target.
#[derive(Clone, Debug, Default)]
pub struct Artefact {
    /// The files, in the order in which the manifest lists them; the first is the entry file.
    pub files: Vec<File>,
}

/// One file of an artefact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path below the artefact's folder, with `/`.
    pub path: String,
    /// Content, shared with what is read back from it.
    pub content: Bytes,
}

impl File {
    /// A file.
    pub fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        File { path: path.into(), content: Bytes::from(content.into()) }
    }
}

/// Why a network cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// A node has no form in the target's files.
    #[error("{node}: {reason}")]
    Node {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
    /// The container could not be written.
    #[error("{0}")]
    Container(String),
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A file could not be opened.
    #[error("`{file}`: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what its format asks for.
    #[error("`{file}`: {place}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// Key, path or line within it.
        place: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A file holds what its format allows, but snnc does not read.
    #[error("`{file}`: {place}: {what} is not supported")]
    Unsupported {
        /// The file.
        file: String,
        /// Key, path or line within it.
        place: String,
        /// What it is.
        what: String,
    },
}

/// Where a reader finds the files that an entry file refers to.
pub trait FileSource {
    /// Content of the file at a path relative to the entry file's folder.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or lies outside the folder.
    fn read(&self, path: &str) -> Result<Bytes, ReadError>;
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(pub BTreeMap<String, Bytes>);

impl From<&Artefact> for MemoryFiles {
    fn from(artefact: &Artefact) -> Self {
        let entry = |f: &File| (f.path.clone(), f.content.clone());
        MemoryFiles(artefact.files.iter().map(entry).collect())
    }
}

impl FileSource for MemoryFiles {
    fn read(&self, path: &str) -> Result<Bytes, ReadError> {
        self.0.get(path).cloned().ok_or_else(|| ReadError::Missing(path.to_owned()))
    }
}
