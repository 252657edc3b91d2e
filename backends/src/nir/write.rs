//! From a network on reals to a `.nir` file.

use std::collections::BTreeMap;

use snnc_ir::{RealNetwork, RealNeurons, RealNode, RealOp, Window};

use crate::EmitError;
use crate::format::hdf5::{Hdf5Tree, Hdf5Value};
use crate::format::npy::NpyArray;

/// Version of NIR whose layout this is.
const VERSION: &str = "1.0.8";

/// Free content beside a node, or beside the graph: what NIR cannot say.
pub(super) type Metadata = BTreeMap<String, Hdf5Value>;

fn fault(e: impl std::fmt::Display) -> EmitError {
    EmitError::Container(e.to_string())
}

/// A number, or an array of them.
fn integers(shape: &[usize], values: &[usize]) -> Result<NpyArray, EmitError> {
    let values: Vec<i64> = values.iter().map(|&v| v as i64).collect();
    NpyArray::from_i64(shape.to_vec(), &values).map_err(fault)
}

/// The file. `metadata` has one entry for each node; `graph` belongs to the whole.
pub(super) fn file(
    network: &RealNetwork,
    metadata: &[Metadata],
    graph: Metadata,
) -> Result<Vec<u8>, EmitError> {
    let mut out = Out { tree: Hdf5Tree::new() };
    out.put("version", Hdf5Value::utf8(VERSION))?;
    out.put("node/type", Hdf5Value::utf8("NIRGraph"))?;
    out.metadata("node", graph)?;
    let mut edges = Vec::with_capacity(2 * network.edges.len());
    for edge in &network.edges {
        edges.extend([edge.source, edge.target].map(|i| network.nodes[i].name.clone()));
    }
    out.put("node/edges", Hdf5Value::utf8_array([network.edges.len(), 2], edges))?;
    for (i, node) in network.nodes.iter().enumerate() {
        let at = format!("node/nodes/{}", node.name);
        let first = network.sources(i).find(|(_, late)| !late).map(|(s, _)| s);
        let arriving = first.map_or(&[][..], |s| network.nodes[s].shape.as_slice());
        out.node(&at, node, arriving)?;
        out.metadata(&at, metadata.get(i).cloned().unwrap_or_default())?;
    }
    out.tree.to_bytes().map_err(fault)
}

struct Out {
    tree: Hdf5Tree,
}

impl Out {
    fn put(&mut self, path: &str, value: impl Into<Hdf5Value>) -> Result<(), EmitError> {
        self.tree.insert(path, value.into()).map_err(fault)
    }

    fn metadata(&mut self, at: &str, metadata: Metadata) -> Result<(), EmitError> {
        for (key, value) in metadata {
            self.put(&format!("{at}/metadata/{key}"), value)?;
        }
        Ok(())
    }

    fn reals(&mut self, at: &str, key: &str, shape: &[usize], v: &[f32]) -> Result<(), EmitError> {
        self.put(&format!("{at}/{key}"), NpyArray::from_f32(shape.to_vec(), v).map_err(fault)?)
    }

    fn sizes(&mut self, at: &str, key: &str, values: &[usize]) -> Result<(), EmitError> {
        self.put(&format!("{at}/{key}"), integers(&[values.len()], values)?)
    }

    fn kind(&mut self, at: &str, kind: &str) -> Result<(), EmitError> {
        self.put(&format!("{at}/type"), Hdf5Value::utf8(kind))
    }

    fn node(&mut self, at: &str, node: &RealNode, arriving: &[usize]) -> Result<(), EmitError> {
        let shape = &node.shape;
        match &node.op {
            RealOp::Input | RealOp::Output => {
                self.kind(at, if node.op == RealOp::Input { "Input" } else { "Output" })?;
                self.sizes(at, "shape", shape)
            }
            RealOp::Dense { weights, bias } => {
                let targets = shape.iter().product::<usize>().max(1);
                self.reals(at, "weight", &[targets, weights.len() / targets], weights)?;
                self.kind(at, if bias.is_some() { "Affine" } else { "Linear" })?;
                bias.iter().try_for_each(|b| self.reals(at, "bias", &[b.len()], b))
            }
            RealOp::Scale { factor } => {
                self.kind(at, "Scale")?;
                self.reals(at, "scale", &own(shape, factor), factor)
            }
            RealOp::Convolution { window, groups, weights, bias } => {
                let filters = bias.len();
                let kernel: usize = window.kernel.iter().product();
                let inner = weights.len() / filters.max(1) / kernel.max(1);
                let shape = [&[filters, inner], window.kernel.as_slice()].concat();
                self.reals(at, "weight", &shape, weights)?;
                self.reals(at, "bias", &[filters], bias)?;
                self.put(&format!("{at}/groups"), integers(&[], &[*groups])?)?;
                self.convolution(at, window, arriving)
            }
            RealOp::Pool { window, mean } => {
                self.kind(at, if *mean { "AvgPool2d" } else { "SumPool2d" })?;
                self.sizes(at, "kernel_size", &window.kernel)?;
                self.sizes(at, "stride", &window.strides)?;
                self.padding(at, window)
            }
            RealOp::Flatten => {
                self.kind(at, "Flatten")?;
                self.put(&format!("{at}/start_dim"), integers(&[], &[0])?)?;
                let last = arriving.len().saturating_sub(1);
                self.put(&format!("{at}/end_dim"), integers(&[], &[last])?)?;
                self.sizes(at, "input_type", arriving)
            }
            RealOp::Delay { seconds } => {
                self.kind(at, "Delay")?;
                self.reals(at, "delay", &own(shape, seconds), seconds)
            }
            RealOp::Threshold { threshold } => {
                self.kind(at, "Threshold")?;
                self.reals(at, "threshold", &own(shape, threshold), threshold)
            }
            RealOp::Neurons(n) => self.neurons(at, n, &own(shape, &n.resistance)),
        }
    }

    fn padding(&mut self, at: &str, window: &Window) -> Result<(), EmitError> {
        if window.before != window.after {
            return Err(EmitError::Node {
                node: at.to_owned(),
                reason: "NIR pads both sides alike".into(),
            });
        }
        self.sizes(at, "padding", &window.before)
    }

    fn convolution(&mut self, at: &str, w: &Window, arriving: &[usize]) -> Result<(), EmitError> {
        let spatial = arriving.get(1..).unwrap_or_default();
        if let ([length], [stride], [dilation], [before]) =
            (spatial, w.strides.as_slice(), w.dilations.as_slice(), w.before.as_slice())
        {
            self.kind(at, "Conv1d")?;
            for (key, value) in [("input_shape", length), ("stride", stride)] {
                self.put(&format!("{at}/{key}"), integers(&[], &[*value])?)?;
            }
            self.put(&format!("{at}/dilation"), integers(&[], &[*dilation])?)?;
            return self.put(&format!("{at}/padding"), integers(&[], &[*before])?);
        }
        self.kind(at, "Conv2d")?;
        self.sizes(at, "input_shape", spatial)?;
        self.sizes(at, "stride", &w.strides)?;
        self.sizes(at, "dilation", &w.dilations)?;
        self.padding(at, w)
    }

    fn neurons(&mut self, at: &str, n: &RealNeurons, shape: &[usize]) -> Result<(), EmitError> {
        let kind = match (&n.synapses, &n.leak, &n.firing) {
            (None, None, None) => "I",
            (None, None, Some(_)) => "IF",
            (None, Some(_), None) => "LI",
            (None, Some(_), Some(_)) => "LIF",
            (Some(_), Some(_), None) => "CubaLI",
            (Some(_), Some(_), Some(_)) => "CubaLIF",
            (Some(_), None, _) => {
                let reason = "NIR has no synaptic current without a leak".into();
                return Err(EmitError::Node { node: at.to_owned(), reason });
            }
        };
        self.kind(at, kind)?;
        self.reals(at, "r", shape, &n.resistance)?;
        if let Some(s) = &n.synapses {
            self.reals(at, "tau_syn", shape, &s.tau)?;
            self.reals(at, "w_in", shape, &s.weight)?;
        }
        if let Some(l) = &n.leak {
            self.reals(at, if n.synapses.is_some() { "tau_mem" } else { "tau" }, shape, &l.tau)?;
            self.reals(at, "v_leak", shape, &l.potential)?;
        }
        if let Some(f) = &n.firing {
            self.reals(at, "v_threshold", shape, &f.threshold)?;
            self.reals(at, "v_reset", shape, &f.reset)?;
        }
        Ok(())
    }
}

/// The shape of a parameter: that of the node, unless one number serves all.
fn own(shape: &[usize], values: &[f32]) -> Vec<usize> {
    if values.len() == shape.iter().product::<usize>() { shape.to_vec() } else { Vec::new() }
}
