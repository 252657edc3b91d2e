//! The quantised network beside the emitted one.

use std::collections::HashMap;

use snnc_ir::{Graph, NodeId};
use snnc_runtime::spiking::{Network, Sample};
use snnc_runtime::tensor::{Program, Value};

use super::run_fault;
use crate::Error;
use crate::certificate::{Comparison, Verdict, certify};
use crate::passes::graded;

/// The quantised network beside the emitted one.
pub(super) struct Reference {
    pub comparisons: Vec<Comparison>,
    way: Way,
}

/// How the quantised network's codes are computed.
enum Way {
    /// By the quantised network itself: shape of its input, nodes whose values are compared.
    Codes { program: Program, batched: Vec<usize>, values: Vec<NodeId> },
    /// By its graded network in prepared form, where the certificate proves both equal for all inputs:
    /// the node, and the code of payload 0, of each comparison.
    Graded { network: Box<Network>, values: Vec<(NodeId, i64)> },
}

impl Reference {
    pub fn new(graph: &Graph, emitted: &Graph) -> Result<Reference, Error> {
        let conversion = graded::convert(graph)?;
        let comparisons = Comparison::all(graph, &conversion, emitted);
        let network = Network::new(&conversion.network).map_err(run_fault)?;
        let proved = || certify(graph, &conversion, &conversion.network).verdict == Verdict::Proved;
        if network.is_prepared() && proved() {
            let value = |c: &Comparison| {
                let same = |(_, reference): &&(NodeId, NodeId)| *reference == c.reference;
                let (node, _) = conversion.correspondence.iter().find(same)?;
                Some((*node, graph[c.reference].ty.quantisation.as_ref()?.zero_at(0)))
            };
            if let Some(values) = comparisons.iter().map(value).collect() {
                let way = Way::Graded { network: Box::new(network), values };
                return Ok(Reference { comparisons, way });
            }
        }
        let batched = graph.inputs().first().map(|&i| graph[i].ty.shape.clone());
        let way = Way::Codes {
            program: Program::new(graph).map_err(run_fault)?,
            batched: batched.unwrap_or_default(),
            values: comparisons.iter().map(|c| c.reference).collect(),
        };
        Ok(Reference { comparisons, way })
    }

    /// The codes of one sample; `value` gives it as an input of that shape.
    pub fn codes(
        &self,
        sample: &Sample,
        value: impl Fn(&[usize]) -> Result<Value, Error>,
    ) -> Result<HashMap<NodeId, Vec<i64>>, Error> {
        let mut codes = HashMap::new();
        match &self.way {
            Way::Codes { program, batched, values } => {
                let keep = &mut |id: NodeId, value: &Value| {
                    if values.contains(&id)
                        && let Some(v) = value.as_i64()
                    {
                        codes.insert(id, v.to_vec());
                    }
                };
                program.run_with(&[value(batched)?], keep).map_err(run_fault)?;
            }
            Way::Graded { network, values } => {
                let wanted: Vec<NodeId> = values.iter().map(|(id, _)| *id).collect();
                let keep = &mut |id: NodeId, _, payloads: &[i64]| {
                    for (c, &(node, zero)) in self.comparisons.iter().zip(values) {
                        if node == id {
                            let own = payloads.iter().map(|p| p + zero).collect();
                            codes.insert(c.reference, own);
                        }
                    }
                };
                network
                    .run_showing(std::slice::from_ref(sample), &wanted, keep)
                    .map_err(run_fault)?;
            }
        }
        Ok(codes)
    }
}
