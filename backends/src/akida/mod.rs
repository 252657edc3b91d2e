//! Akida 1.0 and 2.0: layer specs, and the integer arithmetic that they mean.
//!
//! A model is a list of layers in the JSON form of the vendor's API ([`layer`], [`spec`]). [`lower`]
//! says in spiking IR what the layers compute, [`lift`] is its inverse, and the legaliser turns the
//! canonical network into layers and lowers them, so that what is emitted is what was checked. The
//! numbers' order on the chip is known to [`layout`] alone.
//!
//! The arithmetic is that of the published API documentation; no part of the vendor's package is
//! used.

pub mod layer;
mod layout;
mod legalise;
mod lift;
mod lower;
mod rules;
mod search;
pub mod spec;

use snnc_ir::{Coding, Graph, Verified};

use crate::{
    Artefact, Capabilities, EmitError, FileSource, Legalised, ReadError, Target, TargetOption,
    TargetOptions, Values, Violation,
};
use layer::{LayerError, Version};
use spec::Spec;

/// Akida 1.0.
pub struct Akida1;

/// Akida 2.0.
pub struct Akida2;

/// Options of both.
static OPTIONS: [TargetOption; 1] = [TargetOption {
    key: "copies",
    values: Values::Whole { from: 1, to: 16 },
    summary: "largest number of copies of a map, so that weights fit; 1 turns this off",
}];

macro_rules! target {
    ($target:ty, $version:expr, $name:literal, $summary:literal, $description:expr) => {
        impl Target for $target {
            fn name(&self) -> &'static str {
                $name
            }

            fn summary(&self) -> &'static str {
                $summary
            }

            fn codings(&self) -> &'static [Coding] {
                &[Coding::Graded]
            }

            fn capabilities(&self) -> Capabilities {
                let (payload_choices, weight_bits): (&[u8], u8) = match $version {
                    Version::V1 => (&[1, 2, 4], 4),
                    Version::V2 => (&[1, 2, 4, 8], 8),
                };
                Capabilities {
                    payload_bits: 4,
                    payload_choices,
                    weight_bits,
                    ..Capabilities::BYTES
                }
            }

            fn devices(&self) -> Vec<String> {
                rules::devices($version).map(|d| d.name.clone()).collect()
            }

            fn options(&self) -> &'static [TargetOption] {
                &OPTIONS
            }

            fn description(&self) -> String {
                $description.into()
            }

            fn legalise(
                &self,
                network: &Verified,
                options: &TargetOptions,
            ) -> Result<Legalised, Vec<Violation>> {
                options.check(self.name(), &OPTIONS)?;
                legalise::legalise($version, network, options)
            }

            fn emit(&self, network: &Legalised, _: &TargetOptions) -> Result<Artefact, EmitError> {
                Ok(Artefact { files: lift::lift(&network.network, $version)?.to_files()? })
            }

            fn recognises(&self, _: &str, content: &[u8]) -> bool {
                spec::generation(content) == Some($version)
            }

            fn read(&self, files: &dyn FileSource, entry: &str) -> Result<Graph, ReadError> {
                read(files, entry)
            }
        }
    };
}

target!(
    Akida1,
    Version::V1,
    "akida1",
    "BrainChip Akida 1.0: 4-bit payloads and weights, 8-bit input, a chain of layers",
    include_str!("akida1.txt")
);
target!(
    Akida2,
    Version::V2,
    "akida2",
    "BrainChip Akida 2.0: 4- or 8-bit payloads and weights, branches",
    include_str!("akida2.txt")
);

fn read(files: &dyn FileSource, entry: &str) -> Result<Graph, ReadError> {
    let spec = Spec::from_files(files, entry)?;
    lower::lower(&spec).map_err(|LayerError { layer, reason, unsupported }| {
        let (file, place) = (entry.to_owned(), format!("layer `{layer}`"));
        if unsupported {
            ReadError::Unsupported { file, place, what: reason }
        } else {
            ReadError::Malformed { file, place, reason }
        }
    })
}

#[cfg(test)]
mod tests;
