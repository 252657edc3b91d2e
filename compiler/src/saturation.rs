//! A log of what saturated in a run.

use std::collections::BTreeMap;

use snnc_ir::analysis::{Interval, intervals, saturations};
use snnc_ir::{Graph, NodeId, Op, SpikingOp, saturate};

/// Nodes that may saturate, and how often they did.
#[derive(Clone, Debug, Default)]
pub struct SaturationLog {
    /// Values that saturated, by node.
    counts: BTreeMap<NodeId, u64>,
}

impl SaturationLog {
    /// A log of the nodes of a spiking network that some input may saturate; [`Self::is_idle`] where it is
    /// proved that none can.
    pub fn of(graph: &Graph) -> Self {
        let reach = intervals(graph).unwrap_or_default();
        let nodes = saturations(graph, &reach).into_iter().map(|s| (s.node, 0));
        SaturationLog { counts: nodes.collect() }
    }

    /// Whether nothing can saturate.
    pub fn is_idle(&self) -> bool {
        self.counts.is_empty()
    }

    /// Takes down what node `id` made in one timestep: `values` are a projection's finished sums, a
    /// saturated one lying at the end of its bits, or what reaches a population.
    pub fn observe(&mut self, graph: &Graph, id: NodeId, values: &[i64]) {
        let users = graph.users(id);
        if let Some(count) = self.counts.get_mut(&id)
            && let Op::Spiking(SpikingOp::Projection(p)) = &graph[id].op
        {
            let bits = p.accumulator.bits;
            let limit = 1i64 << (bits.clamp(1, 63) - 1);
            let channels = graph[id].ty.shape.first().copied().unwrap_or(1).max(1);
            let plane = (values.len() / channels).max(1);
            let at_end = |(i, &v): (usize, &i64)| {
                let v = v / p.gain_at((i / plane).min(channels - 1)).max(1);
                v <= -limit || v >= limit - 1
            };
            *count += values.iter().enumerate().filter(|&pair| at_end(pair)).count() as u64;
        }
        // An output stage saturates by what reaches it; it has one operand.
        for user in users {
            if let Some(count) = self.counts.get_mut(&user)
                && let Op::Spiking(SpikingOp::Population(p)) = &graph[user].op
            {
                let channels = graph[user].ty.shape.first().copied().unwrap_or(1).max(1);
                let plane = (values.len() / channels).max(1);
                let leaves = |(i, &v): (usize, &i64)| {
                    let c = (i / plane).min(channels - 1);
                    let v = v + p.bias_at(c);
                    let sums = p.neuron.inner_sums(c, Interval::new(v, v));
                    sums.iter().any(|s| saturate(s.reach.low, s.bits) != s.reach.low)
                };
                *count += values.iter().enumerate().filter(|&pair| leaves(pair)).count() as u64;
            }
        }
    }

    /// Nodes at which something saturated, and how many values did, in the order of the graph.
    pub fn saturated(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        self.counts.iter().map(|(&id, &n)| (id, n)).filter(|&(_, n)| n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_saturates_is_counted_where_it_can() {
        let graph = Graph::from_text(
            r#"snnir 1 spiking "s" {"timesteps":1,"schedule":"streaming"}
%x = encoder {"scale":1.0,"zero_point":0,"minimum":0,"maximum":10,"presentation":"once"} () : i64[1]
%p = projection {"connectivity":"dense","accumulator":{"bits":8,"overflow":"saturate"}} (%x) : i64[2]
  data i8[2,1] 12 13
%n = population {"coding":"graded","neuron":{"akida-two":{"bias":[0],"bias_shift":[0],"post_bits":14,"scale":[70],"shift":[-8],"output_bits":8}},"minimum":-128,"maximum":127} (%p) : i64[2]
%o = decoder {"readout":"last","scale":[1.0]} (%n) : f32[2]
"#,
        )
        .unwrap();
        let (p, n) = (graph.find("p").unwrap(), graph.find("n").unwrap());
        let mut log = SaturationLog::of(&graph);
        assert!(!log.is_idle());
        log.observe(&graph, p, &[120, 117]);
        // 120 * 70 leaves 14 bits, 117 * 70 = 8190 does not.
        assert_eq!(log.saturated().collect::<Vec<_>>(), [(n, 1)]);
        log.observe(&graph, p, &[0, 127]);
        assert_eq!(log.saturated().collect::<Vec<_>>(), [(p, 1), (n, 2)]);
    }
}
