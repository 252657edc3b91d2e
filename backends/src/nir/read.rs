//! From a `.nir` file to a network on reals.

use std::collections::HashMap;

use snnc_ir::{
    RealEdge, RealFiring, RealLeak, RealNetwork, RealNeurons, RealNode, RealOp, RealSynapses,
    Window,
};

use crate::ReadError;
use crate::format::hdf5::{Hdf5Node, Hdf5Tree};

/// Nodes and edges that are read.
const LARGEST: usize = 100_000;

/// The network of a file.
pub(super) fn network(tree: &Hdf5Tree, file: &str) -> Result<RealNetwork, ReadError> {
    let at = At { tree, file, path: "node".into() };
    let kind = at.text("type")?;
    if kind != "NIRGraph" {
        return Err(at.malformed(format!("is a `{kind}`, where a NIRGraph is expected")));
    }
    let group = tree.group("node/nodes").map_err(|e| at.malformed(e.to_string()))?;
    if group.iter().len() > LARGEST {
        return Err(at.malformed(format!("has more than {LARGEST} nodes")));
    }
    let (mut network, mut places) = (RealNetwork::default(), HashMap::new());
    for (name, member) in group.iter() {
        let at = At { tree, file, path: format!("node/nodes/{name}") };
        if !matches!(member, Hdf5Node::Group(_)) {
            return Err(at.malformed("is no group"));
        }
        let (op, shape) = at.primitive()?;
        places.insert(name.to_owned(), network.nodes.len());
        network.nodes.push(RealNode { name: name.to_owned(), op, shape });
    }
    let edges = tree.strings("node/edges").map_err(|e| at.malformed(e.to_string()))?;
    if edges.shape.last() != Some(&2) || edges.values.len() > 2 * LARGEST {
        return Err(at.malformed(format!("edges of shape {:?}, not (E, 2)", edges.shape)));
    }
    for pair in edges.values.chunks_exact(2) {
        let index = |name: &String| {
            let known = places.get(name).copied();
            known.ok_or_else(|| at.malformed(format!("an edge names `{name}`, which is no node")))
        };
        let (source, target) = (index(&pair[0])?, index(&pair[1])?);
        let edge = RealEdge { source, target, recurrent: false };
        // The order of edges says nothing, nor does one that is there twice.
        if !network.edges.contains(&edge) {
            network.edges.push(edge);
        }
    }
    network.edges.sort_by_key(|e| (e.source, e.target));
    for (kind, wanted) in [("Input", RealOp::Input), ("Output", RealOp::Output)] {
        if network.indices(|op| *op == wanted).is_empty() {
            return Err(at.malformed(format!("has no {kind}")));
        }
    }
    network.mark_loops();
    network.infer().map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        at.malformed(all.join("; "))
    })?;
    Ok(network)
}

/// A place in a file.
struct At<'a> {
    tree: &'a Hdf5Tree,
    file: &'a str,
    path: String,
}

impl At<'_> {
    fn malformed(&self, reason: impl Into<String>) -> ReadError {
        ReadError::Malformed {
            file: self.file.to_owned(),
            place: self.path.clone(),
            reason: reason.into(),
        }
    }

    fn unsupported(&self, what: impl Into<String>) -> ReadError {
        ReadError::Unsupported {
            file: self.file.to_owned(),
            place: self.path.clone(),
            what: what.into(),
        }
    }

    fn of(&self, key: &str) -> String {
        format!("{}/{key}", self.path)
    }

    fn has(&self, key: &str) -> bool {
        self.tree.get(&self.of(key)).is_some()
    }

    fn text(&self, key: &str) -> Result<&str, ReadError> {
        self.tree.text(&self.of(key)).map_err(|e| self.malformed(e.to_string()))
    }

    /// Numbers and their shape; every one is finite.
    fn reals(&self, key: &str) -> Result<(Vec<f32>, Vec<usize>), ReadError> {
        let path = self.of(key);
        let values = self.tree.f32s(&path).map_err(|e| self.malformed(e.to_string()))?;
        if let Some(odd) = values.iter().find(|v| !v.is_finite()) {
            return Err(self.malformed(format!("`{key}` holds {odd}")));
        }
        let shape =
            self.tree.array(&path).map_err(|e| self.malformed(e.to_string()))?.shape.clone();
        Ok((values, shape))
    }

    /// Whole numbers from 0 up: `count` of them, or one that serves all.
    fn sizes(&self, key: &str, count: usize) -> Result<Vec<usize>, ReadError> {
        let found = self.tree.i64s(&self.of(key)).map_err(|e| self.malformed(e.to_string()))?;
        let found: Option<Vec<usize>> = found.iter().map(|&v| usize::try_from(v).ok()).collect();
        match found {
            Some(one) if one.len() == 1 => Ok(vec![one[0]; count]),
            Some(all) if all.len() == count => Ok(all),
            _ => Err(self.malformed(format!("`{key}` is not {count} numbers from 0 up"))),
        }
    }

    /// Numbers from 0 up, any count.
    fn shape(&self, key: &str) -> Result<Vec<usize>, ReadError> {
        let found = self.tree.i64s(&self.of(key)).map_err(|e| self.malformed(e.to_string()))?;
        let found: Option<Vec<usize>> = found.iter().map(|&v| usize::try_from(v).ok()).collect();
        found.ok_or_else(|| self.malformed(format!("`{key}` holds a negative number")))
    }

    /// Parameters of neurons, which must all have one shape; the shape.
    fn parameters<const N: usize>(
        &self,
        keys: [&str; N],
    ) -> Result<([Vec<f32>; N], Vec<usize>), ReadError> {
        let mut shape: Option<Vec<usize>> = None;
        let mut all = Vec::with_capacity(N);
        for key in keys {
            let (values, found) = self.reals(key)?;
            if let Some(first) = shape.as_ref().filter(|s| **s != found) {
                let reason = format!("`{key}` has shape {found:?}, `{}` has {first:?}", keys[0]);
                return Err(self.malformed(reason));
            }
            shape = Some(found);
            all.push(values);
        }
        let all = all.try_into().map_err(|_| self.malformed("has no parameters"))?;
        Ok((all, shape.unwrap_or_default()))
    }

    /// A parameter that may be missing, or be one number for all.
    fn optional(&self, key: &str, shape: &[usize], missing: f32) -> Result<Vec<f32>, ReadError> {
        let count: usize = shape.iter().product();
        if !self.has(key) {
            return Ok(vec![missing; count]);
        }
        let (values, found) = self.reals(key)?;
        match values.len() {
            1 => Ok(vec![values[0]; count]),
            _ if found == shape => Ok(values),
            _ => Err(self.malformed(format!("`{key}` has shape {found:?}, neurons {shape:?}"))),
        }
    }

    /// One of NIR's primitives, and the shape of what it sends where its parameters say it.
    fn primitive(&self) -> Result<(RealOp, Vec<usize>), ReadError> {
        let kind = self.text("type")?;
        match kind {
            "Input" => Ok((RealOp::Input, self.shape("shape")?)),
            "Output" => Ok((RealOp::Output, self.shape("shape")?)),
            "Affine" | "Linear" => self.dense(kind == "Affine"),
            "Scale" => {
                let ([factor], shape) = self.parameters(["scale"])?;
                Ok((RealOp::Scale { factor }, shape))
            }
            "Conv1d" => self.convolution(1),
            "Conv2d" => self.convolution(2),
            "SumPool2d" | "AvgPool2d" => {
                let kernel = self.sizes("kernel_size", 2)?;
                let padding = self.sizes("padding", 2)?;
                let window = Window {
                    kernel,
                    strides: self.sizes("stride", 2)?,
                    dilations: vec![1; 2],
                    before: padding.clone(),
                    after: padding,
                };
                Ok((RealOp::Pool { window, mean: kind == "AvgPool2d" }, Vec::new()))
            }
            "Flatten" => self.flatten(),
            "Delay" => {
                let ([seconds], shape) = self.parameters(["delay"])?;
                Ok((RealOp::Delay { seconds }, shape))
            }
            "Threshold" => {
                let ([threshold], shape) = self.parameters(["threshold"])?;
                Ok((RealOp::Threshold { threshold }, shape))
            }
            "IF" | "LIF" | "LI" | "I" | "CubaLIF" | "CubaLI" => self.neurons(kind),
            "NIRGraph" => Err(self.unsupported("a graph within a graph")),
            other => Err(self.unsupported(format!("the primitive `{other}`"))),
        }
    }

    fn dense(&self, biased: bool) -> Result<(RealOp, Vec<usize>), ReadError> {
        let (weights, shape) = self.reals("weight")?;
        let &[targets, sources] = shape.as_slice() else {
            return Err(self.unsupported(format!("a weight of shape {shape:?}, not (out, in)")));
        };
        if targets == 0 || sources == 0 {
            return Err(self.malformed("has no weights"));
        }
        let bias = if biased { Some(self.optional("bias", &[targets], 0.0)?) } else { None };
        Ok((RealOp::Dense { weights, bias }, vec![targets]))
    }

    fn convolution(&self, rank: usize) -> Result<(RealOp, Vec<usize>), ReadError> {
        let (weights, shape) = self.reals("weight")?;
        let (Some(&filters), Some(kernel)) = (shape.first(), shape.get(2..)) else {
            return Err(self.malformed(format!("a weight of shape {shape:?}")));
        };
        if kernel.len() != rank || weights.is_empty() {
            return Err(
                self.malformed(format!("a weight of shape {shape:?} for {rank} dimensions"))
            );
        }
        let groups = self.sizes("groups", 1)?[0];
        if groups == 0 || !filters.is_multiple_of(groups) {
            return Err(self.malformed(format!("{filters} filters in {groups} groups")));
        }
        let (strides, dilations) = (self.sizes("stride", rank)?, self.sizes("dilation", rank)?);
        let (before, after) = match self.tree.text(&self.of("padding")) {
            Ok("valid") => (vec![0; rank], vec![0; rank]),
            Ok("same") => {
                // As PyTorch has it: the odd cell comes after.
                let total = kernel.iter().zip(&dilations).map(|(k, d)| (k - 1).saturating_mul(*d));
                let total: Vec<usize> = total.collect();
                let before: Vec<usize> = total.iter().map(|t| t / 2).collect();
                (before.clone(), total.iter().zip(&before).map(|(t, b)| t - b).collect())
            }
            Ok(other) => return Err(self.unsupported(format!("padding `{other}`"))),
            Err(_) => {
                let padding = self.sizes("padding", rank)?;
                (padding.clone(), padding)
            }
        };
        let window = Window { kernel: kernel.to_vec(), strides, dilations, before, after };
        let bias = self.optional("bias", &[filters], 0.0)?;
        Ok((RealOp::Convolution { window, groups, weights, bias }, Vec::new()))
    }

    /// The dimensions from `start_dim` to `end_dim` of `input_type` (which has no batch) become one.
    fn flatten(&self) -> Result<(RealOp, Vec<usize>), ReadError> {
        let shape = self.shape("input_type")?;
        let end = |key: &str, missing: i64| -> Result<i64, ReadError> {
            if !self.has(key) {
                return Ok(missing);
            }
            self.tree.scalar_i64(&self.of(key)).map_err(|e| self.malformed(e.to_string()))
        };
        let rank = shape.len() as i64;
        let from = |d: i64| if d < 0 { d + rank } else { d };
        let (first, last) = (from(end("start_dim", 0)?), from(end("end_dim", -1)?));
        if !(0 <= first && first <= last && last < rank) {
            return Err(self.malformed(format!("dimensions {first} to {last} of {shape:?}")));
        }
        let (first, last) = (first as usize, last as usize);
        let joined = shape[first..=last].iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let joined = joined.ok_or_else(|| self.malformed(format!("is too large: {shape:?}")))?;
        let flat = [&shape[..first], &[joined], &shape[last + 1..]].concat();
        Ok((RealOp::Flatten, flat))
    }

    fn neurons(&self, kind: &str) -> Result<(RealOp, Vec<usize>), ReadError> {
        let ([resistance], shape) = self.parameters(["r"])?;
        let same = |values: Vec<f32>, found: Vec<usize>, key: &str| {
            if found == shape {
                Ok(values)
            } else {
                Err(self.malformed(format!("`{key}` has shape {found:?}, `r` has {shape:?}")))
            }
        };
        let own = |key: &str| self.reals(key).and_then(|(v, s)| same(v, s, key));
        let positive = |key: &str| {
            let values = own(key)?;
            match values.iter().find(|&&v| v <= 0.0) {
                Some(v) => Err(self.malformed(format!("`{key}` holds {v}, it must be positive"))),
                None => Ok(values),
            }
        };
        let cuba = kind.starts_with("Cuba");
        let synapses = match cuba {
            true => Some(RealSynapses {
                tau: positive("tau_syn")?,
                weight: self.optional("w_in", &shape, 1.0)?,
            }),
            false => None,
        };
        let leak = match kind {
            "IF" | "I" => None,
            _ => Some(RealLeak {
                tau: positive(if cuba { "tau_mem" } else { "tau" })?,
                potential: own("v_leak")?,
            }),
        };
        let firing = match kind {
            "IF" | "LIF" | "CubaLIF" => Some(RealFiring {
                threshold: own("v_threshold")?,
                reset: self.optional("v_reset", &shape, 0.0)?,
            }),
            _ => None,
        };
        Ok((RealOp::Neurons(RealNeurons { synapses, leak, resistance, firing }), shape))
    }
}
