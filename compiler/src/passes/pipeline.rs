//! The order of the passes, and why it is so.

use snnc_ir::{Graph, verify};

use super::{Context, Pass};
use crate::{Error, finite};

/// From what was imported to the canonical tensor form.
pub const CANONICAL: &[&Pass] = &[
    // Before weights are folded to reals that have forgotten their codes.
    &super::raise_quantisers::PASS,
    // Codes of weights behind shape operators come next to their constants, which then fold.
    &super::sink_dequantise::PASS,
    &super::fold_constants::PASS,
    &super::remove_identities::PASS,
    // Before a factor of one side is taken for a layer.
    &super::raise_activations::PASS,
    &super::turn_input::PASS,
    // Products become layers before anything looks for layers to fold into.
    &super::make_dense::PASS,
    &super::recover_weights::PASS,
    &super::reduce_to_pool::PASS,
    // An offset of a layer's operand becomes a bias, and a bias must be in place before a
    // normalisation scales it; a normalisation whose shift was left over becomes a bias after.
    &super::fold_offset::PASS,
    &super::fold_bias::PASS,
    &super::fold_batch_normalisation::PASS,
    &super::fold_bias::PASS,
    // What no layer has taken.
    &super::make_depthwise::PASS,
    &super::fold_pad::PASS,
    &super::fold_constants::PASS,
    // Quantisers last: what stands between them is as short as it gets.
    &super::merge_clip::PASS,
    &super::cancel_quantise::PASS,
];

/// From the canonical tensor form to integer codes.
pub const QUANTISED: &[&Pass] = &[
    // Dequantisers down and quantisers up until they meet or stand at real arithmetic.
    &super::sink_dequantise::PASS,
    &super::absorb_quantise::PASS,
    // A factor may stand before a layout operator that the quantiser has just passed.
    &super::absorb_affine::PASS,
    &super::absorb_quantise::PASS,
    &super::cancel_quantise::PASS,
    &super::lower_to_codes::PASS,
    // Quantisers of inputs are as few as they get once those in between are gone.
    &super::share_quantisers::PASS,
    // A mean that no quantiser follows is a part of the layer behind it.
    &super::fold_mean::PASS,
    // What is left of tables that only one population reads.
    &super::fuse_tables::PASS,
];

/// Brings an imported network into canonical form: constants evaluated, products as layers with
/// their biases, normalisation folded, padding in windows, bounds of codes in their quantisation.
/// Takes and gives a graph of the tensor stage.
///
/// # Errors
/// What the passes refuse; [`Error::Input`] where constants make what is no finite number.
pub fn canonicalise(graph: Graph, context: &mut Context) -> Result<Graph, Error> {
    let graph = run(CANONICAL, graph, context)?;
    let problems = finite::problems(&graph);
    if problems.is_empty() { Ok(graph) } else { Err(Error::Input(problems)) }
}

/// Brings a canonical network with quantisers to the quantised stage.
///
/// # Errors
/// [`Error::Unsupported`] with every node that computes reals where codes are needed.
pub fn quantised(graph: Graph, context: &mut Context) -> Result<Graph, Error> {
    run(QUANTISED, graph, context)
}

/// Runs passes in order. In builds with debug assertions the graph is verified after each.
///
/// # Errors
/// The first that a pass gives.
pub fn run(passes: &[&Pass], mut graph: Graph, context: &mut Context) -> Result<Graph, Error> {
    for pass in passes {
        let changed = (pass.run)(&mut graph, context)?;
        if !changed {
            context.show(pass.name, &graph, false);
            continue;
        }
        graph.remove_dead();
        tracing::debug!(pass = pass.name, nodes = graph.len(), "changed");
        if cfg!(debug_assertions) {
            graph = verified(pass.name, graph)?;
        }
        context.show(pass.name, &graph, true);
    }
    if cfg!(debug_assertions) { Ok(graph) } else { verified("the last pass", graph) }
}

/// The graph, if it is verified; otherwise a pass is wrong, which is shown as what it is.
fn verified(pass: &str, graph: Graph) -> Result<Graph, Error> {
    match verify(graph) {
        Ok(graph) => Ok(graph.into_inner()),
        Err(errors) => Err(Error::unverified(&format!("network after {pass}"), &errors)),
    }
}
