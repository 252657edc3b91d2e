//! The canonical network as the strictly sequential list of layers that NetX can hold.

use snnc_ir::{Connectivity, Graph, NodeId, Op, SpikingOp};

use crate::Violation;

/// One layer: a projection and its population.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The synapses.
    pub projection: NodeId,
    /// The neurons.
    pub population: NodeId,
}

/// A network without branches.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// The input.
    pub encoder: NodeId,
    /// The layers, first to last.
    pub links: Vec<Link>,
    /// The output.
    pub decoder: NodeId,
}

/// The network as a chain.
///
/// # Errors
/// Every node that has no place in one.
pub(super) fn chain(network: &Graph) -> Result<Chain, Vec<Violation>> {
    let mut violations: Vec<Violation> =
        network.ids().filter_map(|id| refused(network, id)).collect();
    let (inputs, outputs) = (network.inputs(), network.outputs());
    for &extra in inputs.iter().skip(1).chain(outputs.iter().skip(1)) {
        violations.push(Violation::new(
            &network[extra],
            "NetX networks have one input and one output",
            "split the network, or join its inputs or outputs outside",
        ));
    }
    let (&[encoder], &[decoder], true) =
        (inputs.as_slice(), outputs.as_slice(), violations.is_empty())
    else {
        return Err(violations);
    };
    let (mut links, mut last) = (Vec::new(), encoder);
    loop {
        match *network.users(last).as_slice() {
            [user] if user == decoder => break,
            [projection] => {
                let [population] = network.users(projection)[..] else { break };
                links.push(Link { projection, population });
                last = population;
            }
            _ => break,
        }
    }
    if links.is_empty() {
        violations.push(Violation::new(
            &network[decoder],
            "there is no layer between input and output",
            "give the network at least one convolution or dense layer",
        ));
        return Err(violations);
    }
    Ok(Chain { encoder, links, decoder })
}

/// Why one node has no place in a chain.
fn refused(network: &Graph, id: NodeId) -> Option<Violation> {
    let node = &network[id];
    let Op::Spiking(op) = &node.op else { return None };
    let (reason, remedy) = match op {
        SpikingOp::MaxPool { .. } | SpikingOp::RunningMaxPool { .. } => (
            "NetX has no max-pooling layer".to_owned(),
            "use an average pool or a strided convolution, or another target",
        ),
        SpikingOp::Concatenate { .. } => (
            "NetX networks are sequential: maps cannot be joined".to_owned(),
            "remove the branches, or use another target",
        ),
        SpikingOp::Population(_) if network.sources(id).len() > 1 => (
            "NetX networks are sequential: one projection to a population, no residual additions"
                .to_owned(),
            "skip one rectified layer at a time, remove the skip connection, or use another target",
        ),
        SpikingOp::Encoder(_) | SpikingOp::Population(_) if network.users(id).len() > 1 => (
            format!(
                "NetX networks are sequential, but {} layers use this",
                network.users(id).len()
            ),
            "remove the branches, or use another target",
        ),
        SpikingOp::Projection(p) => match &p.connectivity {
            Connectivity::Convolution { window, .. } if window.rank() != 2 => (
                format!("NetX convolves maps of two dimensions, not {}", window.rank()),
                "reshape the network's maps to (C, 1, L) or (C, H, W)",
            ),
            Connectivity::Convolution { window, .. } if window.before != window.after => (
                format!(
                    "NetX pads both sides alike, not {:?} before and {:?} after; at a dilation of {:?} no zeros in \
                     the kernel make up for that",
                    window.before, window.after, window.dilations
                ),
                "pad symmetrically, or by whole steps of the dilation more on one side",
            ),
            Connectivity::OneToOne => (
                "NetX has no synapses from neuron to neuron of the same place".to_owned(),
                "write the requantisation or activation into the layer before it",
            ),
            _ => return None,
        },
        _ => return None,
    };
    Some(Violation::new(node, reason, remedy))
}
