//! Transposed convolutions: each neuron of the smaller map projects a kernel onto the larger one.

use snnc_ir::{Connectivity, NodeId, Window};

use super::{Converter, Form, unbatched};

/// Weights that such a projection may take.
const MOST_WEIGHTS: usize = 1 << 24;

/// Geometry of one transposed convolution, spatial extents row by row.
struct Geometry<'a> {
    window: &'a Window,
    groups: usize,
    /// Filters of one group.
    filters: usize,
    input: &'a [usize],
    output: &'a [usize],
}

impl Converter<'_> {
    /// Synapses from every neuron to the cells that its kernel reaches, each with a weight of its own.
    pub(super) fn transposed(&mut self, id: NodeId, window: &Window, groups: usize) -> Form {
        let operands = self.quantised.sources(id);
        let (output, input) = (
            unbatched(&self.quantised[id].ty.shape),
            unbatched(&self.quantised[operands[0]].ty.shape),
        );
        let Some(weights) = self.codes(operands[1]) else {
            let remedy = "quantise its weights";
            return self.problem(id, "its weights are not constant integers", remedy);
        };
        let (sources, targets) = (input.iter().product::<usize>(), output.iter().product());
        if sources.checked_mul(targets).is_none_or(|n| n > MOST_WEIGHTS) {
            let text =
                format!("takes more than {MOST_WEIGHTS} synapses to project a map this large");
            let remedy = "use a smaller map, or nearest-neighbour upsampling by a layer of its own";
            return self.problem(id, text, remedy);
        }
        let filters = self.quantised[operands[1]].ty.shape[1];
        let geometry = Geometry { window, groups, filters, input: &input, output: &output };
        let weights = geometry.spread(&weights);
        self.projecting(id, Connectivity::Dense, weights, vec![targets, sources])
    }
}

impl Geometry<'_> {
    /// Weights (C, F / groups, kernel..) as a matrix of targets by sources.
    fn spread(&self, weights: &[i64]) -> Vec<i64> {
        let (plane, cells) =
            (self.input[1..].iter().product::<usize>(), self.output[1..].iter().product::<usize>());
        let taps: usize = self.window.kernel.iter().product();
        let (channels, sources) = (self.input[0], self.input[0] * plane);
        let mut matrix = vec![0; self.output[0] * cells * sources];
        let reached: Vec<Vec<Option<usize>>> = (0..plane)
            .map(|place| (0..taps).map(|tap| self.reached(place, tap)).collect())
            .collect();
        for channel in 0..channels {
            let first = channel / (channels / self.groups).max(1) * self.filters;
            for within in 0..self.filters {
                let row = (channel * self.filters + within) * taps;
                let kernel = &weights[row..][..taps];
                for (place, reached) in reached.iter().enumerate() {
                    for (weight, cell) in kernel.iter().zip(reached) {
                        let Some(cell) = cell else { continue };
                        let target = (first + within) * cells + cell;
                        matrix[target * sources + channel * plane + place] += weight;
                    }
                }
            }
        }
        matrix
    }

    /// The cell of the output onto which a tap projects what stands at a place of the input.
    fn reached(&self, mut place: usize, mut tap: usize) -> Option<usize> {
        let w = self.window;
        let (mut cell, mut step) = (0, 1);
        for axis in (0..w.rank()).rev() {
            let (at, offset) = (place % self.input[axis + 1], tap % w.kernel[axis]);
            (place, tap) = (place / self.input[axis + 1], tap / w.kernel[axis]);
            let along = at * w.strides[axis] + offset * w.dilations[axis];
            let along = along.checked_sub(w.before[axis])?;
            if along >= self.output[axis + 1] {
                return None;
            }
            (cell, step) = (cell + along * step, step * self.output[axis + 1]);
        }
        Some(cell)
    }
}
