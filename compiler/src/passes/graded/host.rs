//! What the host makes of what a network shows: the operators behind its read-outs.
//!
//! Decoders show what populations send or accumulate, as codes or as reals; everything behind them (a
//! softmax, a layout, the quantiser of an output) becomes a small graph of the quantised stage, whose
//! inputs stand for the decoders and whose outputs are the model's.

use std::collections::{HashMap, HashSet};

use snnc_ir::{
    Decoder, Graph, Node, NodeId, Origin, Readout, SpikingOp, Stage, TensorOp, ThresholdRows,
};

use super::{Converter, Form, Payloads, ReadOut, unbatched};
use crate::passes::tail;

/// Marks, among the origins of an input of the host's graph, the decoder that it stands for.
pub(crate) const DECODER: &str = "decoder";

/// The host's part of a network that is being converted.
pub(super) struct Host {
    pub(super) graph: Graph,
    /// Nodes of the quantised graph that the host may compute.
    pub(super) tail: HashSet<NodeId>,
    /// Values of the quantised graph that the host has.
    values: HashMap<NodeId, NodeId>,
    /// Accumulators that are read out.
    pub(super) read: HashMap<NodeId, Payloads>,
}

impl Host {
    pub(super) fn new(quantised: &Graph, read_out: ReadOut) -> Self {
        let belongs = |id: NodeId, op: &TensorOp| match op {
            TensorOp::Pool(_) => tail::is_host(op) && quantised[id].ty.dtype.is_float(),
            TensorOp::Quantise(_) | TensorOp::Dequantise(_) => true,
            // What the lowering left to the host compares reals.
            TensorOp::Threshold(t) if matches!(t.rows, ThresholdRows::Reals(_)) => true,
            TensorOp::Requantise | TensorOp::RequantiseSum | TensorOp::Threshold(_) => {
                read_out == ReadOut::Potentials
            }
            op => tail::is_host(op),
        };
        Host {
            graph: Graph::new(quantised.name.clone(), Stage::Quantised),
            tail: tail::tail(quantised, belongs),
            values: HashMap::new(),
            read: HashMap::new(),
        }
    }
}

impl Converter<'_> {
    /// Whether the host computes a node, though a decoder cannot say what it does.
    pub(super) fn is_for_host(&self, id: NodeId, op: &TensorOp) -> bool {
        if !self.host.tail.contains(&id) {
            return false;
        }
        let operand = self.quantised.source(id, 0).and_then(|source| self.values.get(&source));
        match (op, operand) {
            (_, None | Some(Form::Nothing)) => false,
            (TensorOp::Dequantise(_), Some(form)) => matches!(form, Form::Host | Form::Scores(..)),
            (TensorOp::Quantise(_), Some(form)) => !matches!(form, Form::Raw),
            (TensorOp::Reshape, Some(form)) => {
                let shape = unbatched(&self.quantised[id].ty.shape);
                // What differs from channel to channel keeps them.
                let (scales, channels) = match form {
                    Form::Sum(s) => (s.scale.len(), s.shape.first()),
                    Form::Scores(p, scale) => (scale.len(), p.shape.first()),
                    Form::Payloads(p) => (1, p.shape.first()),
                    _ => return matches!(form, Form::Host),
                };
                scales > 1 && shape.first() != channels
            }
            _ => true,
        }
    }

    /// Leaves a node to the host.
    pub(super) fn on_host(&mut self, id: NodeId) -> Form {
        let mut sources = Vec::new();
        for source in self.quantised.sources(id) {
            match self.host_value(source) {
                Some(value) => sources.push(value),
                None => return Form::Nothing,
            }
        }
        let node = self.host.graph.add(self.quantised[id].clone(), &sources);
        self.host.values.insert(id, node);
        Form::Host
    }

    /// The value of a node as the host has it, shown by a decoder if need be.
    fn host_value(&mut self, id: NodeId) -> Option<NodeId> {
        if let Some(&known) = self.host.values.get(&id) {
            return Some(known);
        }
        if matches!(self.quantised[id].as_tensor(), Some(TensorOp::Constant)) {
            let node = self.host.graph.add(self.quantised[id].clone(), &[]);
            self.host.values.insert(id, node);
            return Some(node);
        }
        let only = self.quantised.users(id).len() == 1;
        let form = if only { self.values.remove(&id) } else { self.values.get(&id).cloned() };
        match form? {
            // The host moves what the population sends in its own order.
            Form::Payloads(p) | Form::Scores(p, _) if p.order.is_some() => self.on_host_too(id),
            Form::Moved(_) => self.on_host_too(id),
            Form::Payloads(p) => {
                let zero = self.silent_codes(id);
                Some(self.show(id, &p, vec![1.0], zero))
            }
            Form::Scores(p, scale) => Some(self.show(id, &p, scale, Vec::new())),
            Form::Sum(s) => match self.read_out(id, &s) {
                Form::Scores(p, _) => Some(self.show(id, &p, vec![1.0], Vec::new())),
                _ => None,
            },
            Form::Raw => {
                self.problem(
                    id,
                    "goes to an output without a layer between",
                    "leave this output out: it is computed of the input alone",
                );
                None
            }
            Form::Host | Form::Nothing => None,
        }
    }

    /// Leaves to the host what neurons see as well.
    fn on_host_too(&mut self, id: NodeId) -> Option<NodeId> {
        self.on_host(id);
        self.host.values.get(&id).copied()
    }

    /// The payloads of the code 0 of a value, which are `code - zero point`: one for all, or one for
    /// each channel; none if all are 0.
    fn silent_codes(&self, id: NodeId) -> Vec<i64> {
        let q = self.quantised[id].ty.quantisation.as_ref();
        let zero: Vec<i64> = q.map_or_else(Vec::new, |q| q.zero_point.iter().map(|z| -z).collect());
        if zero.iter().all(|&z| z == 0) { Vec::new() } else { zero }
    }

    /// Adds a decoder, and the input of the host's graph that stands for it.
    fn show(&mut self, id: NodeId, shown: &Payloads, scale: Vec<f32>, zero: Vec<i64>) -> NodeId {
        let node = &self.quantised[id];
        let outputs = self.quantised.users(id).into_iter();
        let output = outputs
            .filter(|&user| matches!(self.quantised[user].as_tensor(), Some(TensorOp::Output)))
            .map(|user| &self.quantised[user].name)
            .next();
        let name = self.network.fresh_name(output.unwrap_or(&node.name));
        let decoder = Decoder { readout: Readout::Last, scale, zero };
        let shape = unbatched(&node.ty.shape);
        let mut decoder = Node::spiking(name.clone(), SpikingOp::Decoder(decoder), shape);
        decoder.ty.dtype = snnc_ir::DType::F32;
        self.network.add(decoder, &[shown.node]);
        let input = Node::tensor(node.name.clone(), TensorOp::Input, node.ty.clone())
            .with_origins(&[Origin { node: name, op: DECODER.into() }]);
        let input = self.host.graph.add(input, &[]);
        self.host.values.insert(id, input);
        input
    }

    /// Gives the host's graph the outputs of the model, in their order.
    pub(super) fn outputs(&mut self) {
        for output in self.quantised.outputs() {
            let Some(source) = self.quantised.source(output, 0) else { continue };
            if let Some(value) = self.host_value(source) {
                self.host.graph.add(self.quantised[output].clone(), &[value]);
            }
        }
    }
}
