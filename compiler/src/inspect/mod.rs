//! What a model is made of, and what stands in the way of its conversion.

mod float;
mod spiking;

use serde::Serialize;
use snnc_backends::{TARGETS, Target, TargetOptions, Violation};
use snnc_ir::{Connectivity, Graph, NodeId, Op, Quantisation, SpikingOp, TensorOp, TensorType};

use crate::certificate::{Verdict, certify};
use crate::frontend::{Kind, Model, TensorModel};
use crate::passes::graded::{self, Conversion};
use crate::passes::{self, Context};
use crate::{Error, Problem};

/// What a model is made of.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Name of the network.
    pub name: String,
    /// Name and version of the tool that wrote the file; may be empty.
    pub producer: String,
    /// Operator sets that the file imports: domain and version.
    pub opsets: Vec<(String, i64)>,
    /// Graph inputs.
    pub inputs: Vec<Port>,
    /// Graph outputs.
    pub outputs: Vec<Port>,
    /// Operators in order of computation, in canonical form.
    pub nodes: Vec<Row>,
    /// Numbers that the network has learned: weights and biases, one for each element.
    pub parameters: u64,
    /// Multiplications with a sum, for one run.
    pub operations: u64,
    /// Whether activations and weights are codes throughout, so that spikes can be exact.
    pub quantised: bool,
    /// Whether the model is on reals, and the targets are rated as `compile --calibration` would quantise it.
    pub calibrated: bool,
    /// What stops the network from being converted to spikes, all of it.
    pub obstacles: Vec<Obstacle>,
    /// What each target makes of the network.
    pub targets: Vec<Rating>,
    /// What the user should know, each with the node concerned.
    pub notes: Vec<(String, String)>,
}

/// What a target makes of a network, in its default coding and on its default device.
#[derive(Clone, Debug, Serialize)]
pub struct Rating {
    /// Name of the target.
    pub target: String,
    /// The coding that was tried.
    pub coding: String,
    /// The rating.
    pub rating: Grade,
    /// Why it is not exact, node by node; empty if it is.
    pub reasons: Vec<Obstacle>,
}

/// How well a target computes what the model computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Every activation has the model's code; proved for all inputs.
    Exact,
    /// The network runs, but some activations may have other codes.
    Approximate,
    /// The network does not run there.
    Cannot,
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Grade::Exact => "exact",
            Grade::Approximate => "approximate",
            Grade::Cannot => "cannot",
        })
    }
}

/// An input or output.
#[derive(Clone, Debug, Serialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: String,
    /// Dimensions, batch first.
    pub shape: Vec<usize>,
}

/// One operator.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the node.
    pub name: String,
    /// Operators of ONNX that it was made of, in their order.
    pub onnx: Vec<String>,
    /// What it is here.
    pub operator: String,
    /// Element type of the result.
    pub dtype: String,
    /// Dimensions of the result, batch first.
    pub shape: Vec<usize>,
    /// Quantisation of the result, if it is codes, or of the weights of a layer on reals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<Grid>,
    /// Elements of weights and biases.
    pub parameters: u64,
    /// Multiplications with a sum, for one run.
    pub operations: u64,
}

/// A quantisation in short.
#[derive(Clone, Debug, Serialize)]
pub struct Grid {
    /// Bits of a code.
    pub bits: u8,
    /// Whether codes can be negative.
    pub signed: bool,
    /// Smallest and largest code.
    pub range: (i64, i64),
    /// Number of scales: 1, or one for each channel.
    pub scales: usize,
    /// Smallest and largest scale.
    pub scale: (f32, f32),
}

impl From<&Quantisation> for Grid {
    fn from(q: &Quantisation) -> Self {
        let ends = |(low, high): (f32, f32), s: &f32| (low.min(*s), high.max(*s));
        Grid {
            bits: q.bits(),
            signed: q.signed(),
            range: (q.minimum, q.maximum),
            scales: q.scale.len(),
            scale: q.scale.iter().fold((f32::INFINITY, 0.0), ends),
        }
    }
}

/// Something that stops a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// The ONNX node.
    pub place: String,
    /// Why.
    pub reason: String,
    /// What would help.
    pub remedy: String,
}

impl Obstacle {
    fn new(place: &str, reason: impl ToString, remedy: &str) -> Self {
        Obstacle { place: place.into(), reason: reason.to_string(), remedy: remedy.into() }
    }
}

impl From<&Problem> for Obstacle {
    fn from(problem: &Problem) -> Self {
        let Problem { place, reason, remedy } = problem.clone();
        Obstacle { place, reason, remedy }
    }
}

/// Inspects a model. A model that could not be imported has its obstacles in the error of the import, all
/// of them.
///
/// # Errors
/// When the network has no order.
pub fn inspect(model: &Model) -> Result<Inspection, Error> {
    match model {
        Model::Spiking(model) => spiking::inspect(model),
        Model::Tensor(model) => inspect_tensor(model),
    }
}

fn inspect_tensor(model: &TensorModel) -> Result<Inspection, Error> {
    let mut context = Context { notes: model.notes.clone(), ..Context::default() };
    let canonical = &model.canonical;
    let lowered = passes::quantised(canonical.clone(), &mut context);
    let converted = match (model.convertible(), &lowered) {
        (Err(error), _) => Err(obstacles(&error)),
        (Ok(()), Ok(codes)) => graded::convert(codes).map_err(|error| obstacles(&error)),
        (Ok(()), Err(error)) => Err(obstacles(error)),
    };
    let graph = lowered.as_ref().unwrap_or(canonical);
    let calibrated = model.kind == Kind::Float;
    let targets: Vec<Rating> = match (&converted, calibrated) {
        (_, true) => float::ratings(canonical),
        (Ok(conversion), _) => TARGETS.iter().map(|t| rating(*t, graph, conversion)).collect(),
        (Err(reasons), _) => TARGETS.iter().map(|t| cannot(*t, reasons.clone())).collect(),
    };
    // What all targets say is said of the network.
    let common = |reasons: &[Obstacle]| targets.iter().all(|t| t.reasons == reasons);
    let first = targets.first().filter(|t| t.rating == Grade::Cannot && common(&t.reasons));
    let obstacles = first.map_or_else(Vec::new, |t| t.reasons.clone());
    let nodes = rows(graph)?;
    Ok(Inspection {
        name: graph.name.clone(),
        producer: model.producer.clone(),
        opsets: model.opsets.clone(),
        inputs: graph.inputs().into_iter().map(|id| port(graph, id)).collect(),
        outputs: graph.outputs().into_iter().map(|id| port(graph, id)).collect(),
        parameters: nodes.iter().map(|r| r.parameters).sum(),
        operations: nodes.iter().map(|r| r.operations).sum(),
        quantised: lowered.is_ok(),
        nodes,
        targets,
        calibrated,
        obstacles,
        notes: context.notes,
    })
}

fn obstacles(error: &Error) -> Vec<Obstacle> {
    error.problems().iter().map(Obstacle::from).collect()
}

fn of(target: &dyn Target, rating: Grade, reasons: Vec<Obstacle>) -> Rating {
    let coding = target.codings().first().map_or("", |c| c.name()).to_owned();
    Rating { target: target.name().into(), coding, rating, reasons }
}

/// A target on which the network does not run.
fn cannot(target: &dyn Target, reasons: Vec<Obstacle>) -> Rating {
    of(target, Grade::Cannot, reasons)
}

/// Tries a network of integer codes on a target.
fn rating(target: &dyn Target, codes: &Graph, conversion: &Conversion) -> Rating {
    let of = |rating, reasons| of(target, rating, reasons);
    let network = match snnc_ir::verify(conversion.network.clone()) {
        Ok(network) => network,
        Err(errors) => {
            let reason =
                |e: &snnc_ir::VerifyError| Obstacle::new("the network", e, snnc_backends::FAULT);
            return of(Grade::Cannot, errors.iter().map(reason).collect());
        }
    };
    let legalised = match target.legalise(&network, &TargetOptions::default()) {
        Ok(legalised) => legalised,
        Err(violations) => {
            let reason = |v: &Violation| Obstacle::new(&v.node, &v.reason, &v.remedy);
            return of(Grade::Cannot, violations.iter().map(reason).collect());
        }
    };
    let certificate = certify(codes, conversion, &legalised.network);
    let inexact = certificate.populations.iter().filter(|p| p.verdict != Verdict::Proved);
    let unproved = certificate.obligations.iter().filter(|o| !o.holds);
    let reasons = inexact
        .map(|p| Obstacle::new(&p.node, format_args!("{}: {}", p.verdict, p.method), ""))
        .chain(
            unproved.map(|o| Obstacle::new(&o.subject, format_args!("not shown: {}", o.claim), "")),
        )
        .collect();
    match certificate.verdict {
        Verdict::Proved => of(Grade::Exact, Vec::new()),
        _ => of(Grade::Approximate, reasons),
    }
}

fn port(graph: &Graph, id: NodeId) -> Port {
    let node = &graph[id];
    Port { name: node.name.clone(), dtype: node.ty.dtype.to_string(), shape: node.ty.shape.clone() }
}

/// One row for each operator of a graph of any stage that computes something.
///
/// # Errors
/// When the graph has no order.
pub fn rows(graph: &Graph) -> Result<Vec<Row>, Error> {
    let order = passes::order(graph)?;
    let is_parameter = |id: NodeId| match graph[id].as_tensor() {
        Some(TensorOp::Constant) => true,
        Some(TensorOp::Dequantise(_)) => graph
            .source(id, 0)
            .is_some_and(|s| matches!(graph[s].as_tensor(), Some(TensorOp::Constant))),
        _ => false,
    };
    let shown = order.into_iter().filter(|&id| {
        let port = matches!(graph[id].as_tensor(), Some(TensorOp::Input | TensorOp::Output));
        !port && !is_parameter(id)
    });
    Ok(shown.map(|id| row(graph, id, &is_parameter)).collect())
}

fn row(graph: &Graph, id: NodeId, is_parameter: &dyn Fn(NodeId) -> bool) -> Row {
    let node = &graph[id];
    let sources = graph.sources(id);
    let constants = sources.iter().filter(|&&s| is_parameter(s));
    let own = node.data.as_ref().map_or(0, |d| d.len() as u64);
    let grid = node.ty.quantisation.as_ref().or_else(|| {
        // The weights of a layer on reals.
        sources.get(1).and_then(|&w| match graph[w].as_tensor() {
            Some(TensorOp::Dequantise(q)) => Some(q),
            _ => None,
        })
    });
    Row {
        name: node.name.clone(),
        onnx: node.origins.iter().map(|o| o.op.clone()).collect(),
        operator: node.op.name(),
        dtype: node.ty.dtype.to_string(),
        shape: node.ty.shape.clone(),
        quantisation: grid.map(Grid::from),
        parameters: own + constants.map(|&s| graph[s].ty.len() as u64).sum::<u64>(),
        operations: operations(graph, id, &sources),
    }
}

/// Multiplications with a sum that the node does in one run.
fn operations(graph: &Graph, id: NodeId, sources: &[NodeId]) -> u64 {
    let node = &graph[id];
    let weights = sources.get(1).map(|&w| &graph[w].ty);
    let per_result = |ty: &TensorType| ty.shape.get(1..).map_or(0, |s| s.iter().product::<usize>());
    let each = match (&node.op, weights) {
        (Op::Tensor(TensorOp::Convolution { .. } | TensorOp::Dense), Some(w)) => per_result(w),
        (Op::Tensor(TensorOp::TransposedConvolution { .. }), Some(w)) => {
            let x = sources.first().map_or(0, |&x| graph[x].ty.len());
            return (x as u64).saturating_mul(per_result(w) as u64);
        }
        (Op::Tensor(TensorOp::MatrixProduct), _) => {
            sources.first().and_then(|&a| graph[a].ty.shape.last().copied()).unwrap_or(0)
        }
        (Op::Spiking(SpikingOp::Projection(p)), _) => match (&p.connectivity, &node.data) {
            (Connectivity::OneToOne, _) => 1,
            (_, Some(w)) => per_result(&w.tensor_type()),
            (_, None) => 0,
        },
        _ => 0,
    };
    (node.ty.len() as u64).saturating_mul(each as u64)
}
