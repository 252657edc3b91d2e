//! The chips, from `devices.yaml`.

use std::sync::LazyLock;

use serde::Deserialize;

/// A figure and where it comes from.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::loihi) struct Figure<T> {
    /// The figure.
    pub value: T,
    /// Who says so.
    pub source: String,
    /// How sure it is: high, medium or low.
    pub confidence: String,
}

/// One kind of chip.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::loihi) struct Device {
    /// What `--device` takes.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Whether a spike carries a number.
    pub payloads: Figure<bool>,
    /// Whether the neurons of a core share the kernel of a convolution.
    pub shared_kernels: Figure<bool>,
    /// Neuron cores of one chip.
    pub cores_per_chip: Figure<u64>,
    /// Chips of the largest system built.
    pub chips: Figure<u64>,
    /// Cores side by side in the mesh of a chip.
    pub mesh_width: Figure<u64>,
    /// Neurons of one core.
    pub neurons_per_core: Figure<u64>,
    /// Bits for synapses in one core.
    pub synapse_bits_per_core: Figure<u64>,
    /// Bits of one weight.
    pub weight_bits: Figure<u64>,
    /// Sources that a core can listen to.
    pub input_axons_per_core: Option<Figure<u64>>,
}

impl Device {
    /// Every figure that limits something: what it is, its value, source and confidence.
    pub fn figures<'a>(&'a self) -> Vec<(&'static str, u64, &'a str, &'a str)> {
        let mut figures = vec![
            ("cores per chip", &self.cores_per_chip),
            ("chips", &self.chips),
            ("neurons per core", &self.neurons_per_core),
            ("synapse bits per core", &self.synapse_bits_per_core),
            ("weight bits", &self.weight_bits),
        ];
        figures.extend(self.input_axons_per_core.iter().map(|f| ("input axons per core", f)));
        let row = |(what, f): (&'static str, &'a Figure<u64>)| {
            (what, f.value, f.source.as_str(), f.confidence.as_str())
        };
        figures.into_iter().map(row).collect()
    }
}

static DEVICES: LazyLock<Vec<Device>> =
    LazyLock::new(|| serde_yaml::from_str(include_str!("devices.yaml")).unwrap_or_default());

/// All devices, the default first.
pub(in crate::loihi) fn devices() -> &'static [Device] {
    &DEVICES
}

/// The device of that name, or the default.
pub(in crate::loihi) fn device(name: Option<&str>) -> Option<&'static Device> {
    match name {
        None => DEVICES.first(),
        Some(name) => DEVICES.iter().find(|d| d.name == name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_every_figure_has_a_source() {
        assert_eq!(devices().len(), 2);
        for device in devices() {
            for (what, value, source, confidence) in device.figures() {
                assert!(value > 0 && !source.is_empty(), "{what}");
                assert!(["high", "medium", "low"].contains(&confidence), "{what}");
            }
        }
        assert!(device(Some("loihi3")).is_none());
    }
}
