//! How much of a device a model takes, as far as that can be said without the vendor's mapper. All
//! figures are this project's own estimate.

use super::measure::{Surroundings, sent_bits};
use super::{Device, Layer, LayerType, Spec};
use crate::FitRow;

/// Dense layers of up to so many bytes of weights are taken to lie within a processor.
const INTERNAL_DENSE: u64 = 30_000;

/// What a model takes of a device, row by row.
pub fn fit(spec: &Spec, device: Option<&Device>) -> Vec<FitRow> {
    let around = Surroundings::of(spec);
    let mut cnp = 0;
    let (mut fnp2, mut fnp3, mut tnp, mut skips, mut input_bytes) = (0, 0, 0, 0, 0);
    for (index, layer) in spec.layers.iter().enumerate() {
        use LayerType::*;
        input_bytes = input_bytes.max(input_size(index, layer, spec, &around));
        match layer.kind {
            FullyConnected | Dense1D if weight_bytes(layer) > INTERNAL_DENSE => fnp2 += 1,
            FullyConnected | Dense1D => fnp3 += 1,
            BufferTempConv | DepthwiseBufferTempConv => tnp += 1,
            Add | Concatenate => skips += 1,
            InputData | InputConvolutional | InputConv2D | Quantizer | Dequantizer => {}
            _ => cnp += processors(index, layer, spec, &around, device),
        }
    }
    let bytes = spec.layers.iter().map(weight_bytes).sum();
    let row = |resource: &str, used: u64, available: Option<u64>| FitRow {
        resource: resource.into(),
        used,
        available,
    };
    let of = |part: fn(&Device) -> u64| device.map(part);
    let mut rows = vec![
        row("layers", spec.layers.len() as u64, None),
        row("weights (bytes)", bytes, None),
        row("convolution processors (estimate)", cnp, of(|d| d.cnp)),
        row("dense processors, own weights (estimate)", fnp3, of(|d| d.fnp3)),
        row("dense processors, external weights (estimate)", fnp2, of(|d| d.fnp2)),
        row(
            "largest map (bytes, estimate; larger ones are split)",
            input_bytes,
            of(|d| d.input_memory),
        ),
    ];
    if tnp > 0 {
        rows.push(row("temporal processors (estimate)", tnp, of(|d| d.tnp_b)));
    }
    if skips > 0 {
        rows.push(row("skip connections (estimate)", skips, of(|d| d.skip_dma)));
    }
    rows
}

/// Bytes of a layer's weights.
fn weight_bytes(layer: &Layer) -> u64 {
    let count = |name: &str| layer.variables.get(name).map_or(0, |t| t.len() as u64);
    let bits = layer.parameter("weights_bits").unwrap_or(8).clamp(1, 8) as u64;
    ((count("weights") + count("weights_pw")) * bits).div_ceil(8)
}

/// Bytes of the map that goes into a layer: rows are stored in pairs.
fn input_size(index: usize, layer: &Layer, spec: &Spec, around: &Surroundings) -> u64 {
    let sent = |name: &String| spec.layers.iter().find(|l| l.name == *name).and_then(sent_bits);
    let bits = layer.inbounds.first().and_then(sent).unwrap_or(8).clamp(1, 32) as u64;
    around.input(index).map_or(0, |[x, y, c]| (x.div_ceil(2) * 2 * y * c) as u64 * bits / 8)
}

/// Processors of a convolution: its map is cut along rows and columns, its filters where they, or their
/// weights, are too many for one.
fn processors(
    index: usize,
    layer: &Layer,
    spec: &Spec,
    around: &Surroundings,
    device: Option<&Device>,
) -> u64 {
    let (Some(device), Some([x, y, _])) = (device, around.input(index)) else { return 1 };
    let filters = around.output(index).map_or(1, |o| o[2] as u64);
    let parts = |n: u64, most: u64| n.div_ceil(most.max(1)).max(1);
    let tiles = parts(x as u64, device.rows) * parts(y as u64, device.columns);
    let maps = parts(input_size(index, layer, spec, around), device.input_memory);
    let splits =
        parts(filters, device.filters).max(parts(weight_bytes(layer), device.weight_memory));
    tiles.max(maps) * splits
}
