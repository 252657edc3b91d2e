//! What devices can hold: the limits of `devices.yaml`, checked layer by layer.

use super::spec::Spec;

/// A limit that a layer passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The layer.
    pub layer: String,
    /// The limit and by how much it is passed.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

/// Every limit that the model passes on the device.
pub fn check(_spec: &Spec, _device: Option<&str>) -> Vec<Broken> {
    Vec::new()
}
