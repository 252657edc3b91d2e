//! Inserting quantisers into a float network.

use snnc_ir::{DType, Graph, Node, NodeId, Operand, Quantisation, Tensor, TensorOp, TensorType};

use super::weights::quantise_row;
use super::{Site, Statistics, ThresholdMethod};
use crate::data::Scaling;
use crate::{Error, Problem};

/// How a float network is quantised.
#[derive(Clone, Debug)]
pub struct QuantiseOptions {
    /// How thresholds are chosen.
    pub method: ThresholdMethod,
    /// Bits of payloads between layers.
    pub payload_bits: u8,
    /// Bits of payloads of single sites, by name.
    pub site_bits: std::collections::BTreeMap<String, u8>,
    /// Bits of weights.
    pub weight_bits: u8,
    /// How integer data becomes the input; 8-bit data then is the input's codes.
    pub scaling: Scaling,
}

impl Default for QuantiseOptions {
    fn default() -> Self {
        QuantiseOptions {
            method: ThresholdMethod::LeastSquares,
            payload_bits: 4,
            site_bits: Default::default(),
            weight_bits: 8,
            scaling: Scaling::default(),
        }
    }
}

/// Inserts a quantiser at every site and replaces weights by codes with a scale for each channel.
///
/// # Errors
/// When a site has no statistics, or bits are out of range.
pub fn quantise(
    graph: &mut Graph,
    sites: &[Site],
    statistics: &Statistics,
    options: &QuantiseOptions,
) -> Result<(), Error> {
    for (option, bits) in
        [("--payload-bits", options.payload_bits), ("--weight-bits", options.weight_bits)]
    {
        if !(1..=16).contains(&bits) || (option == "--weight-bits" && bits < 2) {
            return Err(Error::usage(
                option,
                format!("{bits} bits are not possible"),
                "choose 2 to 8",
            ));
        }
    }
    let mut problems = Vec::new();
    for site in sites {
        match statistics.sites.get(&site.name) {
            Some(found) => {
                let q = if site.input {
                    input_quantisation(found, options)
                } else {
                    let bits =
                        options.site_bits.get(&site.name).copied().unwrap_or(options.payload_bits);
                    activation_quantisation(found, site.signed, bits, options.method)
                };
                insert(graph, site.node, q);
            }
            None => problems.push(Problem::new(
                format!("`{}`", site.name),
                "the calibration statistics do not know it",
                "calibrate this model anew",
            )),
        }
    }
    if !problems.is_empty() {
        return Err(Error::Input(problems));
    }
    let ids: Vec<NodeId> = graph.ids().collect();
    for id in ids {
        if matches!(graph[id].as_tensor(), Some(TensorOp::Convolution { .. } | TensorOp::Dense)) {
            quantise_weights(graph, id, options.weight_bits);
        }
    }
    Ok(())
}

/// Inserts a quantiser at one site alone; returns its scale.
///
/// # Errors
/// When the site has no statistics.
pub(super) fn quantise_site(
    graph: &mut Graph,
    site: &Site,
    statistics: &Statistics,
    bits: u8,
    options: &QuantiseOptions,
) -> Result<f32, Error> {
    let Some(found) = statistics.sites.get(&site.name) else {
        let reason = "the calibration statistics do not know it";
        return Err(Error::input(format!("`{}`", site.name), reason, "calibrate this model anew"));
    };
    let q = activation_quantisation(found, site.signed, bits, options.method);
    let scale = q.scale_at(0);
    insert(graph, site.node, q);
    Ok(scale)
}

/// 8-bit images are their own codes; other inputs get 8 bits over the range that was seen.
fn input_quantisation(found: &super::SiteStatistics, options: &QuantiseOptions) -> Quantisation {
    let (low, high) = (found.histogram.minimum(), found.histogram.maximum());
    let (scale, offset) = (options.scaling.scale, options.scaling.offset);
    let zero = -offset / scale;
    let codes = [f64::from(low), f64::from(high)].map(|x| (x - offset) / scale);
    if zero.fract() == 0.0 && (0.0..=255.0).contains(&zero) && codes[0] >= -0.5 && codes[1] <= 255.5
    {
        return Quantisation::per_tensor(scale as f32, zero as i64, 0, 255);
    }
    if low >= 0.0 {
        return Quantisation::per_tensor((high / 255.0).max(f32::MIN_POSITIVE), 0, 0, 255);
    }
    let reach = high.max(-low).max(f32::MIN_POSITIVE);
    Quantisation::per_tensor(reach / 127.0, 0, -128, 127)
}

fn activation_quantisation(
    found: &super::SiteStatistics,
    signed: bool,
    bits: u8,
    method: ThresholdMethod,
) -> Quantisation {
    let levels = if signed { ((1i64 << (bits - 1)) - 1).max(1) } else { (1i64 << bits) - 1 };
    let threshold = method.threshold(&found.histogram, levels, signed);
    let scale = ((threshold / levels as f64) as f32).max(f32::MIN_POSITIVE);
    Quantisation::per_tensor(scale, 0, if signed { -levels } else { 0 }, levels)
}

/// Puts a quantiser and its inverse between `id` and all its users.
fn insert(graph: &mut Graph, id: NodeId, q: Quantisation) {
    let dtype = DType::ALL.into_iter().filter(|d| d.bits() >= 8 && *d != DType::Bool).find(|d| {
        d.integer_range().is_some_and(|(low, high)| low <= q.minimum && q.maximum <= high)
    });
    let shape = graph[id].ty.shape.clone();
    let origins = graph[id].origins.clone();
    let users = graph.users(id);
    let codes_type =
        TensorType::new(dtype.unwrap_or(DType::I32), shape.clone()).quantised(q.clone());
    let name = graph.fresh_name(&format!("{}.codes", graph[id].name));
    let codes =
        Node::tensor(name, TensorOp::Quantise(q.clone()), codes_type).with_origins(&origins);
    let codes = graph.add(codes, &[id]);
    let name = graph.fresh_name(&format!("{}.reals", graph[id].name));
    let reals = Node::tensor(name, TensorOp::Dequantise(q), TensorType::new(DType::F32, shape));
    let reals = graph.add(reals.with_origins(&origins), &[codes]);
    for user in users {
        let moved = |o: Operand| if o.source == id { Operand { source: reals, ..o } } else { o };
        let operands: Vec<Operand> = graph.operands(user).into_iter().map(moved).collect();
        graph.set_operands(user, &operands);
    }
}

/// Replaces constant real weights by codes behind a dequantiser.
fn quantise_weights(graph: &mut Graph, layer: NodeId, bits: u8) {
    let mut operands = graph.operands(layer);
    let Some(weights) = operands.get(1).map(|o| o.source) else { return };
    let Some(value) = graph[weights].data.clone().filter(|d| d.dtype().is_float()) else { return };
    let channels = value.shape().first().copied().unwrap_or(1).max(1);
    let reals = value.to_f32();
    let rows = reals.chunks((reals.len() / channels).max(1)).map(|row| quantise_row(row, bits));
    let (codes, scale): (Vec<Vec<i64>>, Vec<f32>) = rows.unzip();
    let levels = (1i64 << (bits - 1)) - 1;
    let q = Quantisation::per_axis(scale, 0, -levels, levels);
    let dtype = if bits <= 8 { DType::I8 } else { DType::I16 };
    let codes = Tensor::from_i64(dtype, value.shape(), &codes.concat());
    let mut node =
        Node::constant(graph.fresh_name(&format!("{}.codes", graph[weights].name)), codes);
    node.ty.quantisation = Some(q.clone());
    let codes = graph.add(node, &[]);
    let name = graph.fresh_name(&format!("{}.reals", graph[weights].name));
    let ty = TensorType::new(DType::F32, value.shape());
    let reals = graph.add(Node::tensor(name, TensorOp::Dequantise(q), ty), &[codes]);
    operands[1].source = reals;
    graph.set_operands(layer, &operands);
}
