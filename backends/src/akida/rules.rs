//! What devices can hold: the limits of `rules/rules.yaml`, checked layer by layer.
//!
//! The limits are data. Each bounds one measure of a layer ([`measure`]), so that a new limit is a new
//! entry there and a case in `rules/cases.yaml`.

mod estimate;
mod measure;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::layer::{Layer, LayerType, Version};
use super::spec::Spec;
pub use estimate::fit;
pub use measure::sends_narrow_potentials;
use measure::{Surroundings, measure};

/// A device, as `rules/devices.yaml` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The name that `--device` takes.
    pub name: String,
    generation: Version,
    /// Neural processors that can hold convolutions.
    cnp: u64,
    /// Those for dense layers with external weights.
    fnp2: u64,
    /// Those for dense layers with weights of their own.
    fnp3: u64,
    /// Those for temporal layers.
    tnp_b: u64,
    /// Channels for connections that skip layers.
    skip_dma: u64,
    /// Bytes for the input of a pair of NPs.
    input_memory: u64,
    /// Bytes for the weights of a pair of NPs.
    weight_memory: u64,
    /// Most filters of one NP.
    filters: u64,
    /// Most rows of a map in one NP.
    rows: u64,
    /// Most columns of a map in one NP.
    columns: u64,
}

#[derive(Deserialize)]
struct DeviceFile {
    devices: Vec<Device>,
}

/// A bound on one measure of some layers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    layers: Vec<LayerType>,
    /// The devices that have it; all of the generation if empty.
    #[serde(default)]
    devices: Vec<String>,
    /// Measures and the values with one of which the rule applies.
    #[serde(default)]
    when: BTreeMap<String, Vec<i64>>,
    measure: String,
    /// The measure in words.
    what: String,
    #[serde(default, rename = "in")]
    one_of: Vec<i64>,
    least: Option<i64>,
    most: Option<i64>,
    remedy: String,
    /// Where the figure is from.
    source: String,
    /// How sure it is.
    confidence: String,
}

impl Rule {
    fn allows(&self, value: i64) -> bool {
        (self.one_of.is_empty() || self.one_of.contains(&value))
            && self.least.is_none_or(|least| value >= least)
            && self.most.is_none_or(|most| value <= most)
    }

    /// What is allowed, in words.
    fn bounds(&self) -> String {
        let list = |values: &[i64]| {
            let words: Vec<String> = values.iter().map(i64::to_string).collect();
            match words.split_last() {
                Some((last, [])) => last.clone(),
                Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
                None => String::new(),
            }
        };
        match (self.least, self.most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => list(&self.one_of),
        }
    }
}

static DEVICES: LazyLock<Vec<Device>> = LazyLock::new(|| {
    serde_yaml::from_str(include_str!("rules/devices.yaml"))
        .map(|file: DeviceFile| file.devices)
        .unwrap_or_default()
});

static RULES: LazyLock<Vec<Rule>> =
    LazyLock::new(|| serde_yaml::from_str(include_str!("rules/rules.yaml")).unwrap_or_default());

/// The devices of a generation, the default first.
pub fn devices(version: Version) -> impl Iterator<Item = &'static Device> {
    DEVICES.iter().filter(move |d| d.generation == version)
}

/// The device of that name, or the generation's default.
pub fn device(version: Version, name: Option<&str>) -> Option<&'static Device> {
    devices(version).find(|d| name.is_none_or(|n| d.name == n))
}

/// A limit that a layer passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Name of the rule.
    pub rule: &'static str,
    /// The layer.
    pub layer: String,
    /// The limit and by how much it is passed.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

/// Every limit that the model passes on the device.
pub fn check(spec: &Spec, device: &Device) -> Vec<Broken> {
    let surroundings = Surroundings::of(spec);
    let each = |(index, layer): (usize, &Layer)| -> Vec<Broken> {
        let of = |name: &str| measure(name, index, layer, spec, &surroundings);
        let applies = |rule: &&'static Rule| {
            rule.layers.contains(&layer.kind)
                && (rule.devices.is_empty() || rule.devices.contains(&device.name))
                && rule
                    .when
                    .iter()
                    .all(|(name, values)| of(name).iter().any(|v| values.contains(v)))
        };
        let breaks = |rule: &'static Rule| {
            let worst = of(&rule.measure).into_iter().find(|&v| !rule.allows(v))?;
            let reason = format!(
                "{} {worst} ({}); {} takes {} ({}: {})",
                rule.what,
                layer.kind,
                device.name,
                rule.bounds(),
                rule.source,
                rule.confidence
            );
            let remedy = rule.remedy.clone();
            Some(Broken { rule: &rule.name, layer: layer.name.clone(), reason, remedy })
        };
        RULES.iter().filter(applies).filter_map(breaks).collect()
    };
    spec.layers.iter().enumerate().flat_map(each).collect()
}
