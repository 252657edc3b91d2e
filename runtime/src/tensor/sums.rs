//! Sums of reals in the orders in which ONNX Runtime makes them.

use snnc_ir::SumOrder;

/// Reals of one packet.
const PACKET: usize = 4;

/// The sum of the cells of a window of `columns` columns, the last dimension fastest; `first` is the
/// place of the first cell in its tensor, whose memory begins at a multiple of a packet.
pub(super) fn sum(cells: &[f32], columns: usize, first: usize, order: SumOrder) -> f32 {
    match order {
        SumOrder::Cells => cells.iter().fold(0.0, |sum, x| sum + x),
        SumOrder::Columns => {
            let column = |c: usize| cells[c..].iter().step_by(columns).fold(0f32, |s, x| s + x);
            (0..columns.min(cells.len())).fold(0.0, |sum, c| sum + column(c))
        }
        SumOrder::Lanes => lanes(cells),
        SumOrder::AlignedLanes => aligned_lanes(cells, first),
    }
}

fn joined(lanes: [f32; PACKET]) -> f32 {
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}

fn plus(a: [f32; PACKET], b: &[f32]) -> [f32; PACKET] {
    std::array::from_fn(|lane| a[lane] + b[lane])
}

fn lanes(cells: &[f32]) -> f32 {
    let packets = cells.chunks_exact(PACKET);
    let rest = packets.remainder();
    let sums = packets.fold([0f32; PACKET], plus);
    rest.iter().fold(joined(sums), |sum, x| sum + x)
}

/// Eigen's `LinearVectorizedTraversal`: two sums of packets by turns, joined; one more packet if their
/// number is odd; then what lies before the first whole packet, then what lies behind the last.
pub(super) fn aligned_lanes(cells: &[f32], first: usize) -> f32 {
    let before = (first.wrapping_neg() % PACKET).min(cells.len());
    let (head, body) = cells.split_at(before);
    let (packets, tail) = body.as_chunks::<PACKET>();
    let Some((&one, others)) = packets.split_first() else {
        return cells.iter().skip(1).fold(cells.first().copied().unwrap_or(0.0), |s, x| s + x);
    };
    let mut sum = one;
    if let Some((&two, others)) = others.split_first() {
        let mut second = two;
        let pairs = others.chunks_exact(2);
        let odd = pairs.remainder();
        for pair in pairs {
            sum = plus(sum, &pair[0]);
            second = plus(second, &pair[1]);
        }
        sum = plus(sum, &second);
        if let [last] = odd {
            sum = plus(sum, last);
        }
    }
    head.iter().chain(tail).fold(joined(sum), |sum, x| sum + x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of a 3x7 window times 0.0354, and their mean by ONNX Runtime 1.32 (AVX2 and AVX-512):
    /// AveragePool of version 11 of a map that is one column wider, AveragePool of version 22,
    /// GlobalAveragePool, and ReduceMean of the same map as the first and as the second channel.
    const CELLS: [i16; 21] = [
        194, 50, 83, 186, 146, 110, 110, 113, 36, 190, 127, 0, 41, -12, -24, 10, -33, 1, 143, 140,
        19,
    ];

    #[test]
    fn means_are_those_of_onnx_runtime_to_the_last_bit() {
        let cells = CELLS.map(|q| f32::from(q) * 0.0354);
        for (order, first, bits) in [
            (SumOrder::Columns, 0, 0x402f_da8e),
            (SumOrder::Cells, 0, 0x402f_da8b),
            (SumOrder::Lanes, 0, 0x402f_da8c),
            (SumOrder::AlignedLanes, 0, 0x402f_da8d),
            (SumOrder::AlignedLanes, 21, 0x402f_da8e),
        ] {
            let mean = sum(&cells, 7, first, order) / 21.0;
            assert_eq!(mean.to_bits(), bits, "{order:?} from {first}");
        }
    }

    #[test]
    fn whole_numbers_have_one_sum() {
        let cells: Vec<f32> = (1..=23).map(|i| i as f32).collect();
        for count in 0..=cells.len() {
            let wanted = (count * (count + 1) / 2) as f32;
            let orders =
                [SumOrder::Cells, SumOrder::Columns, SumOrder::Lanes, SumOrder::AlignedLanes];
            for (order, columns) in orders.into_iter().flat_map(|o| [(o, 1), (o, 4), (o, 7)]) {
                for first in 0..4 {
                    assert_eq!(sum(&cells[..count], columns, first, order), wanted, "{order:?}");
                }
            }
        }
    }
}
