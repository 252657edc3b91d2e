//! Shape and type inference, operator by operator.

use crate::{
    Connectivity, DType, Graph, NodeId, Op, Pool, SpikingOp, Tensor, TensorOp, TensorType, Window,
};

/// Why an operator cannot be applied to its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// Too few or too many operands.
    #[error("takes {expected} operands, but has {found}")]
    Arity {
        /// Allowed number.
        expected: &'static str,
        /// Operands present.
        found: usize,
    },
    /// Dimensions do not go together.
    #[error("{0}")]
    Shape(String),
    /// The element type is not one the operator takes.
    #[error("does not take {0} elements")]
    DType(DType),
}

fn shape_error<T>(message: impl Into<String>) -> Result<T, InferError> {
    Err(InferError::Shape(message.into()))
}

/// Number of windows along each spatial dimension of `spatial`, rounding down or, for ONNX's
/// `ceil_mode`, up (a last window that would begin in the padding after is dropped).
///
/// # Errors
/// When ranks differ, a window does not fit, or a stride, dilation or kernel is 0.
pub fn window_outputs(
    window: &Window,
    spatial: &[usize],
    ceil: bool,
) -> Result<Vec<usize>, InferError> {
    let rank = window.rank();
    let parts = [&window.strides, &window.dilations, &window.before, &window.after];
    if spatial.len() != rank || parts.iter().any(|p| p.len() != rank) {
        return shape_error(format!(
            "the window has rank {rank}, the map has rank {}",
            spatial.len()
        ));
    }
    let mut outputs = Vec::with_capacity(rank);
    for (i, &cells) in spatial.iter().enumerate() {
        let (kernel, stride, dilation) = (window.kernel[i], window.strides[i], window.dilations[i]);
        if kernel == 0 || stride == 0 || dilation == 0 {
            return shape_error("kernel, stride and dilation must be at least 1");
        }
        let overflow = || InferError::Shape("the window is too large".into());
        let extent = (kernel - 1)
            .checked_mul(dilation)
            .and_then(|e| e.checked_add(1))
            .ok_or_else(overflow)?;
        let padded = cells
            .checked_add(window.before[i])
            .and_then(|p| p.checked_add(window.after[i]))
            .ok_or_else(overflow)?;
        let Some(room) = padded.checked_sub(extent) else {
            return shape_error(format!("a window of {extent} does not fit into {padded} cells"));
        };
        let mut count = if ceil { room.div_ceil(stride) + 1 } else { room / stride + 1 };
        if ceil && (count - 1).saturating_mul(stride) >= cells + window.before[i] {
            count -= 1;
        }
        outputs.push(count);
    }
    Ok(outputs)
}

/// The output type of node `id` from its operands' types. For operators whose type carries
/// information of its own (constants, inputs, reshapes, slices..) it is checked instead.
///
/// # Errors
/// When the operands do not fit the operator.
pub fn infer_output(graph: &Graph, id: NodeId) -> Result<TensorType, InferError> {
    let node = &graph[id];
    let sources = graph.sources(id);
    let operands: Vec<&TensorType> = sources.iter().map(|&s| &graph[s].ty).collect();
    match &node.op {
        Op::Tensor(op) => infer_tensor_output(op, &operands, &node.ty),
        Op::Spiking(op) => infer_spiking(op, &operands, &node.ty, node.data.as_ref()),
    }
}

fn arity(
    operands: &[&TensorType],
    low: usize,
    high: usize,
    name: &'static str,
) -> Result<(), InferError> {
    if (low..=high).contains(&operands.len()) {
        Ok(())
    } else {
        Err(InferError::Arity { expected: name, found: operands.len() })
    }
}

/// The output type of a tensor operator on operands of the given types, `own` being the type that
/// its node states.
///
/// # Errors
/// When the operands do not fit the operator, or a shape has more elements than memory.
pub fn infer_tensor_output(
    op: &TensorOp,
    operands: &[&TensorType],
    own: &TensorType,
) -> Result<TensorType, InferError> {
    use TensorOp::*;
    for ty in operands.iter().copied().chain([own]) {
        // A dimension of 0 does not excuse the others: products of some of them are formed too.
        let product = ty.shape.iter().try_fold(1usize, |p, &d| p.checked_mul(d.max(1)));
        if product.is_none() {
            return shape_error(format!("{:?} has too many elements", ty.shape));
        }
    }
    let expected = match op {
        Input | Constant => ("0", 0, 0),
        Convolution { .. } | TransposedConvolution { .. } | Dense => ("2 or 3", 2, 3),
        MatrixProduct | Binary(_) | Gather { .. } => ("2", 2, 2),
        BatchNormalisation { .. } => ("5", 5, 5),
        Select => ("3", 3, 3),
        Concatenate { .. } | Requantise | RequantiseSum => ("at least 1", 1, usize::MAX),
        _ => ("1", 1, 1),
    };
    arity(operands, expected.1, expected.2, expected.0)?;
    let with_shape = |shape: Vec<usize>| TensorType { shape, ..own.clone() };
    Ok(match op {
        Input | Constant => own.clone(),
        Output => operands[0].clone(),
        Quantise(q) => {
            if !operands[0].dtype.is_float() {
                return Err(InferError::DType(operands[0].dtype));
            }
            let ty = TensorType::new(own.dtype, operands[0].shape.clone());
            ty.quantised(q.clone())
        }
        Dequantise(_) => TensorType::new(DType::F32, operands[0].shape.clone()),
        Requantise | RequantiseSum => with_shape(broadcast_all(operands)?),
        Lookup { .. } | Threshold(_) | Clip { .. } | Unary(_) | Cast | Softmax { .. } => {
            with_shape(operands[0].shape.clone())
        }
        BatchNormalisation { .. } => with_shape(operands[0].shape.clone()),
        Convolution { window, groups } => with_shape(convolution(window, *groups, operands)?),
        TransposedConvolution { window, groups } => {
            with_shape(transposed(window, *groups, operands, own)?)
        }
        Dense => with_shape(dense(operands)?),
        MatrixProduct => with_shape(matrix_product(&operands[0].shape, &operands[1].shape)?),
        Pool(pool) => with_shape(pooled(pool, &operands[0].shape, &own.shape)?),
        Binary(_) | Select => with_shape(broadcast_all(operands)?),
        Reshape => {
            if operands[0].len() != own.len() {
                return shape_error(format!(
                    "{:?} cannot be reshaped to {:?}",
                    operands[0].shape, own.shape
                ));
            }
            own.clone()
        }
        Transpose { permutation } => {
            let mut sorted = permutation.clone();
            sorted.sort_unstable();
            if sorted.iter().copied().ne(0..operands[0].shape.len()) {
                return shape_error(format!(
                    "{permutation:?} does not permute {:?}",
                    operands[0].shape
                ));
            }
            with_shape(permutation.iter().map(|&p| operands[0].shape[p]).collect())
        }
        Concatenate { axis } => with_shape(concatenated(*axis, operands)?),
        Pad { before, after, .. } => with_shape(padded(before, after, &operands[0].shape)?),
        Gather { axis } => {
            let (data, indices) = (&operands[0].shape, &operands[1].shape);
            let Some((left, right)) = data.split_at_checked(*axis).filter(|(_, r)| !r.is_empty())
            else {
                return shape_error(format!("axis {axis} is not one of {data:?}"));
            };
            with_shape([left, indices.as_slice(), &right[1..]].concat())
        }
        Slice { start, step } => {
            sliced(start, step, &operands[0].shape, &own.shape)?;
            own.clone()
        }
        Expand => {
            if broadcast(&operands[0].shape, &own.shape)? != own.shape {
                return shape_error(format!(
                    "{:?} does not expand to {:?}",
                    operands[0].shape, own.shape
                ));
            }
            own.clone()
        }
        Upsample { factors } => {
            if factors.len() != operands[0].shape.len() {
                return shape_error("as many factors as dimensions are needed");
            }
            let product = |(d, f): (&usize, &usize)| d.checked_mul(*f);
            match operands[0].shape.iter().zip(factors).map(product).collect() {
                Some(shape) => with_shape(shape),
                None => return shape_error("the upsampled shape is too large"),
            }
        }
        Reduce { axes, .. } => reduced(axes, &operands[0].shape, own)?,
        ArgMax { axis } => reduced(std::slice::from_ref(axis), &operands[0].shape, own)?,
    })
}

fn infer_spiking(
    op: &SpikingOp,
    operands: &[&TensorType],
    own: &TensorType,
    data: Option<&Tensor>,
) -> Result<TensorType, InferError> {
    let with_shape = |shape: Vec<usize>| TensorType { shape, ..own.clone() };
    Ok(match op {
        SpikingOp::Encoder(_) => {
            arity(operands, 0, 0, "0")?;
            own.clone()
        }
        SpikingOp::Projection(projection) => {
            arity(operands, 1, 1, "1")?;
            let Some(weights) = data else { return shape_error("the projection has no weights") };
            let ty = weights.tensor_type();
            match &projection.connectivity {
                Connectivity::Dense => {
                    let &[out, inputs] = weights.shape() else {
                        return shape_error("dense weights have 2 dimensions");
                    };
                    if inputs != operands[0].len() {
                        return shape_error(format!(
                            "weights for {inputs} sources, but {} neurons project",
                            operands[0].len()
                        ));
                    }
                    if own.len() != out {
                        return shape_error(format!("weights for {out} targets, but type {own}"));
                    }
                    own.clone()
                }
                Connectivity::Convolution { window, groups } => {
                    let batched = TensorType {
                        shape: [&[1], operands[0].shape.as_slice()].concat(),
                        ..own.clone()
                    };
                    with_shape(convolution(window, *groups, &[&batched, &ty])?[1..].to_vec())
                }
                Connectivity::OneToOne => {
                    let channels = operands[0].shape.first().copied().unwrap_or(1);
                    if weights.len() != channels && weights.len() != 1 {
                        return shape_error(format!(
                            "{} weights for {channels} channels",
                            weights.len()
                        ));
                    }
                    with_shape(operands[0].shape.clone())
                }
            }
        }
        SpikingOp::Population(_) => {
            arity(operands, 1, usize::MAX, "at least 1")?;
            for operand in operands {
                if operand.shape != operands[0].shape {
                    return shape_error(format!(
                        "projections of shapes {:?} and {:?} meet",
                        operands[0].shape, operand.shape
                    ));
                }
            }
            with_shape(operands[0].shape.clone())
        }
        SpikingOp::MaxPool { window } | SpikingOp::RunningMaxPool { window } => {
            arity(operands, 1, 1, "1")?;
            let shape = &operands[0].shape;
            let Some((&channels, spatial)) = shape.split_first() else {
                return shape_error("no channels");
            };
            let out = fitting_outputs(window, spatial, own.shape.get(1..).unwrap_or_default())?;
            with_shape([&[channels], out.as_slice()].concat())
        }
        SpikingOp::Concatenate { axis } => {
            arity(operands, 1, usize::MAX, "at least 1")?;
            with_shape(concatenated(*axis, operands)?)
        }
        SpikingOp::Decoder(_) => {
            arity(operands, 1, 1, "1")?;
            if own.len() != operands[0].len() {
                return shape_error(format!(
                    "{} scores from {} neurons",
                    own.len(),
                    operands[0].len()
                ));
            }
            own.clone()
        }
    })
}

fn convolution(
    window: &Window,
    groups: usize,
    operands: &[&TensorType],
) -> Result<Vec<usize>, InferError> {
    let (x, w) = (&operands[0].shape, &operands[1].shape);
    if x.len() < 3 || w.len() != x.len() || w.len() != window.rank() + 2 {
        return shape_error(format!("a convolution of {x:?} with weights {w:?}"));
    }
    if w[2..] != window.kernel {
        return shape_error(format!("weights {w:?} for a kernel of {:?}", window.kernel));
    }
    if groups == 0 || x[1] % groups != 0 || w[0] % groups != 0 || w[1] != x[1] / groups {
        return shape_error(format!("weights {w:?} for {} channels in {groups} groups", x[1]));
    }
    bias_fits(operands, w[0])?;
    Ok([&[x[0], w[0]], window_outputs(window, &x[2..], false)?.as_slice()].concat())
}

fn bias_fits(operands: &[&TensorType], outputs: usize) -> Result<(), InferError> {
    match operands.get(2) {
        Some(bias) if bias.len() != outputs => {
            shape_error(format!("a bias of shape {:?} for {outputs} outputs", bias.shape))
        }
        _ => Ok(()),
    }
}

fn transposed(
    window: &Window,
    groups: usize,
    operands: &[&TensorType],
    own: &TensorType,
) -> Result<Vec<usize>, InferError> {
    let (x, w) = (&operands[0].shape, &operands[1].shape);
    if x.len() < 3 || w.len() != x.len() || groups == 0 || w[0] != x[1] || x[1] % groups != 0 {
        return shape_error(format!("a transposed convolution of {x:?} with weights {w:?}"));
    }
    let outputs = w[1].checked_mul(groups).ok_or(InferError::Shape("too many groups".into()))?;
    bias_fits(operands, outputs)?;
    let rank = window.rank();
    let parts = [&window.strides, &window.dilations, &window.before, &window.after];
    if own.shape.len() != x.len()
        || own.shape[..2] != [x[0], outputs]
        || rank + 2 != x.len()
        || w[2..] != window.kernel
        || parts.iter().any(|p| p.len() != rank)
    {
        return shape_error(format!("a transposed convolution of {x:?} to {:?}", own.shape));
    }
    Ok(own.shape.clone())
}

fn dense(operands: &[&TensorType]) -> Result<Vec<usize>, InferError> {
    let (x, w) = (&operands[0].shape, &operands[1].shape);
    let (&[n, k], &[f, wk]) = (x.as_slice(), w.as_slice()) else {
        return shape_error(format!("a dense layer takes matrices, not {x:?} and {w:?}"));
    };
    if k != wk {
        return shape_error(format!("weights {w:?} for {k} inputs"));
    }
    bias_fits(operands, f)?;
    Ok(vec![n, f])
}

fn matrix_product(a: &[usize], b: &[usize]) -> Result<Vec<usize>, InferError> {
    let (Some((&ka, left)), true) = (a.split_last(), !b.is_empty()) else {
        return shape_error("a matrix product takes no scalars");
    };
    let (kb, columns) =
        if b.len() == 1 { (b[0], None) } else { (b[b.len() - 2], Some(b[b.len() - 1])) };
    if ka != kb {
        return shape_error(format!("{a:?} times {b:?}"));
    }
    let row = if a.len() == 1 { None } else { left.last().copied() };
    let batch_a = &left[..left.len().saturating_sub(1)];
    let mut shape = broadcast(batch_a, &b[..b.len().saturating_sub(2)])?;
    shape.extend(row);
    shape.extend(columns);
    Ok(shape)
}

fn pooled(pool: &Pool, shape: &[usize], own: &[usize]) -> Result<Vec<usize>, InferError> {
    if shape.len() < 3 {
        return shape_error(format!("pooling of {shape:?}"));
    }
    let out = fitting_outputs(&pool.window, &shape[2..], own.get(2..).unwrap_or_default())?;
    Ok([&shape[..2], out.as_slice()].concat())
}

/// Outputs by rounding down, or by rounding up where that is what `own` says.
fn fitting_outputs(
    window: &Window,
    spatial: &[usize],
    own: &[usize],
) -> Result<Vec<usize>, InferError> {
    let ceil = window_outputs(window, spatial, true)?;
    if own == ceil { Ok(ceil) } else { window_outputs(window, spatial, false) }
}

fn concatenated(axis: usize, operands: &[&TensorType]) -> Result<Vec<usize>, InferError> {
    let mut shape = operands[0].shape.clone();
    if axis >= shape.len() {
        return shape_error(format!("axis {axis} is not one of {shape:?}"));
    }
    for operand in &operands[1..] {
        let same = |i: usize| i == axis || operand.shape[i] == shape[i];
        if operand.shape.len() != shape.len() || !(0..shape.len()).all(same) {
            return shape_error(format!(
                "{shape:?} and {:?} do not join along {axis}",
                operand.shape
            ));
        }
        shape[axis] = shape[axis].saturating_add(operand.shape[axis]);
    }
    Ok(shape)
}

fn padded(before: &[isize], after: &[isize], shape: &[usize]) -> Result<Vec<usize>, InferError> {
    if before.len() != shape.len() || after.len() != shape.len() {
        return shape_error("padding needs a count before and after each dimension");
    }
    let grow =
        |(i, &d): (usize, &usize)| d.checked_add_signed(before[i])?.checked_add_signed(after[i]);
    match shape.iter().enumerate().map(grow).collect::<Option<Vec<_>>>() {
        Some(shape) => Ok(shape),
        None => {
            shape_error(format!("padding by {before:?} and {after:?} leaves nothing of {shape:?}"))
        }
    }
}

fn sliced(
    start: &[usize],
    step: &[isize],
    shape: &[usize],
    own: &[usize],
) -> Result<(), InferError> {
    if start.len() != shape.len() || step.len() != shape.len() || own.len() != shape.len() {
        return shape_error("a slice needs a start and a step for each dimension");
    }
    for i in 0..shape.len() {
        if own[i] == 0 {
            continue;
        }
        let last = start[i] as i128 + step[i] as i128 * (own[i] as i128 - 1);
        if start[i] >= shape[i] || !(0..shape[i] as i128).contains(&last) {
            return shape_error(format!("a slice reaches beyond {shape:?}"));
        }
    }
    Ok(())
}

fn reduced(axes: &[usize], shape: &[usize], own: &TensorType) -> Result<TensorType, InferError> {
    if axes.iter().any(|&a| a >= shape.len()) {
        return shape_error(format!("axes {axes:?} are not all of {shape:?}"));
    }
    let keep: Vec<usize> =
        shape.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
    let drop: Vec<usize> =
        shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect();
    let shape = if own.shape == drop { drop } else { keep };
    Ok(TensorType { shape, ..own.clone() })
}

fn broadcast_all(operands: &[&TensorType]) -> Result<Vec<usize>, InferError> {
    operands.iter().try_fold(Vec::new(), |shape, operand| broadcast(&shape, &operand.shape))
}

/// NumPy's broadcasting of two shapes.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, InferError> {
    let rank = a.len().max(b.len());
    let dim = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    (0..rank)
        .map(|i| match (dim(a, i), dim(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => shape_error(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

#[cfg(test)]
mod tests;
