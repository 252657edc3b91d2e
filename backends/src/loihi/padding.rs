//! Padding that differs on the two sides of a map, made alike by zeros in the kernel.
//!
//! A kernel that begins some cells earlier, with weights of 0, reads the same of a map that is padded by
//! as many cells more in front. What is left over at the end is padding that no window needs.

use snnc_ir::{
    Connectivity, Graph, NodeId, Op, Projection, SpikingOp, Tensor, Verified, Window, verify,
};

use super::Note;

/// The network with every convolution padded alike on both sides, where whole steps of its kernel make
/// that possible, and what was done.
pub(super) fn alike(network: &Verified) -> (Verified, Vec<Note>) {
    let (mut graph, mut notes) = (Graph::clone(network), Vec::new());
    for id in graph.ids().collect::<Vec<NodeId>>() {
        if let Some((from, to)) = widen(&mut graph, id) {
            let text = format!(
                "its kernel of {from:?} is widened to {to:?} by zeros, so that both sides are padded alike"
            );
            notes.push(Note { node: graph[id].describe(), text });
        }
    }
    match verify(graph) {
        Ok(graph) => (graph, notes),
        // What is wrong is said of the network as it came.
        Err(_) => (network.clone(), Vec::new()),
    }
}

/// Cells before and after the kernel of one axis, and the padding of either side then.
fn added(window: &Window, axis: usize) -> Option<(usize, usize, usize)> {
    let (before, after) = (window.before[axis], window.after[axis]);
    let dilation = window.dilations[axis].max(1);
    let most = before.max(after);
    if !before.abs_diff(after).is_multiple_of(dilation) {
        return None;
    }
    let cells = before.abs_diff(after) / dilation;
    Some(if before < after { (cells, 0, most) } else { (0, cells, most) })
}

/// Kernel before and after.
fn widen(graph: &mut Graph, id: NodeId) -> Option<(Vec<usize>, Vec<usize>)> {
    let Op::Spiking(SpikingOp::Projection(p)) = &graph[id].op else { return None };
    let Connectivity::Convolution { window, groups } = &p.connectivity else { return None };
    if window.before == window.after || window.rank() != 2 || !p.delays.is_empty() {
        return None;
    }
    let data = graph[id].data.as_ref().filter(|d| !d.dtype().is_float())?;
    let (y, x) = (added(window, 0)?, added(window, 1)?);
    let [height, width] = *window.kernel.as_slice() else { return None };
    let (tall, wide) = (y.0 + height + y.1, x.0 + width + x.1);
    let kernels = data.len() / (height * width).max(1);
    let mut weights = vec![0; kernels * tall * wide];
    for (i, w) in data.to_i64().ok()?.into_iter().enumerate() {
        let (kernel, cell) = (i / (height * width), i % (height * width));
        let (row, column) = (y.0 + cell / width, x.0 + cell % width);
        weights[(kernel * tall + row) * wide + column] = w;
    }
    let shape = [&data.shape()[..2], &[tall, wide]].concat();
    let widened = Tensor::from_i64(data.dtype(), &shape, &weights);
    let from = window.kernel.clone();
    let window = Window {
        kernel: vec![tall, wide],
        before: vec![y.2, x.2],
        after: vec![y.2, x.2],
        ..window.clone()
    };
    let connectivity = Connectivity::Convolution { window, groups: *groups };
    let projection = Projection { connectivity, ..p.clone() };
    graph[id].op = Op::Spiking(SpikingOp::Projection(projection));
    graph[id].data = Some(widened);
    Some((from, vec![tall, wide]))
}
