//! What targets say of themselves to whoever compiles for one without knowing which it is.

/// How a target takes networks that were trained to spike, in single precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// Not at all: its neurons do not integrate over time.
    No,
    /// As they are.
    InSinglePrecision,
    /// With their neurons on integers, and inputs whose range is known.
    OnIntegers,
}

/// What a target is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Bits of payloads that a float model is given where nothing else is said.
    pub payload_bits: u8,
    /// Bits of payloads worth trying where they are shared out among layers, ascending.
    pub payload_choices: &'static [u8],
    /// Bits of weights that a float model is given where nothing else is said.
    pub weight_bits: u8,
    /// How it takes networks that were trained to spike.
    pub trained: Trained,
    /// Whether it writes networks in continuous time ([`snnc_ir::RealNetwork`]).
    pub continuous: bool,
}

impl Capabilities {
    /// Bits of payloads and of weights that a float model is given where nothing else is said.
    pub fn bits(&self) -> (u8, u8) {
        (self.payload_bits, self.weight_bits)
    }

    /// Those of a target without particular ones: bytes throughout.
    pub const BYTES: Capabilities = Capabilities {
        payload_bits: 8,
        payload_choices: &[1, 2, 3, 4, 5, 6, 7, 8],
        weight_bits: 8,
        trained: Trained::No,
        continuous: false,
    };
}
