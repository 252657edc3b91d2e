//! Where numbers become spikes, and spikes numbers.

use snnc_ir::{Decoder, Encoder, Presentation};

/// One input of a network, for one sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// Real numbers, to be quantised by the encoder.
    Real(Vec<f32>),
    /// Codes, as an integer graph input carries them.
    Codes(Vec<i64>),
    /// Payloads timestep by timestep, for an encoder that presents its input in time.
    InTime(Vec<Vec<i64>>),
}

impl Sample {
    /// Number of neurons that the sample drives.
    pub fn len(&self) -> usize {
        match self {
            Sample::Real(x) => x.len(),
            Sample::Codes(x) => x.len(),
            Sample::InTime(x) => x.first().map_or(0, Vec::len),
        }
    }

    /// Whether it drives no neuron.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The payloads that a sample stands for: `clamp(round(x / scale) + zero) - zero`, or by thresholds.
pub fn encode(encoder: &Encoder, sample: &Sample) -> Vec<i64> {
    let clamp = |code: i64| code.clamp(encoder.minimum, encoder.maximum) - encoder.zero_point;
    match sample {
        Sample::Real(x) if !encoder.thresholds.is_empty() => {
            let (rows, count) = (&encoder.thresholds, x.len().max(1));
            let code = |(i, x): (usize, &f32)| {
                let row = &rows[i * rows.len() / count];
                encoder.minimum.saturating_add(row.partition_point(|t| t <= x) as i64)
            };
            x.iter().enumerate().map(code).map(clamp).collect()
        }
        Sample::Real(x) => x
            .iter()
            .map(|&x| {
                let (units, zero) = match encoder.offset {
                    Some(offset) => (x / encoder.scale + offset, 0),
                    None => (x / encoder.scale, encoder.zero_point),
                };
                let units = encoder.rounding.round(units);
                let code = if units.is_nan() {
                    encoder.zero_point
                } else {
                    (units as i64).saturating_add(zero)
                };
                clamp(code)
            })
            .collect(),
        Sample::Codes(x) => x.iter().map(|&code| clamp(code)).collect(),
        Sample::InTime(steps) => steps.first().cloned().unwrap_or_default(),
    }
}

/// What an encoder sends at one timestep, given the payloads of the sample.
pub(super) fn present(
    encoder: &Encoder,
    sample: &Sample,
    payloads: &[i64],
    timestep: usize,
) -> Vec<i64> {
    let silent = || vec![0; payloads.len()];
    match encoder.presentation {
        Presentation::Once if timestep == 0 => payloads.to_vec(),
        Presentation::Once => silent(),
        Presentation::EveryTimestep => payloads.to_vec(),
        Presentation::BitSerial { bits } => match usize::from(bits).checked_sub(timestep + 1) {
            Some(bit) => payloads.iter().map(|p| (p >> bit) & 1).collect(),
            None => silent(),
        },
        Presentation::InTime => match sample {
            Sample::InTime(steps) => steps.get(timestep).cloned().unwrap_or_else(silent),
            _ if timestep == 0 => payloads.to_vec(),
            _ => silent(),
        },
    }
}

/// Scores of raw values: `scale[c] * (raw - zero[c])` in f32.
pub fn decode(decoder: &Decoder, raw: &[i64]) -> Vec<f32> {
    let pick = |n: usize, i: usize| if n == 1 { 0 } else { i * n / raw.len().max(1) };
    raw.iter()
        .enumerate()
        .map(|(i, &r)| {
            let zero =
                if decoder.zero.is_empty() { 0 } else { decoder.zero[pick(decoder.zero.len(), i)] };
            (r - zero) as f32 * decoder.scale[pick(decoder.scale.len(), i)]
        })
        .collect()
}
