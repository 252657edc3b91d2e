//! `manifest.yaml`: what an artefact is, and what its own files cannot say.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use snnc_backends::{FitRow, Note};
use snnc_ir::analysis::signed_bits;
use snnc_ir::{
    Connectivity, DType, Graph, Node, NodeId, Op, Origin, Presentation, Readout, Rounding,
    Schedule, SpikingOp, Stage, TensorOp,
};

use super::{FORMAT, FileRow, HOST, Showing, Source};
use crate::certificate::{Certificate, Verdict};
use crate::data::Scaling;
use crate::passes::graded;
use crate::{Error, Problem};

/// The manifest of one artefact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `snnc-artefact`.
    pub format: String,
    /// Version of this layout.
    pub version: u32,
    /// Version of the compiler.
    pub compiler: String,
    /// Name of the target.
    pub target: String,
    /// What was compiled.
    pub source: Source,
    /// Options, defaults filled in.
    pub options: BTreeMap<String, String>,
    /// Timesteps of one sample.
    pub timesteps: usize,
    /// Timesteps from the input to a valid output.
    pub latency: usize,
    /// Order of populations and timesteps.
    pub schedule: Schedule,
    /// Input encoding.
    pub inputs: Vec<InputRow>,
    /// Output decoding.
    pub outputs: Vec<OutputRow>,
    /// What the host makes of what the decoders show; none where the model's outputs are their scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostRow>,
    /// Populations in order of computation.
    pub populations: Vec<PopulationRow>,
    /// The file that a reader opens.
    pub entry: String,
    /// All files.
    pub files: Vec<FileRow>,
    /// Resources.
    pub fit: Vec<FitRow>,
    /// The certificate in short.
    pub certificate: CertificateSummary,
    /// Energy of one sample in nJ by profile, where data was given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub energy_nj: BTreeMap<String, f64>,
    /// What the user should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// How samples become payloads: `value = data * data_scale + data_offset` for integer data (for an input of
/// integers, rounded and clipped to their type), then for an input of reals
/// `code = clamp(round(real / scale) + zero_point)`, or `clamp(round(real / scale + offset))` where there
/// is an offset, sent as `code - zero_point`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputRow {
    /// Name of the encoder.
    pub name: String,
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// Element type that the model takes.
    pub dtype: String,
    /// Factor of integer data.
    pub data_scale: f64,
    /// Added to integer data after the factor.
    pub data_offset: f64,
    /// Real value of one unit of payload.
    pub scale: f32,
    /// Code of the real 0.
    pub zero_point: i64,
    /// Smallest code.
    pub minimum: i64,
    /// Largest code.
    pub maximum: i64,
    /// How reals become whole numbers of units.
    #[serde(default, skip_serializing_if = "Rounding::is_default")]
    pub rounding: Rounding,
    /// Added before rounding, in place of the zero point after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<f32>,
    /// In place of rounding, for each channel or one row for all: `code = minimum + #{threshold <= x}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Vec<f32>>,
    /// When the payload is sent.
    pub presentation: Presentation,
}

/// How raw values become scores: `score = scale[c] * (raw - zero[c])`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputRow {
    /// Name of the decoder.
    pub name: String,
    /// Shape of the scores.
    pub shape: Vec<usize>,
    /// Which payloads make up a raw value.
    pub readout: Readout,
    /// Scale for each class, or one for all.
    pub scale: Vec<f32>,
    /// Raw value of the score 0, for each class or one for all; none means 0.
    pub zero: Vec<i64>,
    /// When the model shows it.
    #[serde(default, skip_serializing_if = "Showing::is_once")]
    pub showing: Showing,
    /// Operators that the host applies to what is shown, each with its ONNX node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<String>,
}

/// What the host makes of what the decoders show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostRow {
    /// The file that holds its operators, a graph in tensor operators.
    pub file: String,
    /// The model's outputs, in their order.
    pub outputs: Vec<HostOutput>,
}

/// One output of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostOutput {
    /// Its ONNX name.
    pub name: String,
    /// Element type.
    pub dtype: String,
    /// Shape, with the batch of one sample.
    pub shape: Vec<usize>,
}

impl HostRow {
    /// The row of a graph, none where its outputs are the scores of the decoders of `network`.
    pub fn of(host: &Graph, network: &Graph) -> Option<HostRow> {
        let (decoders, inputs) = (network.outputs(), host.inputs());
        let plain = |(i, &id): (usize, &NodeId)| {
            let Some(&decoder) = decoders.get(i) else { return false };
            let (node, shown) = (&host[id], &network[decoder]);
            host.source(id, 0) == inputs.get(i).copied()
                && node.name == shown.name
                && node.ty.dtype == DType::F32
                && node.ty.shape.split_first() == Some((&1, shown.ty.shape.as_slice()))
        };
        let outputs = host.outputs();
        if outputs.len() == decoders.len() && outputs.iter().enumerate().all(plain) {
            return None;
        }
        let output = |id: NodeId| HostOutput {
            name: host[id].name.clone(),
            dtype: host[id].ty.dtype.name().into(),
            shape: host[id].ty.shape.clone(),
        };
        Some(HostRow { file: HOST.into(), outputs: outputs.into_iter().map(output).collect() })
    }
}

/// The operators behind what a decoder shows, in order of computation.
fn operators_behind(host: &Graph, decoder: &str) -> Vec<String> {
    let stands_for =
        |id: NodeId| host[id].origins.iter().any(|o| o.op == graded::DECODER && o.node == decoder);
    let mut reached: HashSet<NodeId> = HashSet::new();
    let mut found = Vec::new();
    for id in host.order().unwrap_or_default() {
        let behind = host.sources(id).iter().any(|source| reached.contains(source));
        match host[id].as_tensor() {
            Some(TensorOp::Input) if stands_for(id) => {
                reached.insert(id);
            }
            Some(op) if behind => {
                reached.insert(id);
                if !matches!(op, TensorOp::Output) {
                    let node = host[id].origins.first();
                    let name = node.map_or(&host[id].name, |origin| &origin.node);
                    found.push(format!("{} `{name}`", host[id].op.name()));
                }
            }
            _ => {}
        }
    }
    found
}

/// One population.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PopulationRow {
    /// Its name.
    pub name: String,
    /// ONNX nodes it came from.
    pub origins: Vec<Origin>,
    /// Its shape.
    pub shape: Vec<usize>,
    /// How its values become spikes.
    pub coding: String,
    /// Bits of a payload.
    pub payload_bits: u8,
    /// Smallest and largest threshold of all channels and levels, where it has thresholds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<(i64, i64)>,
    /// Bits of the weights.
    pub weight_bits: u8,
    /// Synapses of one neuron.
    pub fan_in: usize,
    /// Weights of its projections.
    pub parameters: usize,
    /// Real value of one unit of payload, for each channel or one for all.
    pub scale: Vec<f32>,
}

/// The certificate in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSummary {
    /// The worst verdict.
    pub verdict: Verdict,
    /// Populations proved.
    pub proved: usize,
    /// Populations with listed differences.
    pub differs: usize,
    /// Populations with a bounded or measured error.
    pub approximate: usize,
    /// Populations that failed.
    pub failed: usize,
}

impl CertificateSummary {
    /// The certificate's counts.
    pub fn of(certificate: &Certificate) -> Self {
        let [proved, differs, approximate, failed] = certificate.counts().map(|(_, n)| n);
        CertificateSummary { verdict: certificate.verdict, proved, differs, approximate, failed }
    }
}

impl InputRow {
    /// Rows of all encoders; `dtypes` are those of the model's inputs, by name.
    pub fn all(network: &Graph, dtypes: &[(String, String)], scaling: Scaling) -> Vec<InputRow> {
        let dtype = |name: &str| {
            let own = dtypes.iter().find(|(input, _)| input == name);
            // One input is what it is, whatever its encoder is called.
            let only = dtypes.first().filter(|_| dtypes.len() == 1);
            own.or(only).map_or_else(|| "f32".into(), |(_, dtype)| dtype.clone())
        };
        let row = |id: NodeId| match network[id].as_spiking() {
            Some(SpikingOp::Encoder(e)) => Some(InputRow {
                name: network[id].name.clone(),
                shape: network[id].ty.shape.clone(),
                dtype: dtype(&network[id].name),
                data_scale: scaling.scale,
                data_offset: scaling.offset,
                scale: e.scale,
                zero_point: e.zero_point,
                minimum: e.minimum,
                maximum: e.maximum,
                rounding: e.rounding,
                offset: e.offset,
                thresholds: e.thresholds.clone(),
                presentation: e.presentation,
            }),
            _ => None,
        };
        network.inputs().into_iter().filter_map(row).collect()
    }
}

impl OutputRow {
    /// Rows of all decoders, behind which the host runs the graph `host`.
    pub fn all(network: &Graph, host: Option<&Graph>) -> Vec<OutputRow> {
        let row = |id: NodeId| match network[id].as_spiking() {
            Some(SpikingOp::Decoder(d)) => Some(OutputRow {
                name: network[id].name.clone(),
                shape: network[id].ty.shape.clone(),
                readout: d.readout,
                scale: d.scale.clone(),
                zero: d.zero.clone(),
                showing: Showing::Once,
                host: host.map_or_else(Vec::new, |h| operators_behind(h, &network[id].name)),
            }),
            _ => None,
        };
        network.outputs().into_iter().filter_map(row).collect()
    }
}

/// Weights that are looked at together.
const PART: usize = 1 << 14;

impl PopulationRow {
    /// Rows of all populations.
    pub fn all(network: &Graph) -> Vec<PopulationRow> {
        populations(network).into_iter().map(|id| PopulationRow::of(network, id)).collect()
    }

    fn of(network: &Graph, id: NodeId) -> PopulationRow {
        let node = &network[id];
        let projections: Vec<&Node> =
            projections(network, id).into_iter().map(|p| &network[p]).collect();
        let weights = || projections.iter().filter_map(|p| p.data.as_ref());
        // Part by part: as 64-bit integers all at once they would be the largest thing in memory.
        let part = |w: &snnc_ir::Tensor, first: usize| {
            let weights = w.part_to_i64(first..first + PART).unwrap_or_default();
            weights.into_iter().map(signed_bits).max()
        };
        let parts = |w| (0..snnc_ir::Tensor::len(w)).step_by(PART).filter_map(move |i| part(w, i));
        let bits = weights().flat_map(parts).max();
        let Op::Spiking(SpikingOp::Population(p)) = &node.op else {
            return PopulationRow::unknown(node);
        };
        let channels = node.ty.shape.first().copied().unwrap_or(1);
        PopulationRow {
            coding: p.coding.name().into(),
            payload_bits: p.payload_bits(),
            thresholds: p.neuron.threshold_range(channels).map(|range| (range.low, range.high)),
            weight_bits: bits.unwrap_or(0),
            fan_in: projections.iter().map(|p| fan_in(p)).sum(),
            parameters: weights().map(snnc_ir::Tensor::len).sum(),
            scale: p.scale.clone(),
            ..PopulationRow::unknown(node)
        }
    }

    fn unknown(node: &Node) -> PopulationRow {
        PopulationRow {
            name: node.name.clone(),
            origins: node.origins.clone(),
            shape: node.ty.shape.clone(),
            coding: String::new(),
            payload_bits: 0,
            thresholds: None,
            weight_bits: 0,
            fan_in: 0,
            parameters: 0,
            scale: Vec::new(),
        }
    }
}

fn fan_in(projection: &Node) -> usize {
    let Some(weights) = &projection.data else { return 0 };
    match projection.as_spiking() {
        Some(SpikingOp::Projection(p)) if p.connectivity == Connectivity::OneToOne => 1,
        _ => weights.shape().iter().skip(1).product(),
    }
}

/// Populations in order of computation.
pub(super) fn populations(network: &Graph) -> Vec<NodeId> {
    let order = network.order().unwrap_or_default();
    let is_population =
        |id: &NodeId| matches!(network[*id].as_spiking(), Some(SpikingOp::Population(_)));
    order.into_iter().filter(is_population).collect()
}

/// Projections onto a population, through pools of potentials.
fn projections(network: &Graph, population: NodeId) -> Vec<NodeId> {
    let mut found = Vec::new();
    let mut pending = network.sources(population);
    pending.reverse();
    while let Some(id) = pending.pop() {
        match network[id].as_spiking() {
            Some(SpikingOp::Projection(_)) => found.push(id),
            Some(SpikingOp::MaxPool { .. }) => pending.extend(network.sources(id)),
            _ => {}
        }
    }
    found
}

impl Manifest {
    /// Bits of all memories that the fit names; none where the target has no image of them.
    pub fn image_bits(&self) -> Option<u64> {
        let memories = self.fit.iter().filter(|row| row.resource.ends_with("memory (bits)"));
        let bits: u64 = memories.map(|row| row.used).sum();
        (bits > 0).then_some(bits)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When the text is no manifest of a version that this compiler knows.
    pub fn parse(text: &str, file: &str) -> Result<Manifest, Error> {
        let fail = |reason: String| {
            Error::Input(vec![Problem::new(format!("`{file}`"), reason, "compile the model again")])
        };
        let manifest: Manifest =
            serde_yaml::from_str(text).map_err(|e| fail(format!("is no manifest: {e}")))?;
        if manifest.format != FORMAT || manifest.version != 1 {
            return Err(fail(format!(
                "has format `{}` version {}",
                manifest.format, manifest.version
            )));
        }
        Ok(manifest)
    }

    /// Gives a network read from the target's files what those cannot say: names, origins, scales.
    ///
    /// # Errors
    /// When the network is not the one that the manifest describes.
    pub fn apply(&self, network: &mut Graph, file: &str) -> Result<(), Error> {
        let counts = |what: &str, found: usize, stated: usize| {
            if found == stated {
                return Ok(());
            }
            let reason = format!("says {stated} {what}, but the network has {found}");
            Err(Error::input(format!("`{file}`"), reason, "compile the model again"))
        };
        let (inputs, outputs, order) = (network.inputs(), network.outputs(), populations(network));
        counts("inputs", inputs.len(), self.inputs.len())?;
        counts("outputs", outputs.len(), self.outputs.len())?;
        counts("populations", order.len(), self.populations.len())?;
        debug_assert_eq!(network.stage, Stage::Spiking);
        for (id, row) in inputs.into_iter().zip(&self.inputs) {
            network[id].name.clone_from(&row.name);
            if let Op::Spiking(SpikingOp::Encoder(e)) = &mut network[id].op {
                (e.scale, e.zero_point) = (row.scale, row.zero_point);
                (e.minimum, e.maximum) = (row.minimum, row.maximum);
                (e.rounding, e.offset) = (row.rounding, row.offset);
                e.thresholds.clone_from(&row.thresholds);
            }
        }
        for (id, row) in order.into_iter().zip(&self.populations) {
            for (i, projection) in projections(network, id).into_iter().enumerate() {
                let suffix = if i == 0 { String::new() } else { format!(".{i}") };
                network[projection].name = format!("{}.synapses{suffix}", row.name);
                network[projection].origins.clone_from(&row.origins);
            }
            network[id].name.clone_from(&row.name);
            network[id].origins.clone_from(&row.origins);
            if let Op::Spiking(SpikingOp::Population(p)) = &mut network[id].op {
                p.scale.clone_from(&row.scale);
            }
        }
        for (id, row) in outputs.into_iter().zip(&self.outputs) {
            network[id].name.clone_from(&row.name);
            if let Op::Spiking(SpikingOp::Decoder(d)) = &mut network[id].op {
                d.scale.clone_from(&row.scale);
                d.zero.clone_from(&row.zero);
            }
        }
        Ok(())
    }
}
