//! Whole graphs.

use std::collections::HashMap;

use snnc_ir::{DType, Graph, NodeId, Op, Tensor, TensorOp, TensorType};

use super::evaluate::{apply, check};
use super::packed::Packed;
use super::{RunError, Value, codes};
use crate::kernels::{Isa, Kernels};

/// A tensor graph made ready to run any number of times, on any number of threads at once.
#[derive(Clone, Debug)]
pub struct Program {
    inputs: Vec<NodeId>,
    steps: Vec<Step>,
    outputs: Vec<(String, usize)>,
}

/// One node: what it does, with which values, and which values nobody needs after it.
#[derive(Clone, Debug)]
struct Step {
    id: NodeId,
    name: String,
    action: Action,
    operands: Vec<usize>,
    ty: TensorType,
    last_uses: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Action {
    /// Takes the input of that index.
    Input(usize),
    /// Is this value.
    Constant(Value),
    /// Applies this operator.
    Apply(TensorOp),
    /// Applies this operator with its packed weights where they serve.
    Packed(TensorOp, Box<Packed>),
    /// Was a constant that no run needs.
    Spent,
}

/// What a run computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The outputs in the order of [`Graph::outputs`], each with its node's name.
    pub outputs: Vec<(String, Value)>,
}

impl Outcome {
    /// The output of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.outputs.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The first output.
    pub fn first(&self) -> Option<&Value> {
        self.outputs.first().map(|(_, value)| value)
    }
}

impl Program {
    /// Orders the nodes, unpacks the constants, computes what depends on them alone, and checks that
    /// every operator can be applied.
    ///
    /// # Errors
    /// When there is a cycle, an operator of the spiking family, an operand with a delay, or an
    /// operator that does not fit its operands or has no result on constants.
    pub fn new(graph: &Graph) -> Result<Self, RunError> {
        Program::with_kernels(graph, Kernels::chosen())
    }

    /// As [`Program::new`], by given kernels; all give the same bits, and [`Kernels::Scalar`] leaves
    /// every operator as its definition reads.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub fn with_kernels(graph: &Graph, kernels: Kernels) -> Result<Self, RunError> {
        Program::build(graph, kernels, false)
    }

    /// As [`Program::new`], holding no weights but in the form in which they are multiplied: stored
    /// constants, dequantised or not, that no run needs are neither kept nor shown to observers.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub fn lean(graph: &Graph) -> Result<Self, RunError> {
        Program::build(graph, Kernels::chosen(), true)
    }

    fn build(graph: &Graph, kernels: Kernels, lean: bool) -> Result<Self, RunError> {
        let isa = Isa::of(kernels);
        let order = graph.order()?;
        let positions: HashMap<NodeId, usize> =
            order.iter().enumerate().map(|(position, &id)| (id, position)).collect();
        let inputs = graph.inputs();
        let mut steps = Vec::with_capacity(order.len());
        let mut readers: Vec<usize> = order.iter().map(|&id| graph.users(id).len()).collect();
        for &id in &order {
            let step = match lean.then(|| unpacked(graph, id, &positions)).flatten() {
                Some(step) => step,
                None => step(graph, id, &inputs, &positions).and_then(|step| folded(step, &steps)),
            };
            let step = step.map_err(|source| RunError::Node {
                node: graph[id].describe(),
                source: Box::new(source),
            })?;
            steps.push(match isa {
                Some(isa) => packed(step, &steps, isa),
                None => step,
            });
            if lean {
                spend(graph, id, &positions, &mut steps, &mut readers);
            }
        }
        let outputs: Vec<(String, usize)> = graph
            .outputs()
            .into_iter()
            .map(|id| (graph[id].name.clone(), positions[&id]))
            .collect();
        note_last_uses(&mut steps, &outputs);
        Ok(Program { inputs, steps, outputs })
    }

    /// Runs on one value for each graph input, in the order of [`Graph::inputs`].
    ///
    /// # Errors
    /// When an input is not of its node's type or an operation has no result; the error names the
    /// node.
    pub fn run(&self, inputs: &[Value]) -> Result<Outcome, RunError> {
        self.run_with(inputs, &mut |_, _| ())
    }

    /// Runs as [`Program::run`] does, and shows `observe` the value of every node, constants
    /// included, in order of computation.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_with(
        &self,
        inputs: &[Value],
        observe: &mut dyn FnMut(NodeId, &Value),
    ) -> Result<Outcome, RunError> {
        if inputs.len() != self.inputs.len() {
            return Err(RunError::Inputs { expected: self.inputs.len(), found: inputs.len() });
        }
        let mut values: Vec<Option<Value>> = vec![None; self.steps.len()];
        for (position, step) in self.steps.iter().enumerate() {
            if matches!(step.action, Action::Spent) {
                continue;
            }
            let value = self.value_of(step, inputs, &values).map_err(|source| RunError::Node {
                node: step.name.clone(),
                source: Box::new(source),
            })?;
            observe(step.id, &value);
            values[position] = Some(value);
            for &unneeded in &step.last_uses {
                values[unneeded] = None;
            }
        }
        let taken =
            |(name, position): &(String, usize)| Some((name.clone(), values[*position].clone()?));
        Ok(Outcome { outputs: self.outputs.iter().filter_map(taken).collect() })
    }

    fn value_of(
        &self,
        step: &Step,
        inputs: &[Value],
        values: &[Option<Value>],
    ) -> Result<Value, RunError> {
        let op = match &step.action {
            Action::Constant(value) => return Ok(value.clone()),
            Action::Input(index) => {
                let value = &inputs[*index];
                return if value.fits(&step.ty) {
                    Ok(value.clone())
                } else {
                    Err(value.misfit(&step.ty))
                };
            }
            Action::Spent => return Err(RunError::Unsupported("a constant has been freed")),
            Action::Apply(op) | Action::Packed(op, _) => op,
        };
        let operand = |&position: &usize| {
            let value = values[position].as_ref();
            let value = value.ok_or(RunError::Unsupported("an operand has been freed"))?;
            Ok((value, &self.steps[position].ty))
        };
        let operands = step.operands.iter().map(operand).collect::<Result<Vec<_>, RunError>>()?;
        if let (Action::Packed(_, packed), Some((x, ty))) = (&step.action, operands.first())
            && let Some(result) = packed.run(x, ty, &step.ty)
        {
            return result;
        }
        apply(op, &operands, &step.ty)
    }
}

fn step(
    graph: &Graph,
    id: NodeId,
    inputs: &[NodeId],
    positions: &HashMap<NodeId, usize>,
) -> Result<Step, RunError> {
    let node = &graph[id];
    let Op::Tensor(op) = &node.op else {
        return Err(RunError::Unsupported("is a part of a spiking network"));
    };
    let operands = graph.operands(id);
    if operands.iter().any(|o| o.delay != 0) {
        return Err(RunError::Unsupported("a tensor graph has no timesteps to delay by"));
    }
    let types: Vec<&TensorType> = operands.iter().map(|o| &graph[o.source].ty).collect();
    check(op, &types, &node.ty)?;
    let action = match op {
        TensorOp::Input => {
            let index = inputs.iter().position(|&input| input == id);
            Action::Input(index.ok_or(RunError::Unsupported("is no input of the graph"))?)
        }
        TensorOp::Constant => {
            let data = node.data.as_ref().ok_or(RunError::Unsupported("has no value"))?;
            let value = Value::from(data);
            if !value.fits(&node.ty) {
                return Err(value.misfit(&node.ty));
            }
            Action::Constant(value)
        }
        op => Action::Apply(op.clone()),
    };
    Ok(Step {
        id,
        name: node.describe(),
        action,
        operands: operands.iter().map(|o| positions[&o.source]).collect(),
        ty: node.ty.clone(),
        last_uses: Vec::new(),
    })
}

/// A step whose operands are all constants as the constant that it computes, so that weights are
/// dequantised once and not for every sample.
fn folded(step: Step, before: &[Step]) -> Result<Step, RunError> {
    let Action::Apply(op) = &step.action else { return Ok(step) };
    let constant = |&position: &usize| match &before[position] {
        Step { action: Action::Constant(value), ty, .. } => Some((value, ty)),
        _ => None,
    };
    match step.operands.iter().map(constant).collect::<Option<Vec<_>>>() {
        Some(operands) => {
            let value = apply(op, &operands, &step.ty)?;
            Ok(Step { action: Action::Constant(value), operands: Vec::new(), ..step })
        }
        None => Ok(step),
    }
}

/// A step whose weights, and bias if there is one, are constants, with those packed.
fn packed(step: Step, before: &[Step], isa: Isa) -> Step {
    let Action::Apply(op) = &step.action else { return step };
    let constant = |&position: &usize| match &before[position] {
        Step { action: Action::Constant(value), ty, .. } => Some((value, ty)),
        _ => None,
    };
    let found = match step.operands.as_slice() {
        [x, w] => constant(w).map(|w| (x, w, None)),
        [x, w, b] => constant(w).zip(constant(b)).map(|(w, b)| (x, w, Some(b))),
        _ => None,
    };
    let packed = found.and_then(|(x, w, b)| Packed::new(isa, op, &before[*x].ty, w, b, &step.ty));
    match packed {
        Some(packed) => Step { action: Action::Packed(op.clone(), Box::new(packed)), ..step },
        None => step,
    }
}

/// The step of stored codes that nobody but dequantisers reads, which is spent, or that of such a
/// dequantiser, which makes reals of the bytes: codes of 64 bits would be the largest thing in memory.
/// `None` for all other nodes.
fn unpacked(
    graph: &Graph,
    id: NodeId,
    positions: &HashMap<NodeId, usize>,
) -> Option<Result<Step, RunError>> {
    let node = &graph[id];
    let step = |action| Step {
        id,
        name: node.describe(),
        action,
        operands: Vec::new(),
        ty: node.ty.clone(),
        last_uses: Vec::new(),
    };
    match node.as_tensor()? {
        TensorOp::Constant => codes_alone(graph, id).map(|_| Ok(step(Action::Spent))),
        TensorOp::Dequantise(q) => {
            let source = graph.source(id, 0).filter(|s| positions.contains_key(s))?;
            let value = codes::dequantise_stored(codes_alone(graph, source)?, q, &node.ty);
            Some(value.map(|value| step(Action::Constant(value))))
        }
        _ => None,
    }
}

/// The codes of a constant whose only readers are dequantisers, as they should be.
fn codes_alone(graph: &Graph, id: NodeId) -> Option<&Tensor> {
    let data = graph[id].data.as_ref()?;
    let users = graph.users(id);
    let fits = |&user: &NodeId| {
        let (node, operands) = (&graph[user], graph.operands(user));
        let Some(op @ TensorOp::Dequantise(_)) = node.as_tensor() else { return false };
        node.ty.dtype == DType::F32
            && operands.len() == 1
            && operands[0].delay == 0
            && check(op, &[&graph[id].ty], &node.ty).is_ok()
    };
    let stored = graph[id].ty.dtype == data.dtype() && graph[id].ty.shape == data.shape();
    (stored && !data.dtype().is_float() && !users.is_empty() && users.iter().all(fits))
        .then_some(data)
}

/// Frees the constants of which the last step, that of node `id`, was the last reader, if it has what
/// it needs of them.
fn spend(
    graph: &Graph,
    id: NodeId,
    positions: &HashMap<NodeId, usize>,
    steps: &mut [Step],
    readers: &mut [usize],
) {
    let Some(step) = steps.last_mut() else { return };
    let kept = match &step.action {
        Action::Constant(_) => 0,
        Action::Packed(_, packed) if packed.is_complete() => 1,
        _ => return,
    };
    step.operands.truncate(kept);
    for source in graph.sources(id).into_iter().skip(kept) {
        let position = positions[&source];
        readers[position] = readers[position].saturating_sub(1);
        let stored =
            matches!(graph[source].as_tensor(), Some(TensorOp::Constant | TensorOp::Dequantise(_)));
        if readers[position] == 0 && stored && matches!(steps[position].action, Action::Constant(_))
        {
            steps[position].action = Action::Spent;
        }
    }
}

/// Notes at each step the values that no later step and no output needs.
fn note_last_uses(steps: &mut [Step], outputs: &[(String, usize)]) {
    let mut last: Vec<usize> = (0..steps.len()).collect();
    for (position, step) in steps.iter().enumerate() {
        for &operand in &step.operands {
            last[operand] = position;
        }
    }
    for (_, position) in outputs {
        last[*position] = usize::MAX;
    }
    for (value, &user) in last.iter().enumerate() {
        if let Some(step) = steps.get_mut(user) {
            step.last_uses.push(value);
        }
    }
}
