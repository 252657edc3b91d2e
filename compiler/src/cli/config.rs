//! Options from `snnc.yaml`, and how they join those of the command line.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use snnc_backends::TARGETS;

use super::args::{DataArgs, ImportArgs};
use super::numbers::LARGEST_FACTOR;
use crate::feed::Given;
use crate::import::ImportOptions;
use crate::{Error, Problem, nearest};

/// What helps where a number is none.
const FINITE: &str = "give a finite number, scales and offsets up to 1e18";

/// The configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    /// How integer data becomes a real input.
    #[serde(default)]
    pub(super) input: InputConfig,
    /// Thresholds V_th(t) of populations in the coding `atif`, in the unit of the activation.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) thresholds: BTreeMap<String, Vec<f64>>,
    /// Options of targets, by target.
    #[serde(default, deserialize_with = "options_of_targets")]
    pub(super) targets: BTreeMap<String, OptionsOfTarget>,
}

/// Options of one target.
type OptionsOfTarget = BTreeMap<String, serde_yaml::Value>;

/// A key without a value, as `snnc config --print` writes it, says nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(d).map(Option::unwrap_or_default)
}

fn options_of_targets<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<BTreeMap<String, OptionsOfTarget>, D::Error> {
    let found: BTreeMap<String, Option<OptionsOfTarget>> = or_default(d)?;
    Ok(found.into_iter().map(|(name, options)| (name, options.unwrap_or_default())).collect())
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
        Config::parse(&text, &place)
    }

    /// Reads the content of such a file, which problems name as `place`.
    pub(super) fn parse(text: &str, place: &str) -> Result<Config, Error> {
        let config: Config = serde_yaml::from_str(text).map_err(|e| {
            Error::input(place, e.to_string(), "`snnc config --print` shows all options")
        })?;
        let problem = |key| Problem::new(place, format!("`{key}` is no number"), FINITE);
        let mut problems: Vec<Problem> = config.not_finite().into_iter().map(problem).collect();
        let unknown = config.unknown().into_iter();
        problems.extend(unknown.map(|(reason, help)| Problem::new(place, reason, help)));
        if problems.is_empty() { Ok(config) } else { Err(Error::Input(problems)) }
    }

    /// Keys of all numbers that are NaN, infinite or, of the input, too large to scale by.
    fn not_finite(&self) -> Vec<String> {
        let mut found = Vec::new();
        let input = [("input.scale", self.input.scale), ("input.offset", self.input.offset)];
        let factor = |x: &f64| x.abs() <= LARGEST_FACTOR;
        found.extend(
            input.into_iter().filter(|(_, x)| !x.iter().all(factor)).map(|(k, _)| k.to_owned()),
        );
        let thresholds = self.thresholds.iter().filter(|(_, v)| !v.iter().all(|x| x.is_finite()));
        found.extend(thresholds.map(|(name, _)| format!("thresholds.{name}")));
        let not_finite = |value: &serde_yaml::Value| value.as_f64().is_some_and(|x| !x.is_finite());
        for (target, options) in &self.targets {
            let options = options.iter().filter(|(_, value)| not_finite(value));
            found.extend(options.map(|(key, _)| format!("targets.{target}.{key}")));
        }
        found
    }

    /// What the file says of the input.
    pub(super) fn given(&self) -> Given {
        Given { scale: self.input.scale, offset: self.input.offset }
    }

    /// Targets, and keys of options of theirs, that do not exist: reason and remedy of each.
    fn unknown(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for (name, options) in &self.targets {
            let Some(target) = snnc_backends::target(name) else {
                let known = TARGETS.iter().map(|t| t.name());
                let reason = format!("`targets.{name}`: there is no such target");
                found.push((reason, nearest::advice(name, known)));
                continue;
            };
            for key in options.keys().filter(|key| !super::options::takes(target, key)) {
                let reason = format!("`targets.{name}.{key}`: {name} has no such option");
                let known: Vec<String> = target.options().iter().map(|o| o.shown()).collect();
                found.push((reason, nearest::advice(key, known.iter().map(String::as_str))));
            }
        }
        found
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

/// What the command line, else the file, says of the input.
pub(super) fn given(args: &DataArgs) -> Result<Given, Error> {
    let file = Config::load(args.config.as_deref())?.given();
    Ok(Given { scale: args.input_scale.or(file.scale), offset: args.input_offset.or(file.offset) })
}

/// The options of import.
pub(super) fn import_options(args: &ImportArgs) -> Result<ImportOptions, Error> {
    let samples = args.samples.clone();
    let mut options = ImportOptions { mmap: !args.no_mmap, samples, ..ImportOptions::default() };
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
