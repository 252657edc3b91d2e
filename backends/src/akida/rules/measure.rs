//! The measures of a layer that rules bound.

use std::collections::HashMap;

use snnc_ir::analysis::signed_bits;

use crate::akida::layer::{Layer, LayerType};
use crate::akida::layout::Padding;
use crate::akida::spec::Spec;

/// What lies around each layer: the maps that go in, and who reads what comes out.
pub struct Surroundings {
    /// Layers by name.
    places: HashMap<String, usize>,
    /// (X, Y, C) that goes into each layer, as far as its layers say.
    inputs: Vec<Option<[usize; 3]>>,
    /// (X, Y) of each layer's sums, before pooling.
    sums: Vec<Option<[usize; 2]>>,
    outputs: Vec<Option<[usize; 3]>>,
    consumers: Vec<Vec<usize>>,
}

impl Surroundings {
    /// The surroundings of every layer of a model.
    pub fn of(spec: &Spec) -> Self {
        let places: HashMap<String, usize> =
            spec.layers.iter().enumerate().map(|(i, l)| (l.name.clone(), i)).collect();
        let mut around = Surroundings {
            places,
            inputs: Vec::new(),
            sums: Vec::new(),
            outputs: Vec::new(),
            consumers: vec![Vec::new(); spec.layers.len()],
        };
        for (index, layer) in spec.layers.iter().enumerate() {
            let sources: Vec<usize> = around.sources(layer).filter(|&s| s < index).collect();
            for &source in &sources {
                around.consumers[source].push(index);
            }
            let input =
                own_input(layer).or_else(|| sources.first().and_then(|&s| around.outputs[s]));
            let sums = input.and_then(|i| convolved(layer, [i[0], i[1]]));
            around.inputs.push(input);
            around.sums.push(sums);
            let output = input.zip(sums).and_then(|(i, s)| {
                let channels = match layer.kind {
                    LayerType::Concatenate => {
                        sources.iter().filter_map(|&s| around.outputs[s]).map(|o| o[2]).sum()
                    }
                    _ => filters(layer).unwrap_or(i[2]),
                };
                let [x, y] = pooled(layer, s)?;
                Some([x, y, channels])
            });
            around.outputs.push(output);
        }
        around
    }

    /// Places of the layers that feed `layer`.
    fn sources<'a>(&'a self, layer: &'a Layer) -> impl Iterator<Item = usize> + 'a {
        layer.inbounds.iter().filter_map(|name| self.places.get(name).copied())
    }

    /// The layers whose payloads a layer reads: a concatenation hands on those of all its branches, each of
    /// which must suit the reader.
    fn senders<'a>(&'a self, layer: &'a Layer, spec: &'a Spec) -> Vec<&'a Layer> {
        let each = |place: usize| match &spec.layers[place] {
            joined if joined.kind == LayerType::Concatenate => self.senders(joined, spec),
            sender => vec![sender],
        };
        // Only layers before their readers, so that damaged models end.
        let own = self.places.get(&layer.name).copied().unwrap_or(usize::MAX);
        self.sources(layer).filter(|&s| s < own).flat_map(each).collect()
    }

    /// (X, Y, C) that goes into a layer.
    pub fn input(&self, index: usize) -> Option<[usize; 3]> {
        self.inputs.get(index).copied().flatten()
    }

    /// (X, Y, C) that comes out of a layer.
    pub fn output(&self, index: usize) -> Option<[usize; 3]> {
        self.outputs.get(index).copied().flatten()
    }

    /// Whether what `from` sends reaches `to`.
    fn reaches(&self, from: usize, to: usize, spec: &Spec) -> bool {
        from == to || self.sources(&spec.layers[to]).any(|s| s < to && self.reaches(from, s, spec))
    }
}

/// A parameter that measures something.
fn size(layer: &Layer, name: &str) -> Option<usize> {
    layer.parameter(name).ok().and_then(|v| usize::try_from(v).ok())
}

/// The map of a layer that takes the model's input.
fn own_input(layer: &Layer) -> Option<[usize; 3]> {
    let [x, y] = match layer.kind {
        LayerType::InputConv2D => ["input_x", "input_y"],
        _ => ["input_width", "input_height"],
    };
    Some([size(layer, x)?, size(layer, y)?, size(layer, "input_channels")?])
}

/// Channels that come out, where the layer does not keep them.
fn filters(layer: &Layer) -> Option<usize> {
    size(layer, "filters").or_else(|| size(layer, "units"))
}

/// The first of some parameters that the layer has, for both directions.
fn pair(layer: &Layer, both: &str, each: [&str; 2]) -> Option<[i64; 2]> {
    if let Ok(value) = layer.parameter(both) {
        return Some([value; 2]);
    }
    Some([layer.parameter(each[0]).ok()?, layer.parameter(each[1]).ok()?])
}

fn kernel(layer: &Layer) -> Option<[i64; 2]> {
    pair(layer, "kernel_size", ["kernel_width", "kernel_height"])
}

fn stride(layer: &Layer) -> Option<[i64; 2]> {
    pair(layer, "kernel_stride", ["stride_x", "stride_y"])
}

/// Extent and steps of a max-pool.
fn pool(layer: &Layer) -> Option<[[i64; 2]; 2]> {
    if layer.parameter("pool_type") != Ok(1) {
        return None;
    }
    let size = pair(layer, "pool_size", ["pooling_width", "pooling_height"])?;
    let own = pair(layer, "pool_stride", ["pooling_stride_x", "pooling_stride_y"])?;
    let or_size = |i: usize| if own[i] == -1 { size[i] } else { own[i] };
    Some([size, [or_size(0), or_size(1)]])
}

fn windowed(layer: &Layer, map: [usize; 2], size: [i64; 2], steps: [i64; 2]) -> Option<[usize; 2]> {
    let padding = Padding::from_code(layer.parameter("padding").ok()?)?;
    let axis = |a: usize| {
        let (k, s) = (usize::try_from(size[a]).ok()?, usize::try_from(steps[a]).ok()?);
        padding.outputs(map[a], k, s)
    };
    Some([axis(0)?, axis(1)?])
}

fn convolved(layer: &Layer, map: [usize; 2]) -> Option<[usize; 2]> {
    use LayerType::*;
    match layer.kind {
        FullyConnected | Dense1D => Some([1, 1]),
        Conv2DTranspose | DepthwiseConv2DTranspose => Some([2 * map[0], 2 * map[1]]),
        _ => match (kernel(layer), stride(layer)) {
            (Some(k), Some(s)) => windowed(layer, map, k, s),
            _ => Some(map),
        },
    }
}

fn pooled(layer: &Layer, map: [usize; 2]) -> Option<[usize; 2]> {
    match (layer.parameter("pool_type"), pool(layer)) {
        (Ok(2), _) => Some([1, 1]),
        (_, Some([size, steps])) => windowed(layer, map, size, steps),
        _ => Some(map),
    }
}

/// Bits of what a layer sends.
pub fn sent_bits(layer: &Layer) -> Option<i64> {
    let of = |name: &str| layer.parameter(name).ok();
    of("act_bits").or_else(|| of("output_bits")).or_else(|| of("input_bits"))
}

/// Whether a layer sends its potentials, without an activation, in 8 bits.
pub fn sends_narrow_potentials(layer: &Layer) -> bool {
    layer.parameter("activation") == Ok(0) && layer.parameter("output_bits") == Ok(8)
}

fn is_convolution(kind: LayerType) -> bool {
    use LayerType::*;
    matches!(
        kind,
        Convolutional
            | SeparableConvolutional
            | Conv2D
            | DepthwiseConv2D
            | Conv2DTranspose
            | DepthwiseConv2DTranspose
            | BufferTempConv
            | DepthwiseBufferTempConv
    )
}

fn values(layer: &Layer, name: &str) -> Vec<i64> {
    layer.variables.get(name).and_then(|t| t.to_i64().ok()).unwrap_or_default()
}

/// Smallest and largest entry of a variable, if it has any.
fn ends(layer: &Layer, name: &str) -> Vec<i64> {
    let all = values(layer, name);
    all.iter().min().into_iter().chain(all.iter().max()).copied().collect()
}

/// The values of a measure of the layer at `index`; none where it has no meaning for the layer. Anything
/// that is not computed here is a parameter of the layer.
pub fn measure(
    name: &str,
    index: usize,
    layer: &Layer,
    spec: &Spec,
    around: &Surroundings,
) -> Vec<i64> {
    let map = |part: fn([usize; 3]) -> usize| -> Vec<i64> {
        around.input(index).map(|m| part(m) as i64).into_iter().collect()
    };
    let sums = |part: fn([usize; 2]) -> usize| -> Vec<i64> {
        around.sums[index].map(|m| part(m) as i64).into_iter().collect()
    };
    let both = |pair: Option<[i64; 2]>| -> Vec<i64> { pair.into_iter().flatten().collect() };
    match name {
        "rows" => map(|m| m[0]),
        "columns" => map(|m| m[1]),
        "channels" => map(|m| m[2]),
        "inputs" => map(|m| m.iter().product()),
        "conv_rows" => sums(|m| m[0]),
        "conv_columns" => sums(|m| m[1]),
        "conv_cells" => sums(|m| m[0] * m[1]),
        "kernel" => both(kernel(layer)),
        "kernel_unevenness" => kernel(layer).map(|[x, y]| x - y).into_iter().collect(),
        "stride" => both(stride(layer)),
        "pool_size" => both(pool(layer).map(|p| p[0])),
        "pool_stride" => both(pool(layer).map(|p| p[1])),
        "pool_overlap" => {
            both(pool(layer).map(|[size, steps]| [size[0] - steps[0], size[1] - steps[1]]))
        }
        "input_bits" => around.senders(layer, spec).into_iter().filter_map(sent_bits).collect(),
        "bits_short" => {
            let own = layer.parameter("weights_bits").unwrap_or(8);
            let sent = around.senders(layer, spec).into_iter().filter_map(sent_bits);
            sent.map(|bits| own - bits).collect()
        }
        "potentials_before" => {
            let senders = around.senders(layer, spec);
            vec![senders.into_iter().filter(|s| sends_narrow_potentials(s)).count() as i64]
        }
        "act_step" => {
            let steps = layer.variables.get("act_step").map(|t| t.to_f32()).unwrap_or_default();
            steps.iter().map(|s| s.ceil() as i64).max().into_iter().collect()
        }
        "threshold_bits" => {
            let bits = |v: &i64| i64::from(signed_bits(*v));
            values(layer, "threshold").iter().map(bits).max().into_iter().collect()
        }
        "weights_set" => {
            let set = |name| {
                !layer.variables.contains_key(name) || values(layer, name).iter().any(|&w| w != 0)
            };
            vec![i64::from(set("weights") && set("weights_pw"))]
        }
        "input_shift" | "output_shift" => ends(layer, name),
        "consumers" => vec![around.consumers[index].len() as i64],
        "others_behind" => {
            let users = &around.consumers[index];
            let others = users.iter().filter(|&&u| !is_convolution(spec.layers[u].kind)).count();
            vec![others as i64 + i64::from(users.is_empty())]
        }
        "input_layers" => {
            let inputs = around.sources(layer).filter(|&s| spec.layers[s].kind.is_input());
            vec![inputs.count() as i64]
        }
        "branches" => vec![layer.inbounds.len() as i64],
        "filled_branches" => {
            let sources: Vec<usize> = around.sources(layer).collect();
            let starts = |&s: &usize| {
                sources.iter().any(|&other| other != s && around.reaches(s, other, spec))
            };
            vec![sources.iter().filter(|s| !starts(s)).count() as i64]
        }
        "is_there" => vec![1],
        parameter => layer.parameter(parameter).into_iter().collect(),
    }
}
