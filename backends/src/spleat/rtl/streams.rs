//! The streams of event words between the layers of an image: what each carries, and how wide its fields are.

use snnc_ir::analysis::signed_bits;

use crate::spleat::geometry::Map;
use crate::spleat::layer::Layer;
use crate::spleat::manifest::{Manifest, Reads};

/// What a stream of events carries, and so how wide the fields of its words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// Smallest and largest payload.
    payloads: [i64; 2],
    pub(super) map: Map,
    /// Bits of potentials, where these are what the stream carries.
    pub(super) potentials: Option<u8>,
}

/// Bits that tell `count` values apart, at least 1.
fn bits(count: usize) -> usize {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1) as usize
}

impl Stream {
    pub(super) fn signed(&self) -> bool {
        self.payloads[0] < 0
    }

    pub(super) fn payload_bits(&self) -> usize {
        let [low, high] = self.payloads.map(|p| usize::from(signed_bits(p)));
        if self.signed() { low.max(high) } else { (high - 1).max(1) }
    }

    /// Payload, channel, row, column.
    pub(super) fn fields(&self) -> [usize; 4] {
        [self.payload_bits(), bits(self.map.c), bits(self.map.h), bits(self.map.w)]
    }

    pub(super) fn word(&self) -> usize {
        match self.potentials {
            Some(width) => usize::from(width) + 1,
            None => 2 + self.fields().iter().sum::<usize>(),
        }
    }
}

/// The streams of an image, inputs first, then layers.
///
/// # Errors
/// When an input has a shape that is no map.
pub(super) fn streams(manifest: &Manifest, layers: &[Layer]) -> Result<Vec<Stream>, String> {
    let mut all = Vec::new();
    for input in &manifest.inputs {
        let map = Map::of(&input.shape).ok_or_else(|| format!("input `{}`", input.name))?;
        let e = &input.encoder;
        let payloads = [e.minimum, e.maximum].map(|p| p.saturating_sub(e.zero_point));
        let payloads = match e.presentation {
            snnc_ir::Presentation::BitSerial { .. } => [0, 1],
            _ => [payloads[0].min(0), payloads[1].max(1)],
        };
        all.push(Stream { payloads, map, potentials: None });
    }
    for (layer, entry) in layers.iter().zip(&manifest.layers) {
        let read =
            manifest.outputs.iter().any(|o| o.source == entry.name && o.reads == Reads::Membrane);
        let potentials = read.then_some(layer.widths.membrane);
        all.push(Stream { payloads: [0, largest(layer)], map: layer.target, potentials });
    }
    Ok(all)
}

/// The largest payload that a layer sends, as its own memories have it.
fn largest(layer: &Layer) -> i64 {
    let most = layer.neuron.maximum.max(1);
    let values = layer.neuron.decode.iter().flatten().flatten().copied().max();
    most.saturating_mul(values.unwrap_or(1).max(1))
}

/// Names of the streams in the order of [`streams`].
fn names(manifest: &Manifest) -> Vec<&str> {
    let inputs = manifest.inputs.iter().map(|i| i.name.as_str());
    inputs.chain(manifest.layers.iter().map(|l| l.name.as_str())).collect()
}

/// For each layer the streams that feed its ports.
///
/// # Errors
/// When a port is fed by nothing.
pub(in crate::spleat) fn feeds(manifest: &Manifest) -> Result<Vec<Vec<usize>>, String> {
    let names = names(manifest);
    let find = |source: &String, entry: &str| {
        let found = names.iter().position(|name| name == source);
        found.ok_or_else(|| format!("nothing sends to `{entry}`"))
    };
    let ports = |l: &crate::spleat::manifest::LayerEntry| {
        l.ports.iter().map(|p| find(&p.source, &l.name)).collect()
    };
    manifest.layers.iter().map(ports).collect()
}

/// For each output the layer that it reads.
pub(super) fn outputs(manifest: &Manifest) -> Result<Vec<usize>, String> {
    let of = |source: &String| {
        let found = manifest.layers.iter().position(|l| l.name == *source);
        found.ok_or_else(|| format!("the output reads `{source}`, which is no layer"))
    };
    manifest.outputs.iter().map(|o| of(&o.source)).collect()
}

/// Bits of a byte-wide AXI-Stream word.
pub(super) fn bytes(bits: usize) -> usize {
    bits.div_ceil(8) * 8
}

/// Bits of the words of every output.
///
/// # Errors
/// When an output reads what is no layer.
pub(super) fn answers(manifest: &Manifest, layers: &[Layer]) -> Result<Vec<usize>, String> {
    let streams = streams(manifest, layers)?;
    let event = manifest.hardware.description.aer.bits as usize;
    let bits = |layer: usize| {
        let stream = streams.get(manifest.inputs.len() + layer);
        bytes(stream.and_then(|s| s.potentials).map_or(event, usize::from))
    };
    Ok(outputs(manifest)?.into_iter().map(bits).collect())
}

/// The fields of the layer's input words: those of all its ports together, and whether payloads are
/// signed and whether all are 1.
pub(super) struct Taken {
    pub(super) fields: [usize; 4],
    pub(super) signed: bool,
    pub(super) binary: bool,
}

pub(super) fn taken(streams: &[Stream], ports: &[usize]) -> Taken {
    let mut all = Taken { fields: [1; 4], signed: false, binary: true };
    let sources: Vec<&Stream> = ports.iter().filter_map(|&p| streams.get(p)).collect();
    all.signed = sources.iter().any(|s| s.signed());
    for source in sources {
        let mut fields = source.fields();
        fields[0] += usize::from(all.signed && !source.signed());
        for (width, own) in all.fields.iter_mut().zip(fields) {
            *width = (*width).max(own);
        }
        all.binary &= source.payloads == [0, 1];
    }
    all
}
