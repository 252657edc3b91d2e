//! Which values of a float network are sent as payloads, and so need a quantiser.

use std::collections::HashSet;

use snnc_ir::query::keeps_grid;
use snnc_ir::{Binary, Graph, NodeId, TensorOp, Unary};

use crate::passes::{self, tail};

/// A value that needs a quantiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The node whose output it is.
    pub node: NodeId,
    /// Its name, the key of statistics.
    pub name: String,
    /// Whether it can be negative.
    pub signed: bool,
    /// Whether it is a graph input, or one that is normalised channel by channel.
    pub input: bool,
}

/// The sites of a canonical network of the tensor stage, in order of computation.
pub fn sites(graph: &Graph) -> Vec<Site> {
    let order = graph.order().unwrap_or_default();
    // What the host computes takes reals as they are; means and largest values do well on codes.
    let mut host = tail::of_reals(graph);
    host.retain(|&id| !matches!(graph[id].as_tensor(), Some(TensorOp::Pool(_))));
    let coded = coded(graph);
    let mut positive: HashSet<NodeId> = HashSet::new();
    let mut found = Vec::new();
    for id in order {
        if is_positive(graph, id, &positive) {
            positive.insert(id);
        }
        let Some(op) = graph[id].as_tensor() else { continue };
        let input = matches!(op, TensorOp::Input);
        if coded.contains(&id) || !graph[id].ty.dtype.is_float() {
            continue;
        }
        if !input && (keeps_grid(op) || matches!(op, TensorOp::Constant | TensorOp::Output)) {
            continue;
        }
        if graph.users(id).into_iter().any(|user| needs_codes(graph, &host, id, user)) {
            let name = graph[id].name.clone();
            let input = input || is_normalised_input(graph, id);
            found.push(Site { node: id, name, signed: !positive.contains(&id), input });
        }
    }
    found
}

/// The values of a network that stand for codes by quantisers of the model: what is dequantised, what moves
/// and rectifies it, and means of it, which are sums of codes.
pub(super) fn coded(graph: &Graph) -> HashSet<NodeId> {
    let mut found: HashSet<NodeId> = HashSet::new();
    for id in graph.order().unwrap_or_default() {
        let Some(op) = graph[id].as_tensor() else { continue };
        let sources = graph.sources(id);
        let first = sources.first().is_some_and(|s| found.contains(s));
        let is = match op {
            TensorOp::Dequantise(_) => sources.first().is_some_and(|&s| graph[s].data.is_none()),
            TensorOp::Quantise(_) | TensorOp::Threshold(_) => false,
            TensorOp::Pool(_) | TensorOp::Unary(Unary::Relu) => first,
            op => keeps_grid(op) && first,
        };
        if is {
            found.insert(id);
        }
    }
    found
}

/// Whether a layer is on codes by the model itself: its operand and its weights.
pub(super) fn is_on_codes(graph: &Graph, coded: &HashSet<NodeId>, layer: NodeId) -> bool {
    let [x, weights] = [0, 1].map(|port| graph.source(layer, port));
    let dequantised = |id: NodeId| matches!(graph[id].as_tensor(), Some(TensorOp::Dequantise(_)));
    x.is_some_and(|x| coded.contains(&x)) && weights.is_some_and(dequantised)
}

/// Whether a network with quantisers has reals that it leaves to calibration: values that are sent, or
/// weights.
pub fn is_partly_quantised(graph: &Graph) -> bool {
    let real_weights = |id: NodeId| {
        let layer = graph[id].as_tensor().is_some_and(is_layer);
        let weights = graph.source(id, 1).filter(|_| layer);
        weights.is_some_and(|w| graph[w].data.as_ref().is_some_and(|d| d.dtype().is_float()))
    };
    let open = graph.ids().any(real_weights) || !sites(graph).is_empty();
    // What lowers as it is needs nothing, whatever it looks like.
    open && passes::quantised(graph.clone(), &mut passes::Context::default()).is_err()
}

fn is_layer(op: &TensorOp) -> bool {
    matches!(
        op,
        TensorOp::Convolution { .. } | TensorOp::TransposedConvolution { .. } | TensorOp::Dense
    )
}

/// Whether a value is a graph input with a factor and a shift for each channel.
fn is_normalised_input(graph: &Graph, id: NodeId) -> bool {
    let Some(TensorOp::Convolution { window, groups }) = graph[id].as_tensor() else {
        return false;
    };
    let of_input = graph.source(id, 0).and_then(|x| graph[x].as_tensor());
    matches!(of_input, Some(TensorOp::Input))
        && graph[id].ty.shape.get(1) == Some(groups)
        && window.kernel.iter().all(|&k| k == 1)
}

fn is_rectifier(op: &TensorOp) -> bool {
    match op {
        TensorOp::Unary(Unary::Relu) => true,
        TensorOp::Clip { minimum, .. } => *minimum == Some(0.0),
        _ => false,
    }
}

/// Whether `user` is a function of `source` alone, channel by channel, that never falls: its thresholds
/// are found with those of the quantiser behind it.
fn joins(graph: &Graph, source: NodeId, user: NodeId) -> bool {
    match graph[user].as_tensor() {
        Some(TensorOp::Unary(Unary::Sigmoid | Unary::Tanh | Unary::Softplus | Unary::Erf)) => true,
        Some(TensorOp::Unary(Unary::LeakyRelu { alpha } | Unary::HardSigmoid { alpha, .. })) => {
            *alpha >= 0.0
        }
        Some(TensorOp::Binary(Binary::Slope)) => {
            let slope = graph.source(user, 1).filter(|_| graph.source(user, 0) == Some(source));
            slope.is_some_and(|slope| is_slope_of_channels(graph, user, slope))
        }
        _ => false,
    }
}

/// Whether a slope is a constant that is not negative, one for each channel of node `id` at most.
fn is_slope_of_channels(graph: &Graph, id: NodeId, slope: NodeId) -> bool {
    let Some(value) = graph[slope].data.as_ref().filter(|d| d.dtype().is_float()) else {
        return false;
    };
    let shape = value.shape();
    let Some(trailing) = graph[id].ty.shape.len().checked_sub(shape.len()) else { return false };
    let along = |(axis, &extent): (usize, &usize)| extent == 1 || axis + trailing == 1;
    shape.iter().enumerate().all(along) && value.to_f32().iter().all(|s| *s >= 0.0)
}

/// Whether `user` can only work on codes of `source`.
fn needs_codes(graph: &Graph, host: &HashSet<NodeId>, source: NodeId, user: NodeId) -> bool {
    if host.contains(&user) {
        return false;
    }
    let (Some(from), Some(op)) = (graph[source].as_tensor(), graph[user].as_tensor()) else {
        return false;
    };
    match op {
        // A rectifier joins the requantiser behind it.
        _ if is_rectifier(op) => false,
        // So does what never falls, behind one accumulator.
        _ if is_layer(from) && joins(graph, source, user) => false,
        // Accumulators meet in an addition as they are.
        TensorOp::Binary(Binary::Add) if is_layer(from) => false,
        TensorOp::Quantise(_) | TensorOp::Threshold(_) => false,
        op if keeps_grid(op) && !matches!(op, TensorOp::Pool(_)) => {
            graph.users(user).into_iter().any(|next| needs_codes(graph, host, user, next))
        }
        _ => true,
    }
}

fn is_positive(graph: &Graph, id: NodeId, positive: &HashSet<NodeId>) -> bool {
    let Some(op) = graph[id].as_tensor() else { return false };
    let sources = graph.sources(id);
    match op {
        op if is_rectifier(op) => true,
        TensorOp::Unary(
            Unary::Sigmoid | Unary::HardSigmoid { .. } | Unary::Softplus | Unary::Exp,
        ) => true,
        TensorOp::Pool(_) | TensorOp::Concatenate { .. } | TensorOp::Binary(Binary::Add) => {
            sources.iter().all(|s| positive.contains(s))
        }
        op if keeps_grid(op) => sources.first().is_some_and(|s| positive.contains(s)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUANTISED: &str = r#"snnir 1 tensor "part" {"timesteps":1,"schedule":"streaming"}
%x = input () : f32[1,2]
%x_q = quantise {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255} (%x) : u8[1,2] quantised {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255}
%x_dq = dequantise {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255} (%x_q) : f32[1,2]
%w_q = constant () : i8[2,2]
  data i8[2,2] 1 -2 3 0
%w = dequantise {"scale":[0.25],"zero_point":[0],"minimum":-128,"maximum":127} (%w_q) : f32[2,2]
%one = dense (%x_dq, %w) : f32[1,2]
%relu = unary "relu" (%one) : f32[1,2]
"#;

    fn graph(rest: &str) -> Graph {
        Graph::from_text(&format!("{QUANTISED}{rest}")).unwrap()
    }

    fn names(graph: &Graph) -> Vec<String> {
        sites(graph).into_iter().map(|site| site.name).collect()
    }

    #[test]
    fn values_without_a_quantiser_are_left_to_calibration() {
        let open = graph("%two = dense (%relu, %w) : f32[1,2]\n%y = output (%two) : f32[1,2]\n");
        assert_eq!(names(&open), ["relu"]);
        assert!(is_partly_quantised(&open));
    }

    #[test]
    fn values_with_a_quantiser_of_the_model_are_not() {
        let closed = graph(
            r#"%r_q = quantise {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255} (%relu) : u8[1,2] quantised {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255}
%r_dq = dequantise {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255} (%r_q) : f32[1,2]
%two = dense (%r_dq, %w) : f32[1,2]
%y = output (%two) : f32[1,2]
"#,
        );
        assert_eq!(names(&closed), Vec::<String>::new());
        assert!(!is_partly_quantised(&closed));
    }

    #[test]
    fn real_weights_are_left_to_calibration() {
        let open = graph(
            r#"%r_q = quantise {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255} (%relu) : u8[1,2] quantised {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255}
%r_dq = dequantise {"scale":[0.5],"zero_point":[0],"minimum":0,"maximum":255} (%r_q) : f32[1,2]
%v = constant () : f32[2,2]
  data f32[2,2] 1 -2 3 0.5
%two = dense (%r_dq, %v) : f32[1,2]
%y = output (%two) : f32[1,2]
"#,
        );
        assert_eq!(names(&open), Vec::<String>::new());
        assert!(is_partly_quantised(&open));
        let on_codes = coded(&open);
        let of = |name: &str| is_on_codes(&open, &on_codes, open.find(name).unwrap());
        assert_eq!((of("one"), of("two")), (true, false));
    }

    #[test]
    fn slopes_that_never_fall_join_the_quantiser_behind_them() {
        let text = |slope: &str| {
            format!(
                r#"snnir 1 tensor "slope" {{"timesteps":1,"schedule":"streaming"}}
%x = input () : f32[1,2]
%v = constant () : f32[2,2]
  data f32[2,2] 1 -2 3 0.5
%one = dense (%x, %v) : f32[1,2]
%slope = constant () : f32[2]
  data f32[2] 0.5 {slope}
%prelu = binary "slope" (%one, %slope) : f32[1,2]
%two = dense (%prelu, %v) : f32[1,2]
%y = output (%two) : f32[1,2]
"#
            )
        };
        let of = |slope: &str| names(&Graph::from_text(&text(slope)).unwrap());
        assert_eq!(of("0.25"), ["x", "prelu"]);
        assert_eq!(of("-0.25"), ["x", "one", "prelu"]);
    }
}
