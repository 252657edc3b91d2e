//! Takes the choice of the largest score off outputs: targets give scores, and whoever reads them
//! takes the largest.

use snnc_ir::{Graph, NodeId, TensorOp};

use super::rewrite::{inherit_before, op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "bare-scores",
    summary: "makes outputs the scores of which an ArgMax takes the largest",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, context: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for output in graph.outputs() {
        let Some(choice) = choice_before(graph, output) else { continue };
        let Some(scores) = graph.source(choice, 0) else { continue };
        let text = "gives the scores; the class that the model gives is that of the largest";
        context.note(graph[output].name.clone(), text);
        graph[output].ty = graph[scores].ty.clone();
        set_sources(graph, output, &[scores]);
        inherit_before(graph, choice, output);
        changed = true;
    }
    Ok(changed)
}

/// The ArgMax over the classes of one sample whose index an output gives, in whatever form.
fn choice_before(graph: &Graph, output: NodeId) -> Option<NodeId> {
    let mut next = graph.source(output, 0)?;
    loop {
        match op(graph, next)? {
            TensorOp::ArgMax { axis } => {
                let scores = &graph[graph.source(next, 0)?].ty.shape;
                let single = scores.iter().enumerate().all(|(i, &d)| i == *axis || d == 1);
                return (*axis > 0 && single).then_some(next);
            }
            TensorOp::Cast | TensorOp::Reshape => next = graph.source(next, 0)?,
            _ => return None,
        }
    }
}
