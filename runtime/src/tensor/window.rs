//! Windows sliding over maps of one to three spatial dimensions, which all become three.

use snnc_ir::Window;

use super::RunError;

/// Cells that a dimension may span with its padding: beyond it, walking a window would not end.
const MAX_REACH: usize = 1 << 28;

/// One spatial dimension of a sliding window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
    pub after: usize,
}

impl Axis {
    const POINT: Axis =
        Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };

    /// The input cell that kernel cell `k` of window `output` covers, counted from the start of
    /// the padding.
    fn padded(&self, output: usize, k: usize) -> usize {
        output * self.stride + k * self.dilation
    }

    /// The input cell that kernel cell `k` of window `output` covers, `None` where it is padding.
    pub fn cell(&self, output: usize, k: usize) -> Option<usize> {
        self.padded(output, k).checked_sub(self.before).filter(|&cell| cell < self.input)
    }

    /// How many cells of window `output` are in the map or its padding.
    pub fn covered(&self, output: usize) -> usize {
        let end = self.before + self.input + self.after;
        (0..self.kernel).filter(|&k| self.padded(output, k) < end).count()
    }

    /// The windows of which kernel cell `k` is in the map: first, number, and the first's cell.
    pub fn span(&self, k: usize) -> Span {
        let shift = k * self.dilation;
        let first = self.before.saturating_sub(shift).div_ceil(self.stride);
        let end = match (self.input + self.before).checked_sub(shift + 1) {
            Some(last) => (last / self.stride + 1).min(self.output),
            None => 0,
        };
        if end <= first {
            return Span { first: 0, count: 0, cell: 0 };
        }
        Span { first, count: end - first, cell: first * self.stride + shift - self.before }
    }
}

/// A run of neighbouring windows of which one kernel cell lies in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// First window.
    pub first: usize,
    /// Number of windows.
    pub count: usize,
    /// Input cell under the first window's kernel cell; the next is one stride on.
    pub cell: usize,
}

/// Depth, height and width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub axes: [Axis; 3],
}

impl Geometry {
    /// The geometry of `window` over spatial dimensions `input`, making `output`; dimensions that
    /// are not there become single cells in front.
    ///
    /// # Errors
    /// When there are more than three, or a number is so large that positions would overflow.
    pub fn new(window: &Window, input: &[usize], output: &[usize]) -> Result<Self, RunError> {
        let rank = window.rank();
        if rank > 3 || input.len() != rank || output.len() != rank {
            return Err(RunError::Unsupported("more than 3 spatial dimensions cannot be run"));
        }
        let mut axes = [Axis::POINT; 3];
        for i in 0..rank {
            let axis = Axis {
                input: input[i],
                output: output[i],
                kernel: window.kernel[i],
                stride: window.strides[i],
                dilation: window.dilations[i],
                before: window.before[i],
                after: window.after[i],
            };
            let reach = axis.output.checked_mul(axis.stride).and_then(|r| {
                r.checked_add(axis.kernel.checked_mul(axis.dilation)?)?
                    .checked_add(axis.before)?
                    .checked_add(axis.after)?
                    .checked_add(axis.input)
            });
            let runs = reach.is_some_and(|r| r <= MAX_REACH);
            if axis.stride == 0 || axis.dilation == 0 || !runs {
                return Err(RunError::Unsupported("a window reaches too far"));
            }
            axes[3 - rank + i] = axis;
        }
        Ok(Geometry { axes })
    }

    pub fn input_cells(&self) -> usize {
        self.axes.iter().map(|a| a.input).product()
    }

    pub fn output_cells(&self) -> usize {
        self.axes.iter().map(|a| a.output).product()
    }

    pub fn kernel_cells(&self) -> usize {
        self.axes.iter().map(|a| a.kernel).product()
    }

    /// The spans of every kernel cell, C order.
    pub fn spans(&self) -> Vec<[Span; 3]> {
        let [d, h, w] = &self.axes;
        let mut spans = Vec::with_capacity(self.kernel_cells());
        for kd in 0..d.kernel {
            for kh in 0..h.kernel {
                spans.extend((0..w.kernel).map(|kw| [d.span(kd), h.span(kh), w.span(kw)]));
            }
        }
        spans
    }

    /// Rows of windows and the rows of cells under them: calls `row` with the index of the first
    /// window and of the first cell. Both lie `spans[2].count` windows long, cells one stride apart.
    pub fn rows(&self, [d, h, w]: &[Span; 3], mut row: impl FnMut(usize, usize)) {
        let [ad, ah, aw] = &self.axes;
        if w.count == 0 {
            return;
        }
        for i in 0..d.count {
            let (window, cell) = (d.first + i, d.cell + i * ad.stride);
            for j in 0..h.count {
                let window = window * ah.output + h.first + j;
                let cell = cell * ah.input + h.cell + j * ah.stride;
                row(window * aw.output + w.first, cell * aw.input + w.cell);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_are_the_windows_whose_cell_exists(
            (input, output, kernel) in (1usize..9, 1usize..9, 1usize..5),
            (stride, dilation, before, after) in (1usize..4, 1usize..4, 0usize..7, 0usize..7),
        ) {
            let axis = Axis { input, output, kernel, stride, dilation, before, after };
            for k in 0..kernel {
                let span = axis.span(k);
                let cells: Vec<_> =
                    (0..output).filter_map(|o| Some((o, axis.cell(o, k)?))).collect();
                let spanned: Vec<_> = (0..span.count)
                    .map(|i| (span.first + i, span.cell + i * stride))
                    .collect();
                prop_assert_eq!(cells, spanned);
            }
        }
    }
}
