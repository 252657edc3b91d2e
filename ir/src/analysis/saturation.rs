//! Which sums can leave the bits that hold them, for some input.

use super::interval::Intervals;
use crate::interval::Interval;
use crate::{Graph, InnerSum, Neuron, NodeId, Op, Overflow, Projection, SpikingOp, saturate};

/// A stage of a node that some input may bring to the end of its bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saturation {
    /// The node.
    pub node: NodeId,
    /// What saturates, in words.
    pub what: &'static str,
    /// Channels in which it may.
    pub channels: Vec<usize>,
    /// What can be reached in the worst of them.
    pub reach: Interval,
    /// Bits that hold it, two's complement.
    pub bits: u8,
}

/// Every stage that may saturate; none is a proof that for no input anything does.
///
/// Bounds are those of [`super::intervals`]: the worst payload of each source, channel by channel. They
/// hold for partial sums in any order too.
pub fn saturations(graph: &Graph, intervals: &Intervals) -> Vec<Saturation> {
    let mut found = Vec::new();
    for id in graph.ids() {
        match &graph[id].op {
            Op::Spiking(SpikingOp::Projection(p)) => {
                found.extend(of_sums(id, p, intervals.values(id)));
            }
            Op::Spiking(SpikingOp::Population(p)) => {
                found.extend(of_neurons(id, &p.neuron, intervals.potentials(id)));
            }
            _ => {}
        }
    }
    found
}

fn is_outside(i: &Interval, bits: u8) -> bool {
    saturate(i.low, bits) != i.low || saturate(i.high, bits) != i.high
}

/// The channels whose interval `bits` do not hold.
pub fn outside(
    node: NodeId,
    what: &'static str,
    intervals: &[Interval],
    bits: u8,
) -> Option<Saturation> {
    let wide: Vec<usize> =
        (0..intervals.len()).filter(|&c| is_outside(&intervals[c], bits)).collect();
    let worst = wide.iter().map(|&c| intervals[c]).max_by_key(|i| i.magnitude())?;
    Some(Saturation { node, what, channels: wide, reach: worst, bits })
}

fn of_sums(id: NodeId, p: &Projection, sums: &[Interval]) -> Option<Saturation> {
    if !matches!(p.accumulator.overflow, Overflow::Saturate | Overflow::SaturateEach) {
        return None;
    }
    let ungained: Vec<Interval> = (0..sums.len())
        .map(|c| {
            let gain = p.gain_at(c).abs().max(1);
            Interval::new(sums[c].low / gain, sums[c].high / gain)
        })
        .collect();
    outside(id, "the sum", &ungained, p.accumulator.bits)
}

/// Sums within the neurons; of each the channels in which it may saturate.
fn of_neurons(id: NodeId, neuron: &Neuron, potentials: &[Interval]) -> Vec<Saturation> {
    let sums: Vec<Vec<InnerSum>> =
        potentials.iter().enumerate().map(|(c, &v)| neuron.inner_sums(c, v)).collect();
    let first = sums.first().map_or(&[][..], Vec::as_slice).iter().enumerate();
    let all = |i: usize| sums.iter().filter_map(|s| s.get(i)).map(|s| s.reach).collect::<Vec<_>>();
    first.filter_map(|(i, sum)| outside(id, sum.what, &all(i), sum.bits)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::intervals;

    fn graph(bits: u8, scale: i64) -> Graph {
        Graph::from_text(&format!(
            r#"snnir 1 spiking "s" {{"timesteps":1,"schedule":"streaming"}}
%x = encoder {{"scale":1.0,"zero_point":0,"minimum":0,"maximum":10,"presentation":"once"}} () : i64[2]
%p = projection {{"connectivity":"dense","accumulator":{{"bits":{bits},"overflow":"saturate"}}}} (%x) : i64[2]
  data i8[2,2] 6 6 7 6
%n = population {{"coding":"graded","neuron":{{"akida-two":{{"bias":[0],"bias_shift":[0],"post_bits":16,"ceiling":[1000],"scale":[{scale}],"shift":[-8],"output_bits":8}}}},"minimum":0,"maximum":127}} (%p) : i64[2]
%o = decoder {{"readout":"last","scale":[1.0]}} (%n) : f32[2]
"#
        ))
        .unwrap()
    }

    #[test]
    fn channels_that_can_leave_their_bits_are_found() {
        // Sums reach 120 and 130; 8 bits hold up to 127, and 130 * 252 is within 16 bits.
        let found = |bits, scale| {
            let graph = graph(bits, scale);
            saturations(&graph, &intervals(&graph).unwrap())
        };
        assert_eq!(found(9, 252), []);
        let narrow = found(8, 1);
        assert_eq!((narrow.len(), &narrow[0].channels[..]), (1, &[1][..]));
        assert_eq!((narrow[0].reach, narrow[0].what), (Interval::new(0, 130), "the sum"));
        let scaled = found(9, 255);
        assert_eq!((scaled.len(), scaled[0].what), (1, "the scaled sum"));
        assert_eq!(scaled[0].reach, Interval::new(0, 33_150));
    }
}
