//! SPLEAT-style memory images, a documented stand-in.
//!
//! SPLEAT (LEAT, Université Côte d'Azur) maps each layer of a spiking network to a module of its
//! own on an FPGA; its HDL and its image format are not public. What this target writes is an image
//! of the same inventory (weights, biases, thresholds and potentials in banks, address events
//! between the layers) in a format of this project, with every assumption about the device in one
//! YAML file ([`Hardware`]) and files that hardware simulators load.
//!
//! # What a layer does
//!
//! State: an integer potential V for each neuron, from the membrane memory. In each timestep:
//!
//! 1. *Accumulate*, for each event (c, y, x, payload p) and tap (ky, kx): with `dy = y + pt - ky*d`,
//!    `dx = x + pl - kx*d`, if these are multiples of the strides and the quotients lie within the
//!    output, `V[yo][xo][co] += W[co][c][ky][kx] * p` for all output channels of the event's group.
//! 2. *Sweep* over all neurons in order y, x, c: `u = V + bias`; a leak by averaging shifts
//!    `u >>= q`; `z = clamp(floor(u / threshold), 0, N)`; a soft reset subtracts `z * threshold`, a hard
//!    one replaces `u` if `z > 0`; a leak by subtraction takes `u >> q`; the layer sends z if it is
//!    not 0. A read-out sends nothing, its potentials are the result.
//!
//! Layers of maxima have neither synapses nor neurons: they send the largest payload of each window, or
//! in codings of several timesteps by how much the largest total has grown, for which they add up what
//! each source has sent.
//!
//! Inputs of a dense layer count in event order (y, x, c), so its weight columns are permuted in
//! the image; the spiking IR keeps the order (C, H, W).

pub mod aer;
mod bounds;
mod clocks;
mod config;
pub mod cycles;
mod emit;
mod fit;
mod format;
mod geometry;
mod graded;
mod hardware;
mod layer;
mod legalise;
mod limits;
mod manifest;
mod memories;
pub mod memory;
mod qualia;
mod read;
mod report;
pub mod rtl;
mod spiking;
#[cfg(test)]
mod tests;
mod work;

use snnc_ir::{Coding, Graph, Verified};

pub use geometry::{Geometry, Map};
pub use hardware::{Format, Hardware, built_in_names};
pub use layer::{Kind, Layer, LayerNeuron, Port, Widths};
pub use legalise::layers;
pub use manifest::{FileEntry, Manifest};
pub use read::{Checksums, read, read_layers};

use crate::trained;
use crate::{
    Artefact, Capabilities, Clocks, EmitError, File, FileSource, LayerMemories, Legalised,
    MemoryFiles, ReadError, Target, TargetOption, TargetOptions, Trained, Values, Violation,
};

/// Writes `manifest.json` and memory files.
pub struct Spleat;

/// Name of the entry file.
pub const ENTRY: &str = "manifest.json";

/// What every manifest says of itself.
pub const PROVENANCE: &str =
    "SPLEAT-style, documented stand-in: SPLEAT's HDL and image format are not public";

impl Target for Spleat {
    fn name(&self) -> &'static str {
        "spleat"
    }

    fn summary(&self) -> &'static str {
        "memory images for event-driven FPGA layers (SPLEAT-style, documented stand-in)"
    }

    fn codings(&self) -> &'static [Coding] {
        &[Coding::MultiLevel, Coding::FewSpikes, Coding::Rate, Coding::RateSync, Coding::Atif]
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { trained: Trained::OnIntegers, ..Capabilities::BYTES }
    }

    fn devices(&self) -> Vec<String> {
        built_in_names()
    }

    fn options(&self) -> &'static [TargetOption] {
        &OPTIONS
    }

    fn check_hardware(&self, text: &str) -> Option<Result<(), Vec<String>>> {
        Some(Hardware::parse(text).map(drop))
    }

    fn description(&self) -> String {
        format!(
            "{PROVENANCE}.\n\
             Writes manifest.json and for each layer and bank of processing units the memories of\n\
             weights, biases, thresholds, initial potentials and configuration words. The image is\n\
             read back and run from these files. Below rtl/ is a core in Verilog that runs the image, in\n\
             simulators and synthesis tools alike; --image-format prints the format.\n\
             \n\
             Devices (--device, or a file with --hw): {}.\n\
             Option formats=mif,coe,ihex,qhex writes the memories in these formats too; option\n\
             bundle=qualia the configuration and weights that Qualia-Bench takes, for networks within\n\
             its SCNN template, whose neurons approximate these; bundle=rtl a Makefile that simulates,\n\
             checks, synthesises, places and routes, and constraints, for ecp5-85, ice40up5k, xc7a100t.\n\
             \n\
             Layers: dense, convolution in one and two dimensions, in groups, residual additions.\n\
             Neurons: integrate and fire with up to N spikes in one event (T=1 by default), leaky in\n\
             two forms, soft or hard reset, thresholds that change in time, read-out of potentials.\n\
             No adder overflows for any input: the manifest says how many bits are used and there.",
            built_in_names().join(", ")
        )
    }

    fn image_format(&self) -> Option<&'static str> {
        Some(include_str!("../../../docs/spleat-image-format.md"))
    }

    fn legalise(
        &self,
        network: &Verified,
        options: &TargetOptions,
    ) -> Result<Legalised, Vec<Violation>> {
        options.check(self.name(), &OPTIONS)?;
        let hardware = chosen(options).map_err(|problems| {
            let place = if options.hardware.is_some() { "--hw" } else { "--device" };
            let remedy = "see `snnc targets spleat` for the devices and the keys of a description";
            let violation =
                |reason| Violation { node: place.to_owned(), reason, remedy: remedy.to_owned() };
            problems.into_iter().map(violation).collect::<Vec<_>>()
        })?;
        let (on_integers, losses) = match network.is_float() {
            true => trained::integrating(network, hardware.numbers.weight_bits.min(16))?,
            false => (network.clone(), Vec::new()),
        };
        let mut legalised = legalise::legalise(&on_integers, &hardware, options.force)?;
        legalised.notes.splice(0..0, losses);
        if bundles(options) {
            let outside = |reason: String| {
                let remedy = "leave the option out: the image holds the network".to_owned();
                vec![Violation { node: "option `bundle`".into(), reason, remedy }]
            };
            let artefact = emit::emit(&legalised.network, &hardware, &[Format::Mem])
                .map_err(|e| outside(e.to_string()))?;
            qualia(&artefact).map_err(outside)?;
        }
        Ok(legalised)
    }

    fn emit(&self, network: &Legalised, options: &TargetOptions) -> Result<Artefact, EmitError> {
        let hardware = chosen(options).map_err(|e| EmitError::Container(e.join("; ")))?;
        let formats = formats(options, &hardware).map_err(EmitError::Container)?;
        let mut artefact = emit::emit(&network.network, &hardware, &formats)?;
        artefact.files.extend(core(&artefact).map_err(EmitError::Container)?);
        if scripts(options) {
            artefact.files.extend(rtl::bundle(&network.network.name, &hardware));
        }
        if bundles(options) {
            let files = qualia(&artefact).map_err(EmitError::Container)?;
            artefact.files.extend(files);
        }
        Ok(artefact)
    }

    fn recognises(&self, _: &str, content: &[u8]) -> bool {
        // The format is the manifest's first key, so a prefix decides.
        let start = content.get(..content.len().min(4096)).unwrap_or_default();
        let quoted = format!("\"{}\"", manifest::FORMAT);
        start.trim_ascii_start().starts_with(b"{")
            && start.windows(quoted.len()).any(|w| w == quoted.as_bytes())
    }

    fn read(&self, files: &dyn FileSource, entry: &str) -> Result<Graph, ReadError> {
        read::read(files, entry, Checksums::Checked)
    }

    fn memories(
        &self,
        files: &dyn FileSource,
        entry: &str,
    ) -> Result<Vec<LayerMemories>, ReadError> {
        memories::memories(files, entry)
    }

    fn clocks(
        &self,
        files: &dyn FileSource,
        entry: &str,
    ) -> Result<Option<Box<dyn Clocks>>, ReadError> {
        Ok(Some(Box::new(clocks::ImageClocks::of(files, entry)?)))
    }
}

/// Options of this target.
const OPTIONS: [TargetOption; 2] = [
    TargetOption {
        key: "bundle",
        values: Values::Word(&["qualia", "rtl"]),
        summary: "qualia adds the configuration and weights that Qualia-Bench takes, rtl the scripts of simulation and synthesis",
    },
    TargetOption {
        key: "formats",
        values: Values::Words(Format::NAMES),
        summary: "writes the memories in these file formats too",
    },
];

fn chosen(options: &TargetOptions) -> Result<Hardware, Vec<String>> {
    Hardware::choose(options.hardware.as_deref(), options.device.as_deref())
}

/// Whether the bundle for Qualia-Bench is wanted.
fn bundles(options: &TargetOptions) -> bool {
    options.word(OPTIONS[0].key) == Some("qualia")
}

/// Whether the scripts for an accelerator are wanted.
fn scripts(options: &TargetOptions) -> bool {
    options.word(OPTIONS[0].key) == Some("rtl")
}

/// The sources of an image's accelerator, in a folder of their own.
fn core(artefact: &Artefact) -> Result<Vec<File>, String> {
    let files = MemoryFiles::from(artefact);
    let (manifest, layers) =
        read_layers(&files, ENTRY, Checksums::Checked).map_err(|e| e.to_string())?;
    let sources = rtl::sources(&manifest, &layers)?.into_iter();
    Ok(sources.map(|f| File::new(format!("rtl/{}", f.path), f.content)).collect())
}

/// The bundle for Qualia-Bench of an image, or why there is none.
fn qualia(artefact: &Artefact) -> Result<Vec<File>, String> {
    let files = MemoryFiles::from(artefact);
    let (manifest, layers) =
        read_layers(&files, ENTRY, Checksums::Checked).map_err(|e| e.to_string())?;
    qualia::bundle(&manifest, &layers)
}

/// The file formats that are written: `.mem`, those of the hardware, and those of the option.
fn formats(options: &TargetOptions, hardware: &Hardware) -> Result<Vec<Format>, String> {
    let mut formats = vec![Format::Mem];
    formats.extend(&hardware.outputs);
    for name in options.words(OPTIONS[1].key) {
        formats.push(Format::from_name(name).ok_or(format!("no file format `{name}`"))?);
    }
    formats.sort_unstable();
    formats.dedup();
    Ok(formats)
}
