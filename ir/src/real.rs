//! Spiking networks on reals, as they are exchanged: neurons in continuous time, weights that are
//! not quantised.
//!
//! They stand beside [`crate::Graph`], whose spiking stage is on integers. What is here has no
//! timestep; whoever runs it chooses one. The primitives are those of the Neuromorphic
//! Intermediate Representation (Pedersen et al., Nature Communications 15, 8122, 2024).

use std::collections::BTreeSet;

use crate::{InferError, Window, window_outputs};

/// A spiking network on reals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RealNetwork {
    /// The nodes.
    pub nodes: Vec<RealNode>,
    /// What flows where; what arrives at a node is summed.
    pub edges: Vec<RealEdge>,
}

/// One node and what it sends.
#[derive(Clone, Debug, PartialEq)]
pub struct RealNode {
    /// Unique in the network.
    pub name: String,
    /// What it does.
    pub op: RealOp,
    /// Shape of what it sends, without batch and time: (C, H, W) or (N).
    pub shape: Vec<usize>,
}

/// What flows from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealEdge {
    /// Index of the node that sends.
    pub source: usize,
    /// Index of the node that receives.
    pub target: usize,
    /// It closes a loop, and arrives one timestep later.
    pub recurrent: bool,
}

/// What a node does. Vectors of neurons' parameters have one entry for each element of its shape.
#[derive(Clone, Debug, PartialEq)]
pub enum RealOp {
    /// A network input.
    Input,
    /// A network output.
    Output,
    /// `y = W x + b`, weights (targets, sources).
    Dense {
        /// In C order.
        weights: Vec<f32>,
        /// One for each target; `None` means 0.
        bias: Option<Vec<f32>>,
    },
    /// `y = s x`, element by element.
    Scale {
        /// One for each element.
        factor: Vec<f32>,
    },
    /// Cross-correlation with weights (F, C/groups, kernel..).
    Convolution {
        /// Geometry.
        window: Window,
        /// Number of groups.
        groups: usize,
        /// In C order.
        weights: Vec<f32>,
        /// One for each filter.
        bias: Vec<f32>,
    },
    /// Sum or mean of each window of a (C, H, W) map; padding counts as zeros.
    Pool {
        /// Geometry.
        window: Window,
        /// Mean instead of sum.
        mean: bool,
    },
    /// The same elements in the shape of the node.
    Flatten,
    /// What came in this many seconds ago.
    Delay {
        /// One for each element.
        seconds: Vec<f32>,
    },
    /// 1 where the input is above the threshold, else 0.
    Threshold {
        /// One for each element.
        threshold: Vec<f32>,
    },
    /// Neurons.
    Neurons(RealNeurons),
}

/// Neurons with a membrane potential v, driven by a current I.
#[derive(Clone, Debug, PartialEq)]
pub struct RealNeurons {
    /// Synapses that filter the current; `None` means that what arrives is the current.
    pub synapses: Option<RealSynapses>,
    /// `tau dv/dt = (v_leak - v) + r I`; `None` means `dv/dt = r I`.
    pub leak: Option<RealLeak>,
    /// Resistance r.
    pub resistance: Vec<f32>,
    /// When they fire; `None` means never, v itself is sent.
    pub firing: Option<RealFiring>,
}

/// `tau dI/dt = -I + weight * arriving`.
#[derive(Clone, Debug, PartialEq)]
pub struct RealSynapses {
    /// Time constants in seconds.
    pub tau: Vec<f32>,
    /// Weights of what arrives.
    pub weight: Vec<f32>,
}

/// The leak of a membrane.
#[derive(Clone, Debug, PartialEq)]
pub struct RealLeak {
    /// Time constants in seconds.
    pub tau: Vec<f32>,
    /// Potentials without input.
    pub potential: Vec<f32>,
}

/// Fires where `v > threshold`; v is then `reset`.
#[derive(Clone, Debug, PartialEq)]
pub struct RealFiring {
    /// Thresholds.
    pub threshold: Vec<f32>,
    /// Potentials after a spike.
    pub reset: Vec<f32>,
}

/// What is wrong with a network on reals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{node}`: {reason}")]
pub struct RealError {
    /// Name of the node.
    pub node: String,
    /// Why.
    pub reason: String,
}

impl RealNetwork {
    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.name == name)
    }

    /// Nodes of one kind, in their order.
    pub fn indices(&self, wanted: impl Fn(&RealOp) -> bool) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&i| wanted(&self.nodes[i].op)).collect()
    }

    /// Nodes that send to `target`, with whether they do so through a loop.
    pub fn sources(&self, target: usize) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.edges.iter().filter(move |e| e.target == target).map(|e| (e.source, e.recurrent))
    }

    /// Marks the edges that close loops: those that lead back on the way from the inputs, followed
    /// in the order of nodes and edges.
    pub fn mark_loops(&mut self) {
        let mut colour = vec![0u8; self.nodes.len()];
        let mut starts = self.indices(|op| *op == RealOp::Input);
        starts.extend(0..self.nodes.len());
        for start in starts {
            if colour[start] != 0 {
                continue;
            }
            colour[start] = 1;
            // Node, and the next of all edges to be looked at.
            let mut path = vec![(start, 0)];
            while let Some(&mut (node, ref mut next)) = path.last_mut() {
                let at = *next;
                *next += 1;
                match self.edges.get(at) {
                    None => {
                        colour[node] = 2;
                        path.pop();
                    }
                    Some(edge) if edge.source == node => match colour[edge.target] {
                        0 => {
                            colour[edge.target] = 1;
                            let target = edge.target;
                            path.push((target, 0));
                        }
                        1 => self.edges[at].recurrent = true,
                        _ => {}
                    },
                    Some(_) => {}
                }
            }
        }
    }

    /// Every node after its sources, ties by index; loops do not count.
    ///
    /// # Errors
    /// The first node that waits for itself.
    pub fn order(&self) -> Result<Vec<usize>, RealError> {
        let mut missing = vec![0usize; self.nodes.len()];
        let forward = || self.edges.iter().filter(|e| !e.recurrent);
        forward().for_each(|e| missing[e.target] += 1);
        let mut ready: BTreeSet<usize> = (0..missing.len()).filter(|&i| missing[i] == 0).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(node) = ready.pop_first() {
            order.push(node);
            for edge in forward().filter(|e| e.source == node) {
                missing[edge.target] -= 1;
                if missing[edge.target] == 0 {
                    ready.insert(edge.target);
                }
            }
        }
        match missing.iter().position(|&m| m > 0) {
            Some(node) => Err(self.error(node, "waits for its own output")),
            None => Ok(order),
        }
    }

    fn error(&self, node: usize, reason: impl Into<String>) -> RealError {
        RealError { node: self.nodes[node].name.clone(), reason: reason.into() }
    }

    /// Gives the nodes whose shape follows from what arrives their shape (pools, flattening, scores),
    /// and checks that everything that arrives has as many elements as the node takes.
    ///
    /// # Errors
    /// All nodes that do not fit.
    pub fn infer(&mut self) -> Result<(), Vec<RealError>> {
        let order = self.order().map_err(|e| vec![e])?;
        let mut errors = Vec::new();
        for node in order {
            let arriving: Vec<usize> = self.sources(node).map(|(s, _)| s).collect();
            if arriving.is_empty() && self.nodes[node].op != RealOp::Input {
                errors.push(self.error(node, "nothing arrives here"));
                continue;
            }
            let first = self.sources(node).find(|(_, recurrent)| !recurrent);
            let shape = first.map(|(s, _)| self.nodes[s].shape.clone()).unwrap_or_default();
            match self.taken(node, &shape) {
                Ok((_, sent)) if checked_elements(&sent).is_none_or(|n| n > LARGEST) => {
                    errors.push(self.error(node, format!("is too large: {sent:?}")));
                }
                Ok((taken, sent)) => {
                    self.nodes[node].shape = sent;
                    for source in arriving {
                        // Loops may come from nodes whose shape is not known yet.
                        let found = elements(&self.nodes[source].shape);
                        let known = !self.nodes[source].shape.is_empty();
                        if known && Some(found) != taken {
                            let name = &self.nodes[source].name;
                            let taken = taken.map_or("too many".into(), |t| t.to_string());
                            let reason =
                                format!("takes {taken} elements, but `{name}` sends {found}");
                            errors.push(self.error(node, reason));
                        }
                    }
                }
                Err(reason) => errors.push(self.error(node, reason)),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// How many elements a node takes of what has `shape`, and the shape of what it sends.
    fn taken(&self, node: usize, shape: &[usize]) -> Result<(Option<usize>, Vec<usize>), String> {
        let own = self.nodes[node].shape.clone();
        let count = checked_elements(shape);
        match &self.nodes[node].op {
            RealOp::Input => Ok((None, own)),
            RealOp::Dense { weights, .. } => {
                let targets = elements(&own).max(1);
                Ok((Some(weights.len() / targets), own))
            }
            RealOp::Convolution { window, groups, weights, bias } => {
                let (channels, spatial) = shape.split_first().ok_or("takes a map (C, ..)")?;
                let kernel: usize = window.kernel.iter().product::<usize>().max(1);
                let inner = weights.len() / bias.len().max(1) / kernel;
                if inner.checked_mul(*groups) != Some(*channels) {
                    return Err(format!(
                        "has weights for {} channels, but {channels} arrive",
                        inner.saturating_mul(*groups)
                    ));
                }
                let outputs = window_outputs(window, spatial, false).map_err(shown)?;
                Ok((count, [&[bias.len()], outputs.as_slice()].concat()))
            }
            RealOp::Pool { window, .. } => {
                let (channels, spatial) = shape.split_first().ok_or("takes a map (C, H, W)")?;
                let outputs = window_outputs(window, spatial, false).map_err(shown)?;
                Ok((count, [&[*channels], outputs.as_slice()].concat()))
            }
            // The shapes stated there differ between writers in dimensions of 1.
            RealOp::Output => Ok((Some(elements(&own)), own)),
            RealOp::Flatten => {
                let taken = count.filter(|_| own.is_empty()).or(Some(elements(&own)));
                Ok((taken, if own.is_empty() { vec![elements(shape)] } else { own }))
            }
            // A single parameter serves all that arrives.
            _ if elements(&own) == 1 && own.is_empty() => Ok((count, shape.to_vec())),
            _ => Ok((Some(elements(&own)), own)),
        }
    }
}

/// Most elements that a node may send.
const LARGEST: usize = 1 << 28;

fn shown(error: InferError) -> String {
    error.to_string()
}

fn elements(shape: &[usize]) -> usize {
    checked_elements(shape).unwrap_or(usize::MAX)
}

fn checked_elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, op: RealOp, shape: &[usize]) -> RealNode {
        RealNode { name: name.into(), op, shape: shape.to_vec() }
    }

    fn edge(source: usize, target: usize) -> RealEdge {
        RealEdge { source, target, recurrent: false }
    }

    fn recurrent() -> RealNetwork {
        let dense = |n: usize| RealOp::Dense { weights: vec![1.0; 2 * n], bias: None };
        let threshold = RealOp::Threshold { threshold: vec![0.5; 2] };
        RealNetwork {
            nodes: vec![
                node("input", RealOp::Input, &[3]),
                node("fc", dense(3), &[2]),
                node("back", dense(2), &[2]),
                node("pop", threshold, &[2]),
                node("output", RealOp::Output, &[2]),
            ],
            edges: vec![edge(0, 1), edge(1, 3), edge(2, 3), edge(3, 2), edge(3, 4)],
        }
    }

    #[test]
    fn the_edge_that_leads_back_is_late() {
        let mut network = recurrent();
        network.mark_loops();
        let late: Vec<usize> = (0..5).filter(|&i| network.edges[i].recurrent).collect();
        assert_eq!(late, [2]);
        assert_eq!(network.order().unwrap(), [0, 1, 3, 2, 4]);
        network.infer().unwrap();
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut network = recurrent();
        network.mark_loops();
        network.nodes[0].shape = vec![4];
        network.nodes[4].shape = vec![3];
        let errors = network.infer().unwrap_err();
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "`fc`: takes 3 elements, but `input` sends 4",
                "`output`: takes 3 elements, but `pop` sends 2"
            ]
        );
    }
}
