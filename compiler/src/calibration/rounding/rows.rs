//! What the weights of a layer are multiplied with, as columns of codes.

use snnc_ir::Window;

/// Where the rows of a layer's operand lie: for each tap of the kernel and each output position, the
/// cell of a channel, or none where there is padding.
pub(super) struct Taps {
    /// `cells[tap * positions + position]`.
    cells: Vec<u32>,
    /// Taps of the kernel.
    pub(super) taps: usize,
    /// Output positions of a sample.
    pub(super) positions: usize,
    /// Cells of a channel of the operand.
    pub(super) channel: usize,
}

/// Stands for padding.
const NONE: u32 = u32::MAX;

impl Taps {
    /// The taps of a convolution from maps of `input` to maps of `output` cells (without batch and
    /// channels).
    pub(super) fn of_window(window: &Window, input: &[usize], output: &[usize]) -> Taps {
        let (taps, positions) = (window.kernel.iter().product(), output.iter().product());
        let mut cells = Vec::with_capacity(taps * positions);
        for tap in 0..taps {
            let tap = coordinates(tap, &window.kernel);
            for position in 0..positions {
                let position = coordinates(position, output);
                cells.push(cell(window, input, &tap, &position));
            }
        }
        Taps { cells, taps, positions, channel: input.iter().product() }
    }

    /// A dense layer of `inputs` inputs: as many channels of one cell, in each of `positions` rows.
    pub(super) fn dense() -> Taps {
        Taps { cells: vec![0], taps: 1, positions: 1, channel: 1 }
    }

    /// Appends the codes of one column, of channel `channel` and tap `tap`, at the positions given.
    pub(super) fn gather(
        &self,
        codes: &[i16],
        (channel, tap): (usize, usize),
        positions: &[usize],
        column: &mut [i16],
    ) {
        let map = &codes[channel * self.channel..(channel + 1) * self.channel];
        let cells = &self.cells[tap * self.positions..(tap + 1) * self.positions];
        for (code, &position) in column.iter_mut().zip(positions) {
            *code = map.get(cells[position] as usize).copied().unwrap_or(0);
        }
    }
}

/// The index in each dimension of element `index` of an array of that shape.
fn coordinates(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut found = vec![0; shape.len()];
    for (place, &extent) in found.iter_mut().zip(shape).rev() {
        *place = index % extent.max(1);
        index /= extent.max(1);
    }
    found
}

fn cell(window: &Window, input: &[usize], tap: &[usize], position: &[usize]) -> u32 {
    let mut cell = 0;
    for (d, &extent) in input.iter().enumerate() {
        let at = position[d] * window.strides[d] + tap[d] * window.dilations[d];
        match at.checked_sub(window.before[d]) {
            Some(at) if at < extent => cell = cell * extent + at,
            _ => return NONE,
        }
    }
    u32::try_from(cell).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_shifted_maps_with_zeros_for_padding() {
        let window = Window { before: vec![1, 0], after: vec![0, 0], ..Window::plain(&[2, 1]) };
        let taps = Taps::of_window(&window, &[2, 2], &[2, 2]);
        let codes = [9, 9, 9, 9, 1, 2, 3, 4];
        let mut column = [7; 4];
        taps.gather(&codes, (1, 0), &[0, 1, 2, 3], &mut column);
        assert_eq!(column, [0, 0, 1, 2]);
        taps.gather(&codes, (1, 1), &[3, 0, 1, 2], &mut column);
        assert_eq!(column, [4, 1, 2, 3]);
    }
}
