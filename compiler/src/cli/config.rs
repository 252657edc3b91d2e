//! Options from `snnc.yaml`, and how they join those of the command line.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::args::{DataArgs, ImportArgs};
use crate::Error;
use crate::data::Scaling;
use crate::import::ImportOptions;

/// The configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    /// How integer data becomes a real input.
    #[serde(default)]
    pub(super) input: InputConfig,
    /// Thresholds V_th(t) of populations in the coding `atif`, in the unit of the activation.
    #[serde(default)]
    pub(super) thresholds: BTreeMap<String, Vec<f64>>,
    /// Options of targets, by target.
    #[serde(default)]
    pub(super) targets: BTreeMap<String, BTreeMap<String, serde_yaml::Value>>,
}

/// The `input` part.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputConfig {
    pub(super) scale: Option<f64>,
    pub(super) offset: Option<f64>,
}

impl Config {
    /// Reads the file, if one is named.
    pub(super) fn load(path: Option<&Path>) -> Result<Config, Error> {
        let Some(path) = path else { return Ok(Config::default()) };
        let place = format!("`{}`", path.display());
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::input(&place, format!("cannot be read: {e}"), "check the path"))?;
        serde_yaml::from_str(&text)
            .map_err(|e| Error::input(&place, e.to_string(), "see `snnc compile --help`"))
    }

    /// Options of one target, as text.
    pub(super) fn target(&self, name: &str) -> BTreeMap<String, String> {
        let text = |v: &serde_yaml::Value| match v {
            serde_yaml::Value::String(s) => s.clone(),
            other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
        };
        self.targets.get(name).into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect()
    }
}

/// The scaling by the command line, else the file, else what the artefact says.
pub(super) fn scaling(args: &DataArgs, otherwise: Scaling) -> Result<Scaling, Error> {
    let config = Config::load(args.config.as_deref())?;
    Ok(Scaling {
        scale: args.input_scale.or(config.input.scale).unwrap_or(otherwise.scale),
        offset: args.input_offset.or(config.input.offset).unwrap_or(otherwise.offset),
    })
}

/// The options of import.
pub(super) fn import_options(args: &ImportArgs) -> Result<ImportOptions, Error> {
    let mut options = ImportOptions { mmap: !args.no_mmap, ..ImportOptions::default() };
    for (name, size) in &args.dims {
        let size = size.parse().ok().filter(|&n: &usize| n > 0).ok_or_else(|| {
            Error::usage("--dim", format!("`{size}` is no size"), "write --dim batch=1")
        })?;
        options.dims.insert(name.clone(), size);
    }
    for text in &args.shapes {
        let wrong = || {
            Error::usage(
                "--input-shape",
                format!("`{text}` is no NAME:SHAPE"),
                "write --input-shape x:1x3x32x32",
            )
        };
        let (name, shape) = text.rsplit_once(':').ok_or_else(wrong)?;
        let shape: Result<Vec<usize>, _> = shape.split('x').map(str::parse).collect();
        options.shapes.insert(name.to_owned(), shape.map_err(|_| wrong())?);
    }
    Ok(options)
}
