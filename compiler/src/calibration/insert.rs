//! Inserting quantisers into a float network.

use std::collections::HashMap;
use std::path::Path;

use snnc_ir::{DType, Graph, Node, NodeId, Operand, Quantisation, Tensor, TensorOp, TensorType};

use super::correct::Correction;
use super::equalise::{Group, forget, groups, thresholds};
use super::rounding::{Codes, Quantiser, Rounding};
use super::{Distribution, Site, SiteStatistics, Statistics, ThresholdMethod, weights};
use crate::data::{Dataset, Scaling};
use crate::feed::Given;
use crate::{Error, Problem};

/// How weights become codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoundingMethod {
    /// Layer by layer, so that quantised inputs give the outputs of the float network; needs samples.
    SecondOrder,
    /// Each weight to the nearest code.
    #[default]
    Nearest,
}

impl RoundingMethod {
    /// The name that [`RoundingMethod::from_name`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            RoundingMethod::SecondOrder => "second-order",
            RoundingMethod::Nearest => "nearest",
        }
    }

    /// The method of that name: `second-order` or `nearest`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "second-order" => Some(RoundingMethod::SecondOrder),
            "nearest" => Some(RoundingMethod::Nearest),
            _ => None,
        }
    }
}

/// How a float network is quantised.
#[derive(Clone, Debug)]
pub struct QuantiseOptions {
    /// How thresholds are chosen.
    pub method: ThresholdMethod,
    /// Whether each channel has a threshold of its own, where the network allows it.
    pub each_channel: bool,
    /// Whether biases are corrected on samples, if there are any.
    pub correct_biases: bool,
    /// Bits of payloads between layers.
    pub payload_bits: u8,
    /// Positive levels of payloads, where these are fewer than `payload_bits` hold: binary spikes over T
    /// timesteps say T.
    pub levels: Option<i64>,
    /// Bits of payloads of single sites, by name.
    pub site_bits: std::collections::BTreeMap<String, u8>,
    /// Bits of weights.
    pub weight_bits: u8,
    /// Bits of the weights of single layers, by name.
    pub layer_bits: std::collections::BTreeMap<String, u8>,
    /// How weights become codes.
    pub rounding: RoundingMethod,
    /// How integer data becomes the input; 8-bit data then is the input's codes.
    pub input: Given,
}

impl Default for QuantiseOptions {
    fn default() -> Self {
        QuantiseOptions {
            method: ThresholdMethod::LeastSquares,
            each_channel: true,
            correct_biases: true,
            payload_bits: 4,
            levels: None,
            site_bits: Default::default(),
            weight_bits: 8,
            layer_bits: Default::default(),
            rounding: RoundingMethod::default(),
            input: Given::default(),
        }
    }
}

impl QuantiseOptions {
    /// Positive levels of the payloads of a site.
    fn levels(&self, site: &Site) -> i64 {
        match (self.site_bits.get(&site.name), self.levels) {
            (None, Some(levels)) => levels.max(1),
            (bits, _) => match bits.copied().unwrap_or(self.payload_bits) {
                bits if site.signed => ((1i64 << (bits - 1)) - 1).max(1),
                bits => (1i64 << bits) - 1,
            },
        }
    }

    /// Bits of the weights of a layer.
    fn weight_bits(&self, graph: &Graph, layer: NodeId) -> u8 {
        self.layer_bits.get(&graph[layer].name).copied().unwrap_or(self.weight_bits)
    }

    fn check(&self) -> Result<(), Error> {
        for (option, bits) in
            [("--payload-bits", self.payload_bits), ("--weight-bits", self.weight_bits)]
        {
            if !(1..=16).contains(&bits) || (option == "--weight-bits" && bits < 2) {
                let reason = format!("{bits} bits are not possible");
                return Err(Error::usage(option, reason, "choose 2 to 8"));
            }
        }
        Ok(())
    }
}

/// Inserts a quantiser at every site and replaces weights by codes with a scale for each channel;
/// with samples at hand, biases make up for what rounding shifts.
///
/// # Errors
/// When a site has no statistics, bits are out of range, or a sample does not fit.
pub fn quantise(
    graph: &mut Graph,
    sites: &[Site],
    statistics: &Statistics,
    options: &QuantiseOptions,
    samples: Option<(&Dataset, &Path)>,
) -> Result<(), Error> {
    Plan::new(graph, sites, statistics, options)?.apply(graph, samples)
}

/// What statistics say about a network, which are not needed beyond it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Layers whose values are divided channel by channel, and by what.
    divided: Vec<(Group, Vec<f64>)>,
    /// The quantiser of each site, and whether its step stays as it is.
    quantisations: Vec<(NodeId, Quantisation, bool)>,
    options: QuantiseOptions,
}

impl Plan {
    /// Chooses the quantiser of every site, and what channels are divided by, where each has its own
    /// threshold.
    ///
    /// # Errors
    /// When a site has no statistics, or bits are out of range.
    pub fn new(
        graph: &Graph,
        sites: &[Site],
        statistics: &Statistics,
        options: &QuantiseOptions,
    ) -> Result<Plan, Error> {
        options.check()?;
        let unknown = |site: &&Site| !statistics.sites.contains_key(&site.name);
        let mut problems: Vec<Problem> = sites.iter().filter(unknown).map(not_known).collect();
        let names: Vec<&str> = sites.iter().map(|s| s.name.as_str()).collect();
        for name in options.site_bits.keys().filter(|name| !names.contains(&name.as_str())) {
            let remedy = format!("there are {}", names.join(", "));
            problems.push(Problem::new(format!("`{name}`"), "is no value that is sent", remedy));
        }
        if !problems.is_empty() {
            return Err(Error::Input(problems));
        }
        let mut scaled = HashMap::new();
        let mut divided = Vec::new();
        if options.each_channel {
            for group in groups(graph, sites) {
                let found = divisors(graph, &group, sites, statistics, options, &mut scaled);
                divided.extend(found.map(|divisors| (group, divisors)));
            }
        }
        let quantisation = |site: &Site| {
            let found = statistics.sites.get(&site.name)?;
            let q = if site.input {
                input_quantisation(found, options)
            } else {
                activation_quantisation(found, site, options, scaled.get(&site.node))
            };
            Some((site.node, q, site.input))
        };
        let quantisations = sites.iter().filter_map(quantisation).collect();
        Ok(Plan { divided, quantisations, options: options.clone() })
    }

    /// Divides channels, inserts the quantisers and replaces weights by codes in the graph that the plan
    /// was made for; with samples at hand, biases make up for what rounding shifts.
    ///
    /// # Errors
    /// When a sample does not fit.
    pub fn apply(self, graph: &mut Graph, samples: Option<(&Dataset, &Path)>) -> Result<(), Error> {
        for (group, divisors) in &self.divided {
            group.apply(graph, divisors);
        }
        match samples {
            // Samples are swept through networks of one input.
            Some(samples)
                if self.options.rounding == RoundingMethod::SecondOrder
                    && graph.inputs().len() == 1 =>
            {
                self.second_order(graph, samples)
            }
            _ => self.nearest(graph, samples),
        }
    }

    /// Rounds layer by layer, each on what the layers before it have become.
    fn second_order(self, graph: &mut Graph, samples: (&Dataset, &Path)) -> Result<(), Error> {
        let rounding = Rounding::new(graph, samples, self.options.input)?;
        let mut quantisers = HashMap::new();
        for (site, q, fixed) in &self.quantisations {
            let (codes, reals) = insert(graph, *site, q.clone());
            quantisers.insert(*site, Quantiser { codes, reals, fixed: *fixed });
        }
        let bits = |graph: &Graph, layer| self.options.weight_bits(graph, layer);
        let mut put = |graph: &mut Graph, layer: NodeId, found: Option<Codes>| {
            let weights = graph.source(layer, 1);
            let mut rounded: HashMap<_, _> = weights.zip(found).into_iter().collect();
            let bits = bits(graph, layer);
            quantise_weights(graph, layer, bits, &mut rounded);
        };
        rounding.apply(graph, &quantisers, &bits, &mut put)?;
        // Layers that second-order rounding does not know.
        let ids: Vec<NodeId> = graph.ids().collect();
        for id in ids.into_iter().filter(|&id| is_layer(graph[id].as_tensor())).collect::<Vec<_>>()
        {
            quantise_weights(graph, id, self.options.weight_bits(graph, id), &mut HashMap::new());
        }
        Ok(())
    }

    /// Rounds each weight to the nearest code.
    fn nearest(self, graph: &mut Graph, samples: Option<(&Dataset, &Path)>) -> Result<(), Error> {
        let options = &self.options;
        // Weights that only one layer reads are rounded when it has run, so that not all of them are
        // there as reals and as codes.
        let mut rounded = HashMap::new();
        let mut done = |graph: &mut Graph, layer: NodeId| {
            let bits = options.weight_bits(graph, layer);
            if let Some(weights) = graph.source(layer, 1)
                && graph.users(weights).len() == 1
                && let Some(value) = graph[weights].data.take_if(|d| d.dtype().is_float())
            {
                rounded.insert(weights, codes_of(graph, layer, &value, bits));
            }
        };
        // Samples are swept through networks of one input.
        let corrections = samples
            .filter(|_| options.correct_biases && graph.inputs().len() == 1)
            .map(|samples| Correction::new(graph, samples, options.input, &mut done))
            .transpose()?;
        for (site, q, _) in self.quantisations {
            insert(graph, site, q);
        }
        let ids: Vec<NodeId> = graph.ids().collect();
        for id in ids {
            let op = graph[id].as_tensor();
            if is_layer(op) {
                let bits = options.weight_bits(graph, id);
                quantise_weights(graph, id, bits, &mut rounded);
            }
        }
        match corrections {
            Some(corrections) => corrections.apply(graph),
            None => Ok(()),
        }
    }
}

fn not_known(site: &Site) -> Problem {
    let reason = "the calibration statistics do not know it";
    Problem::new(format!("`{}`", site.name), reason, "calibrate this model again")
}

/// What divides the channels at a site, and whether its threshold is 1 by that.
struct Scaled {
    divisors: Vec<f64>,
    first: bool,
}

/// The thresholds of a group's channels, by which its values can be divided; notes them for its sites.
fn divisors(
    graph: &Graph,
    group: &Group,
    sites: &[Site],
    statistics: &Statistics,
    options: &QuantiseOptions,
    scaled: &mut HashMap<NodeId, Scaled>,
) -> Option<Vec<f64>> {
    let site = sites.iter().find(|s| Some(&s.node) == group.sites.first())?;
    let found = statistics.sites.get(&site.name)?;
    let levels = options.levels(site);
    let divisors = thresholds(found, options.method, levels, site.signed);
    if !group.fits(graph, &divisors) {
        return None;
    }
    for (place, &node) in group.sites.iter().enumerate() {
        scaled.insert(node, Scaled { divisors: divisors.clone(), first: place == 0 });
    }
    Some(divisors)
}

/// Inserts a quantiser at one site alone; returns the share of its neurons that send something.
///
/// # Errors
/// When the site has no statistics.
pub(super) fn quantise_site(
    graph: &mut Graph,
    site: &Site,
    sites: &[Site],
    statistics: &Statistics,
    options: &QuantiseOptions,
) -> Result<f64, Error> {
    let Some(found) = statistics.sites.get(&site.name) else {
        return Err(Error::Input(vec![not_known(site)]));
    };
    let mut scaled = HashMap::new();
    let own = |group: &Group| options.each_channel && group.sites.first() == Some(&site.node);
    if let Some(group) = groups(graph, sites).into_iter().find(own)
        && let Some(divisors) = divisors(graph, &group, sites, statistics, options, &mut scaled)
    {
        group.apply(graph, &divisors);
    }
    let q = activation_quantisation(found, site, options, scaled.get(&site.node));
    let divided = distribution(found, scaled.get(&site.node));
    let fires = divided.share_above(f64::from(q.scale_at(0)) / 2.0);
    insert(graph, site.node, q);
    Ok(fires)
}

/// 8-bit images are their own codes; other inputs get 8 bits over the range that was seen.
fn input_quantisation(found: &super::SiteStatistics, options: &QuantiseOptions) -> Quantisation {
    let all = found.distribution(&[]);
    let (low, high) = (all.minimum as f32, all.maximum as f32);
    let Scaling { scale, offset } = options.input.over(Scaling::default());
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

fn distribution(found: &SiteStatistics, scaled: Option<&Scaled>) -> Distribution {
    let factors: Vec<f64> =
        scaled.map_or_else(Vec::new, |s| s.divisors.iter().map(|d| 1.0 / d).collect());
    found.distribution(&factors)
}

fn activation_quantisation(
    found: &SiteStatistics,
    site: &Site,
    options: &QuantiseOptions,
    scaled: Option<&Scaled>,
) -> Quantisation {
    let levels = options.levels(site);
    let threshold = match scaled {
        Some(scaled) if scaled.first => 1.0,
        _ => options.method.threshold(&distribution(found, scaled), levels, site.signed),
    };
    let scale = ((threshold / levels as f64) as f32).max(f32::MIN_POSITIVE);
    Quantisation::per_tensor(scale, 0, if site.signed { -levels } else { 0 }, levels)
}

/// Puts a quantiser and its inverse between `id` and all its users; returns the two.
pub(super) fn insert(graph: &mut Graph, id: NodeId, q: Quantisation) -> (NodeId, NodeId) {
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
    (codes, reals)
}

fn is_layer(op: Option<&TensorOp>) -> bool {
    matches!(
        op,
        Some(
            TensorOp::Convolution { .. } | TensorOp::TransposedConvolution { .. } | TensorOp::Dense
        )
    )
}

/// Codes of weights, and their scales: one for each output, but of a transposed convolution, whose
/// outputs are no rows, one for all.
fn codes_of(graph: &Graph, layer: NodeId, value: &Tensor, bits: u8) -> (Tensor, Vec<f32>) {
    if !matches!(graph[layer].as_tensor(), Some(TensorOp::TransposedConvolution { .. })) {
        return weights::quantise(value, bits);
    }
    let row = value.reshaped(vec![1, value.len()]);
    let (codes, scale) = weights::quantise(row.as_ref().unwrap_or(value), bits);
    match codes.reshaped(value.shape().to_vec()) {
        Ok(codes) => (codes, scale),
        Err(_) => (codes, scale),
    }
}

/// Replaces constant real weights by codes behind a dequantiser; those that are rounded already are
/// taken from `rounded`.
pub(super) fn quantise_weights(
    graph: &mut Graph,
    layer: NodeId,
    bits: u8,
    rounded: &mut HashMap<NodeId, (Tensor, Vec<f32>)>,
) {
    let mut operands = graph.operands(layer);
    let Some(weights) = operands.get(1).map(|o| o.source) else { return };
    let (codes, scale) = match (rounded.remove(&weights), &graph[weights].data) {
        (Some(found), _) => found,
        (None, Some(value)) if value.dtype().is_float() => codes_of(graph, layer, value, bits),
        _ => return,
    };
    let levels = (1i64 << (bits - 1)) - 1;
    let transposed =
        matches!(graph[layer].as_tensor(), Some(TensorOp::TransposedConvolution { .. }));
    let q = match scale[..] {
        [one] if transposed => Quantisation::per_tensor(one, 0, -levels, levels),
        _ => Quantisation::per_axis(scale, 0, -levels, levels),
    };
    let shape = codes.shape().to_vec();
    let mut node =
        Node::constant(graph.fresh_name(&format!("{}.codes", graph[weights].name)), codes);
    node.ty.quantisation = Some(q.clone());
    let codes = graph.add(node, &[]);
    let name = graph.fresh_name(&format!("{}.reals", graph[weights].name));
    let ty = TensorType::new(DType::F32, shape);
    let reals = graph.add(Node::tensor(name, TensorOp::Dequantise(q), ty), &[codes]);
    operands[1].source = reals;
    graph.set_operands(layer, &operands);
    forget(graph, weights);
}
