//! Forms of a network that readers of NIR agree on.
//!
//! `nir` 1.0.8 gives grouped convolutions and kernels that are not square a wrong type, snnTorch 1.0
//! and Norse 1.1 leave resistances out or ask for 1: such networks are written in an equal form
//! that they read.

use snnc_ir::{PerChannel, RealNetwork, RealOp, Window};

/// The side of a square kernel, and the cells before the given one along each axis, with which the
/// padding is the same on both sides; none where no side gives that.
fn square_kernel(window: &Window) -> Option<(usize, Vec<usize>)> {
    let largest = *window.kernel.iter().max()?;
    let smallest = window.kernel.iter().min()?;
    let most = window.before.iter().chain(&window.after).max()? + (largest - smallest) + 1;
    let axis = |side: usize, axis: usize| {
        let more = (side - window.kernel[axis]) as isize;
        let uneven = window.after[axis] as isize - window.before[axis] as isize;
        let dilation = window.dilations[axis].max(1) as isize;
        let (cells, rest) = (uneven / dilation, uneven % dilation);
        let whole = rest == 0 && (more + cells) % 2 == 0 && cells.abs() <= more;
        whole.then_some(((more + cells) / 2) as usize)
    };
    (largest..=largest + most).find_map(|side| {
        let before: Option<Vec<usize>> = (0..window.rank()).map(|i| axis(side, i)).collect();
        Some((side, before?))
    })
}

/// The same convolution without groups, with a square kernel and the same padding on both sides,
/// zeros in what is added; the kernel stays where that is not possible. `weights` are
/// (F, C/groups, kernel..) for a map of shape `source`.
pub(super) fn square(
    window: &Window,
    groups: usize,
    (weights, source): (&[f32], &[usize]),
) -> (Window, Vec<f32>) {
    let channels = source.first().copied().unwrap_or(1);
    let old: usize = window.kernel.iter().product::<usize>().max(1);
    let inner = (channels / groups.max(1)).max(1);
    let filters = weights.len() / old / inner;
    let group = (filters / groups.max(1)).max(1);
    let (mut wide, mut before) = (window.clone(), vec![0; window.rank()]);
    if let Some((side, added)) = square_kernel(window) {
        for (axis, &cells) in added.iter().enumerate() {
            let more = side - window.kernel[axis];
            wide.kernel[axis] = side;
            wide.before[axis] += cells * window.dilations[axis];
            wide.after[axis] += (more - cells) * window.dilations[axis];
        }
        before = added;
    }
    let new: usize = wide.kernel.iter().product::<usize>().max(1);
    let mut spread = vec![0.0; filters * channels * new];
    for (i, &w) in weights.iter().enumerate() {
        let (f, c, cell) = (i / (inner * old), i / old % inner, i % old);
        let target = match (window.kernel.as_slice(), wide.kernel.as_slice(), &before[..]) {
            (&[_, width], &[_, side], &[above, left]) => {
                (cell / width + above) * side + cell % width + left
            }
            (_, _, &[left]) => cell + left,
            _ => cell,
        };
        let channel = f / group * inner + c;
        if let Some(place) = spread.get_mut((f * channels + channel) * new + target) {
            *place = w;
        }
    }
    (wide, spread)
}

/// The network with resistances of 1 where what arrives can be scaled instead, and convolutions in
/// the form of [`square`]; the names of neurons whose resistance stayed.
pub(super) fn portable(network: &RealNetwork) -> (RealNetwork, Vec<String>) {
    let (mut changed, mut stayed) = (network.clone(), Vec::new());
    for node in 0..network.nodes.len() {
        let source = network.sources(node).find(|(_, late)| !late).map(|(s, _)| s);
        if let (RealOp::Output, Some(source)) = (&network.nodes[node].op, source) {
            // Some writers add dimensions of 1, which `nir` refuses.
            changed.nodes[node].shape.clone_from(&network.nodes[source].shape);
        }
        if let (RealOp::Convolution { window, groups, weights, bias }, Some(source)) =
            (&network.nodes[node].op, source)
        {
            let shape = &network.nodes[source].shape;
            let (window, weights) = square(window, *groups, (weights, shape));
            let bias = bias.clone();
            changed.nodes[node].op = RealOp::Convolution { window, groups: 1, weights, bias };
        }
    }
    for node in 0..network.nodes.len() {
        let RealOp::Neurons(n) = &network.nodes[node].op else { continue };
        if n.leak.is_none() || n.synapses.is_some() || n.resistance.iter().all(|&r| r == 1.0) {
            continue;
        }
        let resistance = n.resistance.clone();
        let sources: Vec<usize> = network.sources(node).map(|(s, _)| s).collect();
        let alone =
            sources.iter().all(|s| network.edges.iter().filter(|e| e.source == *s).count() == 1);
        let scaled: Option<Vec<RealOp>> = sources
            .iter()
            .map(|&s| scale(&changed.nodes[s].op, &resistance, &network.nodes[node].shape))
            .collect();
        match scaled.filter(|_| alone) {
            Some(ops) => {
                for (source, op) in sources.into_iter().zip(ops) {
                    changed.nodes[source].op = op;
                }
                if let RealOp::Neurons(n) = &mut changed.nodes[node].op {
                    n.resistance.fill(1.0);
                }
            }
            None => stayed.push(network.nodes[node].name.clone()),
        }
    }
    (changed, stayed)
}

/// The same operator, its result times a factor for each element; none where it has no weights, or
/// a channel has several factors.
fn scale(op: &RealOp, factor: &[f32], shape: &[usize]) -> Option<RealOp> {
    let at = |i: usize| PerChannel::of(factor).get(i).copied();
    match op {
        RealOp::Dense { weights, bias } => {
            let rows = shape.iter().product::<usize>().max(1);
            let columns = (weights.len() / rows).max(1);
            let scaled = weights.iter().enumerate();
            let weights = scaled.map(|(i, w)| Some(w * at(i / columns)?)).collect::<Option<_>>()?;
            let bias = match bias {
                Some(b) => Some(
                    b.iter().enumerate().map(|(i, b)| Some(b * at(i)?)).collect::<Option<_>>()?,
                ),
                None => None,
            };
            Some(RealOp::Dense { weights, bias })
        }
        RealOp::Convolution { window, groups, weights, bias } => {
            let filters = bias.len().max(1);
            let plane = (shape.iter().product::<usize>() / filters).max(1);
            let each = (weights.len() / filters).max(1);
            let channel = |f: usize| {
                let first = at(f * plane)?;
                (0..plane).all(|i| at(f * plane + i) == Some(first)).then_some(first)
            };
            let scaled = weights.iter().enumerate();
            let weights =
                scaled.map(|(i, w)| Some(w * channel(i / each)?)).collect::<Option<_>>()?;
            let bias = bias
                .iter()
                .enumerate()
                .map(|(f, b)| Some(b * channel(f)?))
                .collect::<Option<_>>()?;
            let (window, groups) = (window.clone(), *groups);
            Some(RealOp::Convolution { window, groups, weights, bias })
        }
        _ => None,
    }
}
