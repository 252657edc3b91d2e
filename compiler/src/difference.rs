//! Where two executions of one network part: the first population, timestep and neuron.

use std::collections::HashMap;

use serde::Serialize;
use snnc_ir::{Graph, NodeId, SpikingOp, Timing};

/// What one side sent for one sample.
#[derive(Clone, Debug, Default)]
pub struct Execution {
    /// Populations and encoders, in order of computation.
    order: Vec<String>,
    records: HashMap<String, Record>,
    timing: Option<Timing>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    shape: Vec<usize>,
    /// Payloads by timestep.
    sent: Vec<Vec<i64>>,
    /// What the synapses brought by timestep; none in a trace.
    brought: Vec<Vec<i64>>,
    /// The potential is what is sent: the last timestep is the frame.
    shows: bool,
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The population.
    pub population: String,
    /// The timestep, from 0; none where timesteps are not comparable and frames were compared.
    pub timestep: Option<usize>,
    /// The neuron, as an index into its map.
    pub neuron: Vec<usize>,
    /// What each side sent.
    pub payloads: [i64; 2],
    /// What the synapses brought it, bias excluded; none where a side is a trace.
    pub accumulators: [Option<i64>; 2],
}

impl Execution {
    /// An empty record of a network's run.
    pub fn of(graph: &Graph) -> Execution {
        let mut execution = Execution { timing: Some(graph.timing), ..Execution::default() };
        for id in graph.order().unwrap_or_default() {
            let shows = match graph[id].as_spiking() {
                Some(SpikingOp::Population(p)) => !p.neuron.fires(),
                Some(SpikingOp::Encoder(_)) => false,
                _ => continue,
            };
            let record = Record { shape: graph[id].ty.shape.clone(), shows, ..Record::default() };
            execution.order.push(graph[id].name.clone());
            execution.records.insert(graph[id].name.clone(), record);
        }
        execution
    }

    /// Takes down what node `id` of `graph` showed in timestep `t`.
    pub fn see(&mut self, graph: &Graph, id: NodeId, t: usize, value: &[i64]) {
        if let Some(record) = self.records.get_mut(&graph[id].name) {
            record.sent.resize(record.sent.len().max(t + 1), Vec::new());
            record.sent[t] = value.to_vec();
            return;
        }
        // Sums come before the population they go to.
        for user in graph.users(id) {
            let reads = matches!(
                graph[id].as_spiking(),
                Some(SpikingOp::Projection(_) | SpikingOp::MaxPool { .. })
            );
            if let (true, Some(record)) = (reads, self.records.get_mut(&graph[user].name)) {
                record.brought.resize(record.brought.len().max(t + 1), Vec::new());
                let sum = &mut record.brought[t];
                sum.resize(value.len(), 0);
                sum.iter_mut().zip(value).for_each(|(s, v)| *s += v);
            }
        }
    }

    /// A recorded trace: by population the shape (T, ..) and the payloads of one sample.
    pub fn recorded(traces: impl IntoIterator<Item = (String, Vec<usize>, Vec<i64>)>) -> Execution {
        let mut execution = Execution::default();
        for (name, shape, values) in traces {
            let neurons = shape.iter().skip(1).product::<usize>().max(1);
            let sent = values.chunks(neurons).map(<[i64]>::to_vec).collect();
            let shape = shape.get(1..).unwrap_or_default().to_vec();
            let record = Record { shape, sent, ..Record::default() };
            execution.order.push(name.clone());
            execution.records.insert(name, record);
        }
        execution
    }

    /// Names of the populations that both have, in the order of the first that computes.
    pub fn common<'a>(&'a self, other: &'a Execution) -> Vec<&'a str> {
        let (order, rest) = match self.timing {
            Some(_) => (&self.order, other),
            None => (&other.order, self),
        };
        order.iter().filter(|n| rest.records.contains_key(*n)).map(String::as_str).collect()
    }

    /// The first difference from `other`, `None` if there is none in what both have.
    pub fn first_difference(&self, other: &Execution) -> Option<Difference> {
        let stepwise =
            self.timing.is_none() || other.timing.is_none() || self.timing == other.timing;
        self.common(other).into_iter().find_map(|name| {
            let (a, b) = (self.records.get(name)?, other.records.get(name)?);
            if stepwise && a.sent.len() == b.sent.len() {
                (0..a.sent.len()).find_map(|t| {
                    part(
                        name,
                        Some(t),
                        (a, &a.sent[t], a.brought.get(t)),
                        (b, &b.sent[t], b.brought.get(t)),
                    )
                })
            } else {
                let (x, y) = (frame(&a.sent, a.shows), frame(&b.sent, b.shows));
                let (u, v) = (frame(&a.brought, false), frame(&b.brought, false));
                part(name, None, (a, &x, Some(&u)), (b, &y, Some(&v)))
            }
        })
    }
}

/// All timesteps summed up, or the last of them.
fn frame(steps: &[Vec<i64>], last: bool) -> Vec<i64> {
    if last {
        return steps.last().cloned().unwrap_or_default();
    }
    let mut total = vec![0; steps.iter().map(Vec::len).max().unwrap_or(0)];
    for step in steps {
        total.iter_mut().zip(step).for_each(|(t, v)| *t += v);
    }
    total
}

type Side<'a> = (&'a Record, &'a Vec<i64>, Option<&'a Vec<i64>>);

fn part(name: &str, timestep: Option<usize>, a: Side<'_>, b: Side<'_>) -> Option<Difference> {
    let neuron =
        a.1.iter()
            .zip(b.1)
            .position(|(x, y)| x != y)
            .or_else(|| (a.1.len() != b.1.len()).then(|| a.1.len().min(b.1.len())))?;
    let at = |values: &[i64]| values.get(neuron).copied();
    Some(Difference {
        population: name.to_owned(),
        timestep,
        neuron: index(neuron, &a.0.shape),
        payloads: [at(a.1).unwrap_or_default(), at(b.1).unwrap_or_default()],
        accumulators: [a.2.and_then(|v| at(v)), b.2.and_then(|v| at(v))],
    })
}

/// A place in a map of that shape.
fn index(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut found = vec![0; shape.len()];
    for (at, extent) in found.iter_mut().zip(shape).rev() {
        (*at, place) = (place % extent.max(&1), place / extent.max(&1));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(values: &[i64]) -> Execution {
        Execution::recorded([("a".into(), vec![2, 1, 3], values.to_vec())])
    }

    #[test]
    fn the_first_timestep_and_neuron_are_named() {
        let found = trace(&[0, 1, 2, 3, 4, 5]).first_difference(&trace(&[0, 1, 2, 3, 9, 5]));
        let found = found.unwrap();
        assert_eq!((found.timestep, found.neuron, found.payloads), (Some(1), vec![0, 1], [4, 9]));
        assert_eq!(trace(&[0; 6]).first_difference(&trace(&[0; 6])), None);
    }

    #[test]
    fn places_are_in_row_major_order() {
        assert_eq!(index(17, &[2, 3, 4]), [1, 1, 1]);
        assert_eq!(index(0, &[]), Vec::<usize>::new());
    }
}
