//! What can saturate for some input, channel by channel, and what the hardware may hold in fewer bits than
//! the layers' arithmetic says.

use snnc_ir::analysis::{Saturation, intervals, outside, saturations};
use snnc_ir::{Graph, Op, SpikingOp};

use super::Legaliser;
use crate::akida::layer::Version;

/// Bits of an inner convolution's sums on Akida 1.0 hardware; its software does not limit them.
const INNER_BITS: u8 = 20;
/// Bits of an input convolution's sums there.
const INPUT_BITS: u8 = 24;

impl Legaliser<'_> {
    /// Notes every stage of the finished layers that some input may saturate.
    pub(super) fn report_saturation(&mut self, graph: &Graph) {
        let Ok(reach) = intervals(graph) else { return };
        let mut found = saturations(graph, &reach);
        if self.version == Version::V1 {
            found.extend(graph.ids().filter_map(|id| {
                let Op::Spiking(SpikingOp::Projection(p)) = &graph[id].op else { return None };
                let source = graph.source(id, 0)?;
                let first = matches!(graph[source].as_spiking(), Some(SpikingOp::Encoder(_)));
                let bits = if first { INPUT_BITS } else { INNER_BITS };
                let what = "on the hardware the sum";
                outside(id, what, reach.values(id), bits).filter(|_| p.accumulator.bits > bits)
            }));
        }
        for Saturation { node, what, channels, reach, bits } in found {
            let text = format!(
                "{what} may saturate in {} of {} channels: it can reach {} to {}, and has {bits} bits",
                channels.len(),
                graph[node].ty.shape.first().copied().unwrap_or(1),
                reach.low,
                reach.high
            );
            let node = graph[node].describe();
            self.notes.push(crate::Note { node, text });
        }
    }
}
