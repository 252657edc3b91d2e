//! Populations judged on the inputs that they really got.
//!
//! A certificate speaks of one population, given the payloads that reach it. Behind a population that
//! differs others get other payloads than in the quantised network, and so send others, whatever is proved
//! of them. Here every population's codes are computed by the quantised network from what the emitted
//! populations before it sent: its graph is cut behind each of them, and what was sent put in there.

use std::collections::{HashMap, HashSet};

use snnc_ir::{Graph, Node, NodeId, TensorOp};
use snnc_runtime::tensor::{Program, Value};

use super::{Runner, reference::Sent};
use crate::Error;
use crate::certificate::{Comparison, Measured};
use crate::data::Dataset;
use crate::inputs::Cut;
use crate::passes::graded::Conversion;

/// A quantised network that is cut behind every population.
pub struct Judge {
    program: Program,
    /// Populations that send codes on both sides.
    comparisons: Vec<Comparison>,
    /// Those behind which the graph is cut: position among `comparisons`, shape of the value.
    cuts: Vec<(usize, Vec<usize>)>,
    /// Those of which all that they read is known.
    judged: Vec<bool>,
    /// How a sample is cut into the network's own inputs.
    own: Cut,
}

impl Judge {
    /// For an emitted network, and the quantised one with its canonical form.
    ///
    /// # Errors
    /// When the quantised network cannot be run.
    pub fn new(quantised: &Graph, canonical: &Conversion, emitted: &Graph) -> Result<Judge, Error> {
        let comparisons = Comparison::all(quantised, canonical, emitted);
        let own = Cut::of(quantised);
        let mut cut = quantised.clone();
        let mut cuts = Vec::new();
        for (i, c) in comparisons.iter().enumerate().filter(|(_, c)| c.sends_codes()) {
            let (name, ty) = (&quantised[c.reference].name, quantised[c.reference].ty.clone());
            let shape = ty.shape.clone();
            let name = cut.fresh_name(&format!("{name}.sent"));
            let input = cut.add(Node::tensor(name, TensorOp::Input, ty), &[]);
            cut.replace_uses(c.reference, input);
            cuts.push((i, shape));
        }
        let known: HashSet<NodeId> = cuts.iter().map(|(i, _)| comparisons[*i].reference).collect();
        let populations: HashSet<NodeId> = populations(canonical);
        let judged = |c: &Comparison| reads_known(quantised, c.reference, &known, &populations);
        let judged = comparisons.iter().map(judged).collect();
        Ok(Judge {
            program: Program::new(&cut).map_err(Error::network)?,
            comparisons,
            cuts,
            judged,
            own,
        })
    }

    /// How far each population's codes are from those that the quantised network makes of the same inputs,
    /// by name. Left out are populations that read what has no code, and samples in which a population sent
    /// what is no code.
    ///
    /// # Errors
    /// When a sample cannot be run.
    pub fn measure(
        &self,
        runner: &Runner,
        data: &Dataset,
    ) -> Result<HashMap<String, Measured>, Error> {
        let mut all: HashMap<String, Measured> = HashMap::new();
        let wanted: Vec<NodeId> = self.comparisons.iter().map(|c| c.emitted).collect();
        for index in 0..data.len() {
            let mut sent = Sent::default();
            let see = &mut |id: NodeId, _, payloads: &[i64]| sent.add(id, payloads);
            runner.answer_showing(data, index, Some(&wanted), see)?;
            let Some(inputs) = self.inputs(runner, data, index, &sent)? else { continue };
            let mut codes: HashMap<NodeId, Vec<i64>> = HashMap::new();
            let keep = &mut |id: NodeId, value: &Value| {
                if let Some(v) = value.as_i64()
                    && self.comparisons.iter().any(|c| c.reference == id)
                {
                    codes.insert(id, v.to_vec());
                }
            };
            self.program.run_with(&inputs, keep).map_err(Error::network)?;
            for (c, _) in self.comparisons.iter().zip(&self.judged).filter(|(_, judged)| **judged) {
                if let (Some(codes), Some(payloads)) = (codes.get(&c.reference), sent.of(c.emitted))
                {
                    let found = c.sample(codes, payloads);
                    let own = all.entry(c.population.clone()).or_default();
                    *own = own.merged(found);
                }
            }
        }
        Ok(all)
    }

    /// The sample, and what the populations sent in it; `None` where that is no code.
    fn inputs(
        &self,
        runner: &Runner,
        data: &Dataset,
        index: usize,
        sent: &Sent,
    ) -> Result<Option<Vec<Value>>, Error> {
        let sample = runner.tensor_value(data, index, &self.own.batched())?;
        let mut inputs = self.own.values(sample)?;
        for (i, shape) in &self.cuts {
            let c = &self.comparisons[*i];
            let Some(codes) = sent.of(c.emitted).and_then(|p| c.codes(p)) else { return Ok(None) };
            inputs.push(Value::from_i64(shape, codes).map_err(Error::network)?);
        }
        Ok(Some(inputs))
    }
}

/// Nodes of the quantised graph that populations stand for.
fn populations(canonical: &Conversion) -> HashSet<NodeId> {
    let is_population = |id: NodeId| {
        matches!(canonical.network[id].as_spiking(), Some(snnc_ir::SpikingOp::Population(_)))
    };
    let own = canonical.correspondence.iter().filter(|(node, _)| is_population(*node));
    own.map(|(_, reference)| *reference).collect()
}

/// Whether all populations that `id` reads, through whatever lies between, are known.
fn reads_known(
    quantised: &Graph,
    id: NodeId,
    known: &HashSet<NodeId>,
    populations: &HashSet<NodeId>,
) -> bool {
    let mut pending = quantised.sources(id);
    let mut seen = HashSet::new();
    while let Some(source) = pending.pop() {
        if known.contains(&source) || !seen.insert(source) {
            continue;
        }
        if populations.contains(&source) {
            return false;
        }
        pending.extend(quantised.sources(source));
    }
    true
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use snnc_ir::{Op, SpikingOp, Tensor};

    use super::*;
    use crate::driver::Model;
    use crate::passes::Context;

    /// Activations that differ by name: from those of the quantised network, and from those that it makes of
    /// the inputs that each population got.
    fn differing(model: &Model, emitted: &Graph) -> [HashMap<String, u64>; 2] {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits");
        let path = examples.join("digits-test-360.npz");
        let data = Dataset::load(&path, Some(20)).unwrap();
        let runner =
            Runner::spiking(emitted, Some(&model.quantised), true, Default::default()).unwrap();
        let seen = runner.evaluate(&data, &path).unwrap().measured;
        let judge = Judge::new(&model.quantised, &model.conversion, emitted).unwrap();
        let data = data.fitted(&runner.input_shape, &path).unwrap();
        let own = judge.measure(&runner, &data).unwrap();
        let count = |all: Vec<(String, Measured)>| {
            all.into_iter().map(|(name, m)| (name, m.differing)).collect()
        };
        [count(seen), count(own.into_iter().collect())]
    }

    #[test]
    fn a_population_behind_another_is_judged_on_what_it_got() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples/digits/digits_cnn_w4a4_qcdq.onnx");
        let model = Model::load(&path, &Default::default(), &mut Context::default()).unwrap();
        let canonical = &model.conversion.network;
        let firing: Vec<NodeId> = Comparison::all(&model.quantised, &model.conversion, canonical)
            .into_iter()
            .map(|c| c.emitted)
            .collect();
        let [first, second, ..] = firing[..] else { panic!("{firing:?}") };
        let names = [first, second].map(|id| canonical[id].name.clone());
        let counts = |all: &[HashMap<String, u64>; 2]| {
            [0, 1].map(|side| names.clone().map(|name| all[side][&name]))
        };
        assert_eq!(counts(&differing(&model, canonical)), [[0, 0], [0, 0]]);

        // The first fires too easily: the second is right all the same.
        let mut emitted = canonical.clone();
        let Op::Spiking(SpikingOp::Population(p)) = &mut emitted[first].op else { panic!() };
        p.bias.iter_mut().for_each(|b| *b += 60);
        let [seen, own] = counts(&differing(&model, &emitted));
        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
        assert!(own[0] > 0 && own[1] == 0, "{own:?}");

        // The second has another weight too, and is not right on what it got.
        let synapses = emitted.sources(second)[0];
        let weights = emitted[synapses].data.clone().unwrap();
        let mut values = weights.to_i64().unwrap();
        values.iter_mut().step_by(3).for_each(|w| *w = -*w);
        emitted[synapses].data = Some(Tensor::from_i64(weights.dtype(), weights.shape(), &values));
        let [_, own] = counts(&differing(&model, &emitted));
        assert!(own[1] > 0, "{own:?}");
    }
}
