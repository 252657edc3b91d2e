//! Interval arithmetic: which accumulators and payloads can occur at all.

use std::collections::HashMap;

use crate::interval::Interval;
use crate::{
    Connectivity, Graph, GraphError, NodeId, Op, Population, Presentation, Projection, SpikingOp,
    Tensor,
};

/// For each node of a spiking graph the interval of its values in one timestep, channel by channel:
/// payloads of encoders and populations, sums after the gain of projections.
#[derive(Clone, Debug, Default)]
pub struct Intervals {
    values: HashMap<NodeId, Vec<Interval>>,
    potentials: HashMap<NodeId, Vec<Interval>>,
}

impl Intervals {
    /// What node `id` can send in one timestep, one entry for each channel (first dimension).
    pub fn values(&self, id: NodeId) -> &[Interval] {
        self.values.get(&id).map_or(&[], Vec::as_slice)
    }

    /// What population `id` can receive in one timestep, bias included, one entry for each channel.
    pub fn potentials(&self, id: NodeId) -> &[Interval] {
        self.potentials.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// Computes the intervals of a spiking graph.
///
/// They are sound for any input: a projection's bound is the sum over its weights of the
/// worst payload of each source, and payload 0 (silence, padding) is always possible.
///
/// # Errors
/// When the graph has a cycle without a delay.
pub fn intervals(graph: &Graph) -> Result<Intervals, GraphError> {
    let mut result = Intervals::default();
    for id in graph.order()? {
        let node = &graph[id];
        let Op::Spiking(op) = &node.op else { continue };
        let channels = node.ty.shape.first().copied().unwrap_or(1);
        let sources = graph.sources(id);
        let of = |i: usize| match sources.get(i) {
            // The source of a recurrent edge is not computed yet; its declared range stands in.
            Some(&source) => {
                result.values.get(&source).cloned().unwrap_or_else(|| declared(graph, source))
            }
            None => Vec::new(),
        };
        let values = match op {
            SpikingOp::Encoder(e) => {
                let range = match e.presentation {
                    Presentation::BitSerial { .. } => Interval::new(0, 1),
                    _ => Interval::new(e.minimum - e.zero_point, e.maximum - e.zero_point),
                };
                vec![range.with_zero(); channels]
            }
            SpikingOp::Projection(p) => match &node.data {
                Some(weights) => {
                    let per_source = if p.connectivity == Connectivity::Dense {
                        spread(&of(0), sources.first().map_or(0, |&s| graph[s].ty.len()))
                    } else {
                        of(0)
                    };
                    projected(p, weights, &per_source, channels)
                }
                None => Vec::new(),
            },
            SpikingOp::Population(p) => {
                let mut total = vec![Interval::new(0, 0); channels];
                for port in 0..sources.len() {
                    for (sum, part) in total.iter_mut().zip(of(port)) {
                        *sum = sum.plus(part);
                    }
                }
                for (channel, sum) in total.iter_mut().enumerate() {
                    let bias = p.bias_at(channel);
                    *sum = sum.plus(Interval::new(bias, bias));
                }
                let sent = sent(p, &total, graph.timing.timesteps);
                result.potentials.insert(id, total);
                sent
            }
            SpikingOp::MaxPool { .. } => of(0),
            // Between the smallest and the largest total lies a change of up to their distance.
            SpikingOp::RunningMaxPool { .. } => of(0)
                .into_iter()
                .map(|i| {
                    let reach =
                        (i.magnitude() as i64).saturating_mul(graph.timing.timesteps as i64);
                    if i.low >= 0 { Interval::new(0, reach) } else { Interval::new(-reach, reach) }
                })
                .collect(),
            SpikingOp::Concatenate { axis: 0 } => (0..sources.len()).flat_map(of).collect(),
            SpikingOp::Concatenate { .. } => {
                let mut joined = of(0);
                for port in 1..sources.len() {
                    for (a, b) in joined.iter_mut().zip(of(port)) {
                        *a = a.union(b);
                    }
                }
                joined
            }
            SpikingOp::Decoder(_) => of(0),
        };
        result.values.insert(id, values);
    }
    Ok(result)
}

fn declared(graph: &Graph, id: NodeId) -> Vec<Interval> {
    let channels = graph[id].ty.shape.first().copied().unwrap_or(1);
    match &graph[id].op {
        Op::Spiking(SpikingOp::Population(p)) => {
            vec![Interval::new(p.minimum, p.maximum); channels]
        }
        _ => vec![Interval::new(i64::MIN, i64::MAX); channels],
    }
}

/// One entry for each neuron of a map whose channels have the given intervals.
fn spread(channels: &[Interval], neurons: usize) -> Vec<Interval> {
    let each = neurons / channels.len().max(1);
    channels.iter().flat_map(|&i| std::iter::repeat_n(i, each)).collect()
}

fn sent(population: &Population, potentials: &[Interval], timesteps: usize) -> Vec<Interval> {
    let declared = Interval::new(population.minimum, population.maximum);
    let each = potentials.iter().enumerate();
    each.map(|(c, &v)| population.neuron.sent(c, v, timesteps).unwrap_or(declared)).collect()
}

/// Interval of `sum(weight * x)` over one row of weights with one interval for each weight; every
/// `x` may also be 0.
pub fn sum_interval<'a>(row: impl Iterator<Item = (i64, &'a Interval)>) -> Interval {
    row.fold(Interval::new(0, 0), |sum, (w, x)| sum.plus(x.with_zero().times(w)))
}

/// [`sum_interval`] where each interval is that of `run` weights one behind the other: the sum of the
/// positive and that of the negative ones of a run are all that counts.
pub fn sum_of_runs(row: &[i64], sources: &[Interval], run: usize) -> Interval {
    row.chunks(run.max(1)).zip(sources).fold(Interval::new(0, 0), |sum, (weights, x)| {
        let (mut positive, mut negative) = (0i64, 0i64);
        for &w in weights {
            positive = positive.saturating_add(w.max(0));
            negative = negative.saturating_add(w.min(0));
        }
        let x = x.with_zero();
        sum.plus(x.times(positive)).plus(x.times(negative))
    })
}

fn projected(
    p: &Projection,
    weights: &Tensor,
    sources: &[Interval],
    channels: usize,
) -> Vec<Interval> {
    // Row by row: all integers of a large layer are many times its bytes.
    let row = |from: usize, length: usize| {
        weights.part_to_i64(from * length..(from + 1) * length).unwrap_or_default()
    };
    let source = |i: usize| {
        let shift = match p.input_shift.as_slice() {
            [] => 0,
            [one] => *one,
            many => many[i],
        };
        let x = sources[i];
        if p.binary {
            Interval::new(0, i64::from(x != Interval::new(0, 0)))
        } else {
            x.times(1 << shift)
        }
    };
    let xs = || (0..sources.len()).map(source).collect::<Vec<_>>();
    let sums: Vec<Interval> = match &p.connectivity {
        Connectivity::Dense => {
            // Targets may be shaped as a map, several targets to a channel.
            let (targets, inputs) = (weights.shape()[0], weights.shape()[1]);
            let each = targets / channels.max(1);
            let xs = xs();
            let target = |target: usize| sum_of_runs(&row(target, inputs), &xs, 1);
            (0..channels)
                .map(|channel| {
                    let own = (channel * each..(channel + 1) * each).map(target);
                    own.reduce(Interval::union).unwrap_or(Interval::new(0, 0))
                })
                .collect()
        }
        Connectivity::Convolution { groups, .. } => {
            let per_group = weights.shape()[1];
            let each = weights.len() / weights.shape()[0].max(1);
            let kernel = each / per_group.max(1);
            let xs = xs();
            (0..channels)
                .map(|channel| {
                    let first = channel / (weights.shape()[0] / groups).max(1) * per_group;
                    sum_of_runs(&row(channel, each), xs.get(first..).unwrap_or_default(), kernel)
                })
                .collect()
        }
        Connectivity::OneToOne => (0..channels)
            .map(|channel| {
                let weight = row(if weights.len() == 1 { 0 } else { channel }, 1);
                let weight = weight.first().copied().unwrap_or(0);
                source(channel).times(weight).with_zero()
            })
            .collect(),
    };
    sums.into_iter().enumerate().map(|(channel, sum)| sum.times(p.gain_at(channel))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn runs_are_summed_as_their_weights(
            row in proptest::collection::vec(-300i64..300, 0..40), run in 1usize..6,
            ends in proptest::collection::vec((-50i64..50, 0i64..90), 40),
        ) {
            let sources: Vec<Interval> = ends.iter().map(|&(low, n)| Interval::new(low, low + n)).collect();
            let each = sum_interval(row.iter().enumerate().map(|(i, &w)| (w, &sources[i / run])));
            proptest::prop_assert_eq!(sum_of_runs(&row, &sources, run), each);
        }
    }

    #[test]
    fn bounds_are_reached_and_not_passed() {
        let graph = Graph::from_text(
            r#"snnir 1 spiking "i" {"timesteps":1,"schedule":"streaming"}
%x = encoder {"scale":1.0,"zero_point":2,"minimum":0,"maximum":9,"presentation":"once"} () : i64[2]
%p = projection {"connectivity":"dense","gain":[3,-1],"accumulator":{"bits":64,"overflow":"error"}} (%x) : i64[2]
  data i8[2,2] 4 -5 1 1
%n = population {"coding":"graded","bias":[1,0],"neuron":"accumulate","minimum":-1000,"maximum":1000} (%p) : i64[2]
%o = decoder {"readout":"last","scale":[1.0]} (%n) : f32[2]
"#,
        )
        .unwrap();
        let bounds = intervals(&graph).unwrap();
        let n = graph.find("n").unwrap();
        // x in -2..=7: 4*7 - 5*-2 = 38 and 4*-2 - 5*7 = -43; gain 3 and bias 1; the other row by -1.
        assert_eq!(bounds.potentials(n), [Interval::new(-128, 115), Interval::new(-14, 4)]);
    }
}
