//! The quantised network beside the emitted one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use snnc_ir::{Graph, NodeId};
use snnc_runtime::spiking::{Network, Sample, Shown};
use snnc_runtime::tensor::{Program, Value};

use crate::Error;
use crate::artefact::same_network;
use crate::certificate::{Comparison, Measured, Verdict, certify, compare_sample};
use crate::inputs::Cut;
use crate::passes::graded::{self, Conversion};

/// The quantised network beside the emitted one.
pub(super) struct Reference {
    pub comparisons: Vec<Comparison>,
    way: Way,
}

/// What the emitted populations sent in one run, as much of it as is compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    /// Summed over all timesteps.
    payloads: HashMap<NodeId, Vec<i64>>,
    /// Sums of the squares of such payloads, of the same populations or others.
    squares: Vec<(NodeId, u64)>,
}

impl Sent {
    /// What a population sent, summed over all timesteps.
    pub fn of(&self, id: NodeId) -> Option<&[i64]> {
        self.payloads.get(&id).map(Vec::as_slice)
    }

    /// Adds what a population sent in one timestep.
    pub fn add(&mut self, id: NodeId, payloads: &[i64]) {
        match self.payloads.entry(id) {
            Entry::Vacant(entry) => drop(entry.insert(payloads.to_vec())),
            Entry::Occupied(mut entry) => {
                entry.get_mut().iter_mut().zip(payloads).for_each(|(sum, v)| *sum += v);
            }
        }
    }
}

/// How the quantised network's codes are computed.
enum Way {
    /// By the quantised network itself: how samples become its inputs, nodes whose values are compared.
    Codes { program: Program, cut: Cut, values: Vec<NodeId> },
    /// By its graded network in prepared form, where the certificate proves both equal for all inputs:
    /// the node, and the code of payload 0, of each comparison.
    Graded { network: Box<Network>, values: Vec<(NodeId, i64)> },
    /// The emitted network is that graded network itself, which need not answer twice.
    Same,
}

impl Reference {
    pub fn new(graph: &Graph, emitted: &Graph) -> Result<Reference, Error> {
        let conversion = graded::convert_for(graph, emitted)?;
        let comparisons = Comparison::all(graph, &conversion, emitted);
        let proved = || certify(graph, &conversion, &conversion.network).verdict == Verdict::Proved;
        if is_itself(&conversion, emitted, &comparisons) && proved() {
            return Ok(Reference { comparisons, way: Way::Same });
        }
        let network = Network::new(&conversion.network).map_err(Error::network)?;
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
        Reference::by_codes(graph, comparisons)
    }

    fn by_codes(graph: &Graph, comparisons: Vec<Comparison>) -> Result<Reference, Error> {
        let way = Way::Codes {
            program: Program::new(graph).map_err(Error::network)?,
            cut: Cut::of(graph),
            values: comparisons.iter().map(|c| c.reference).collect(),
        };
        Ok(Reference { comparisons, way })
    }

    /// The populations whose payloads are compared.
    pub fn emitted(&self) -> Vec<NodeId> {
        self.comparisons.iter().map(|c| c.emitted).collect()
    }

    /// Keeps of what a population sent what a comparison needs.
    pub fn see(&self, id: NodeId, shown: Shown<'_>, sent: &mut Sent) {
        if let (Way::Same, Some(squares)) = (&self.way, shown.squares()) {
            sent.squares.push((id, squares));
            return;
        }
        let mut payloads = Vec::new();
        for t in 0..shown.timesteps() {
            shown.payloads(t, &mut payloads);
            sent.add(id, &payloads);
        }
    }

    /// Compares one sample, of which the emitted populations sent `sent`; `value` gives it as an input of
    /// that shape.
    pub fn compare(
        &self,
        samples: &[Sample],
        sent: &Sent,
        value: impl Fn(&[usize]) -> Result<Value, Error>,
    ) -> Result<Vec<Measured>, Error> {
        if let Way::Same = self.way {
            let measure = |c: &Comparison| {
                let known = sent.squares.iter().find(|(id, _)| *id == c.emitted);
                match known {
                    Some(&(_, squares)) => c.equal_squares(squares),
                    None => c.equal(sent.payloads.get(&c.emitted).map_or(&[], Vec::as_slice)),
                }
            };
            return Ok(self.comparisons.iter().map(measure).collect());
        }
        Ok(compare_sample(&self.comparisons, &self.codes(samples, value)?, &sent.payloads))
    }

    /// The codes of one sample; `value` gives it as an input of that shape.
    fn codes(
        &self,
        samples: &[Sample],
        value: impl Fn(&[usize]) -> Result<Value, Error>,
    ) -> Result<HashMap<NodeId, Vec<i64>>, Error> {
        let mut codes = HashMap::new();
        match &self.way {
            Way::Same => {}
            Way::Codes { program, cut, values } => {
                let keep = &mut |id: NodeId, value: &Value| {
                    if values.contains(&id)
                        && let Some(v) = value.as_i64()
                    {
                        codes.insert(id, v.to_vec());
                    }
                };
                program
                    .run_with(&cut.values(value(&cut.batched())?)?, keep)
                    .map_err(Error::network)?;
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
                network.run_showing(samples, &wanted, keep).map_err(Error::network)?;
            }
        }
        Ok(codes)
    }
}

/// Whether the emitted network is the graded one, and populations that are compared stand for the
/// same codes in both.
fn is_itself(conversion: &Conversion, emitted: &Graph, comparisons: &[Comparison]) -> bool {
    let (own, theirs) = (&conversion.network, emitted);
    let (Ok(order), Ok(places)) = (own.order(), theirs.order()) else { return false };
    let same_place = |c: &Comparison| {
        let node = conversion.correspondence.iter().find(|(_, r)| *r == c.reference).map(|n| n.0);
        let place = order.iter().position(|&id| Some(id) == node);
        place.is_some() && place == places.iter().position(|&id| id == c.emitted)
    };
    same_network(own, theirs).is_ok() && comparisons.iter().all(same_place)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::{Dataset, Scaling};
    use crate::driver::Model;
    use crate::passes::Context;

    #[test]
    fn a_network_that_is_its_own_reference_need_not_run_twice() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits");
        let path = examples.join("digits_cnn_w4a4_qcdq.onnx");
        let model = Model::load(&path, &Default::default(), &mut Context::default()).unwrap();
        let emitted = &model.conversion.network;
        let fast = Reference::new(&model.quantised, emitted).unwrap();
        assert!(matches!(fast.way, Way::Same));
        let slow = Reference::by_codes(&model.quantised, fast.comparisons.clone()).unwrap();

        let network = Network::new(emitted).unwrap();
        let wanted: Vec<NodeId> = fast.comparisons.iter().map(|c| c.emitted).collect();
        let data = Dataset::load(&examples.join("digits-test-360.npz"), Some(9)).unwrap();
        for index in 0..data.len() {
            let reals = data.reals(index, Scaling { scale: 1.0 / 16.0, offset: 0.0 });
            let sample = Sample::Real(reals.clone());
            let (mut sent, mut seen) = (Sent::default(), Sent::default());
            let own = std::slice::from_ref(&sample);
            network.run_showing(own, &wanted, &mut |id, _, p| sent.add(id, p)).unwrap();
            let see = &mut |_, id, shown: Shown<'_>| fast.see(id, shown, &mut seen);
            network.run_batch(&[own], &wanted, see).unwrap();
            assert!(seen.payloads.is_empty() && seen.squares.len() == wanted.len());
            let value =
                |shape: &[usize]| Value::from_f32(shape, reals.clone()).map_err(Error::network);
            let measured = fast.compare(own, &seen, value).unwrap();
            assert_eq!(measured, fast.compare(own, &sent, value).unwrap());
            assert_eq!(measured, slow.compare(own, &sent, value).unwrap());
            assert!(measured.iter().all(|m| m.activations > 0 && m.differing == 0));
        }
    }

    #[test]
    fn another_network_is_not_its_own_reference() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples/digits/digits_mlp_w4a4_qcdq.onnx");
        let model = Model::load(&path, &Default::default(), &mut Context::default()).unwrap();
        let mut emitted = model.conversion.network.clone();
        let layers: Vec<NodeId> = emitted.ids().filter(|&id| emitted[id].data.is_some()).collect();
        let data = emitted[layers[0]].data.clone().unwrap();
        let mut weights = data.to_i64().unwrap();
        weights[0] = if weights[0] == 0 { 1 } else { 0 };
        emitted[layers[0]].data =
            Some(snnc_ir::Tensor::from_i64(data.dtype(), data.shape(), &weights));
        let reference = Reference::new(&model.quantised, &emitted).unwrap();
        assert!(!matches!(reference.way, Way::Same));
    }
}
