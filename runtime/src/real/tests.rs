use snnc_ir::{
    RealEdge, RealFiring, RealLeak, RealNetwork, RealNeurons, RealNode, RealOp, RealSynapses,
    Window,
};

use super::{Integration, Method, RealRun};

fn chain(nodes: Vec<(RealOp, Vec<usize>)>) -> RealNetwork {
    let edges = 1..nodes.len();
    let edges = edges.map(|i| RealEdge { source: i - 1, target: i, recurrent: false }).collect();
    let nodes = nodes.into_iter().enumerate();
    let nodes =
        nodes.map(|(i, (op, shape))| RealNode { name: format!("n{i}"), op, shape }).collect();
    let mut network = RealNetwork { nodes, edges };
    network.infer().unwrap();
    network
}

fn neurons(tau: Option<f32>, firing: bool) -> RealNeurons {
    RealNeurons {
        synapses: None,
        leak: tau.map(|tau| RealLeak { tau: vec![tau], potential: vec![0.0] }),
        resistance: vec![1.0],
        firing: firing.then(|| RealFiring { threshold: vec![0.6], reset: vec![0.25] }),
    }
}

/// What the last node sends for these inputs.
fn sent(network: &RealNetwork, method: Method, inputs: &[f32]) -> Vec<f32> {
    let mut run = RealRun::new(network, Integration { dt: 0.5, method }).unwrap();
    let step = |&x: &f32| {
        run.step(&[vec![x]]);
        run.sent(network.nodes.len() - 1)[0]
    };
    inputs.iter().map(step).collect()
}

#[test]
fn a_leaky_integrator_nears_its_input() {
    let op = RealOp::Neurons(neurons(Some(1.0), false));
    let network = chain(vec![(RealOp::Input, vec![1]), (op, vec![1])]);
    assert_eq!(sent(&network, Method::Euler, &[1.0, 1.0, 0.0]), [0.5, 0.75, 0.375]);
    let exact = sent(&network, Method::Exact, &[1.0, 1.0]);
    let expected = [1.0 - (-0.5f32).exp(), 1.0 - (-1.0f32).exp()];
    assert!(exact.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{exact:?}");
}

#[test]
fn neurons_fire_above_the_threshold_and_are_reset() {
    let op = RealOp::Neurons(neurons(None, true));
    let network = chain(vec![(RealOp::Input, vec![1]), (op, vec![1])]);
    // Potentials 0.6 (not above), 0.85 -> 0.25, 0.6, 0.65 -> 0.25.
    assert_eq!(sent(&network, Method::Euler, &[1.2, 0.5, 0.7, 0.1]), [0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn synapses_filter_the_current() {
    let mut n = neurons(None, false);
    n.synapses = Some(RealSynapses { tau: vec![1.0], weight: vec![4.0] });
    let network = chain(vec![(RealOp::Input, vec![1]), (RealOp::Neurons(n), vec![1])]);
    // Currents 2, 1, 0.5; potentials are half their sum.
    assert_eq!(sent(&network, Method::Euler, &[1.0, 0.0, 0.0]), [1.0, 1.5, 1.75]);
}

#[test]
fn delays_and_loops_take_their_time() {
    let delay = RealOp::Delay { seconds: vec![1.0] };
    let mut network = chain(vec![(RealOp::Input, vec![1]), (delay, vec![1])]);
    assert_eq!(sent(&network, Method::Euler, &[1.0, 2.0, 3.0, 0.0]), [0.0, 0.0, 1.0, 2.0]);
    // A sum that feeds itself back.
    network.nodes[1].op = RealOp::Scale { factor: vec![1.0] };
    network.edges.push(RealEdge { source: 1, target: 1, recurrent: false });
    network.mark_loops();
    assert_eq!(sent(&network, Method::Euler, &[1.0, 2.0, 3.0]), [1.0, 3.0, 6.0]);
}

#[test]
fn windows_leave_padding_out() {
    let window = Window {
        kernel: vec![2, 2],
        strides: vec![2, 2],
        dilations: vec![1, 1],
        before: vec![1, 0],
        after: vec![1, 0],
    };
    let x: Vec<f32> = (1..=16).map(|i| i as f32).collect();
    let pool = RealOp::Pool { window: window.clone(), mean: true };
    let mut network = chain(vec![(RealOp::Input, vec![2, 2, 4]), (pool, vec![])]);
    assert_eq!(network.nodes[1].shape, [2, 2, 2]);
    let run = |network: &RealNetwork| {
        let mut run = RealRun::new(network, Integration::default()).unwrap();
        run.step(std::slice::from_ref(&x));
        run.sent(1).to_vec()
    };
    assert_eq!(run(&network), [0.75, 1.75, 2.75, 3.75, 4.75, 5.75, 6.75, 7.75]);
    // Depthwise, the first row of the kernel alone: it meets the padding at the top.
    let weights = vec![1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let bias = vec![0.5, 0.0];
    network.nodes[1].op = RealOp::Convolution { window, groups: 2, weights, bias };
    network.infer().unwrap();
    assert_eq!(run(&network), [0.5, 0.5, 11.5, 15.5, 9.0, 11.0, 0.0, 0.0]);
}
