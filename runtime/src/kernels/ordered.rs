//! Sums of products each made in a given order, so that reals come out to the last bit as one product
//! after another gives them: outputs lie side by side in vectors, and no sum is split.

use super::{Isa, Kernels, multiversion};

/// Outputs are computed in blocks of so many.
pub const BLOCK: usize = 16;

/// Rows are computed so many at once, each weight being loaded once for all of them: their sums have to
/// find room in registers, of which AVX-512 has more.
const ROWS: usize = 6;
/// Rows at once by AVX-512.
const MANY: usize = 8;
/// Of the rows that are left, so many at once if there are as many.
const FEW: usize = 4;

/// Weights laid out as `[block of 16 outputs][tap][16]`, zeros beyond the last output.
#[derive(Clone, Debug)]
pub struct Ordered<T> {
    packed: Vec<T>,
    /// Where in a row each product's element lies, in the order of the sum.
    taps: Vec<usize>,
    /// One more than the largest of `taps`, 0 without any.
    span: usize,
    outputs: usize,
}

impl<T: Copy + Default> Ordered<T> {
    /// Packs `weights` of `[output][tap]`; `taps` are distances from a row's place.
    pub fn new(taps: Vec<usize>, outputs: usize, weights: &[T]) -> Ordered<T> {
        let count = taps.len();
        let mut packed = vec![T::default(); outputs.div_ceil(BLOCK) * count * BLOCK];
        let size = (count * BLOCK).max(1);
        let weights = &weights[..weights.len().min(outputs * count)];
        for (block, rows) in packed.chunks_exact_mut(size).zip(weights.chunks(size)) {
            if rows.len() == size {
                let rows: [&[T]; BLOCK] =
                    std::array::from_fn(|lane| &rows[lane * count..][..count]);
                for (tap, lanes) in block.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
                    for (lane, row) in lanes.iter_mut().zip(rows) {
                        *lane = row[tap];
                    }
                }
            } else {
                for (lane, row) in rows.chunks_exact(count).enumerate() {
                    for (tap, &weight) in row.iter().enumerate() {
                        block[tap * BLOCK + lane] = weight;
                    }
                }
            }
        }
        let span = taps.iter().map(|tap| tap + 1).max().unwrap_or(0);
        Ordered { packed, taps, span, outputs }
    }

    /// The weights of each block, with its first output and the number of its outputs.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize, &[T])> {
        let length = (self.taps.len() * BLOCK).max(1);
        self.packed.chunks_exact(length).enumerate().map(|(i, block)| {
            let first = i * BLOCK;
            (first, BLOCK.min(self.outputs - first), block)
        })
    }
}

/// Sums of one block for so many rows.
macro_rules! tile {
    ($name:ident, $t:ty, $rows:expr, $plus:expr) => {
        multiversion! {
            /// Sums of one block of outputs, all taps, which are below `span`, for so many rows.
            pub fn $name(
                x: &[$t],
                rows: &[usize; $rows],
                taps: &[usize],
                span: usize,
                block: &[$t],
                sums: &mut [[$t; BLOCK]; $rows],
            ) {
                // All of one length, so that one comparison serves for all rows.
                let rows = rows.map(|row| &x[row..row + span]);
                let mut own = [[<$t>::default(); BLOCK]; $rows];
                for (&tap, weights) in taps.iter().zip(block.as_chunks::<BLOCK>().0) {
                    if tap >= span {
                        break;
                    }
                    for (sums, row) in own.iter_mut().zip(&rows) {
                        let x = row[tap];
                        for (sum, &w) in sums.iter_mut().zip(weights) {
                            *sum = $plus(*sum, x, w);
                        }
                    }
                }
                *sums = own;
            }
        }
    };
}

/// All rows of all blocks, by tiles of [`MANY`], [`ROWS`], [`FEW`] and one.
macro_rules! products {
    ($t:ty, [$many:ident, $more:ident, $few:ident, $one:ident], $plus:expr) => {
        tile!($many, $t, MANY, $plus);
        tile!($more, $t, ROWS, $plus);
        tile!($few, $t, FEW, $plus);
        tile!($one, $t, 1, $plus);

        impl Ordered<$t> {
            /// `y[o * rows + r] = sum(x[rows[r] + tap] * weight(o, tap))`, from 0, in the order of the
            /// taps. Reals are rounded after each product and each addition, integers wrap.
            ///
            /// # Panics
            /// When a row does not lie in `x`, or `y` has another length than outputs times rows.
            pub fn run(&self, isa: Isa, x: &[$t], rows: &[usize], y: &mut [$t]) {
                assert_eq!(y.len(), self.outputs * rows.len(), "there is one sum for each output");
                y.fill(<$t>::default());
                if self.span == 0 {
                    return;
                }
                let wide = if isa.kernels() == Kernels::Avx512 { rows } else { &[] };
                for (first, count, block) in self.blocks() {
                    let mut done = 0;
                    let mut place = |r: usize, sums: &[[$t; BLOCK]]| {
                        for (r, sums) in (r..).zip(sums) {
                            for (lane, &sum) in sums.iter().take(count).enumerate() {
                                y[(first + lane) * rows.len() + r] = sum;
                            }
                        }
                    };
                    macro_rules! tiles {
                        ($rows:expr, $size:expr, $tile:ident) => {
                            for tile in $rows.as_chunks::<{ $size }>().0 {
                                let mut sums = [[<$t>::default(); BLOCK]; $size];
                                $tile(isa, x, tile, &self.taps, self.span, block, &mut sums);
                                place(done, &sums);
                                done += $size;
                            }
                        };
                    }
                    tiles!(wide, MANY, $many);
                    tiles!(rows[done..], ROWS, $more);
                    tiles!(rows[done..], FEW, $few);
                    tiles!(rows[done..], 1, $one);
                }
            }
        }
    };
}

products!(
    f32,
    [many_real_rows, more_real_rows, few_real_rows, real_row],
    |sum: f32, x: f32, w: f32| sum + x * w
);
products!(
    i32,
    [many_integer_rows, more_integer_rows, few_integer_rows, integer_row],
    |sum: i32, x: i32, w: i32| sum.wrapping_add(x.wrapping_mul(w))
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_taps_every_sum_is_zero() {
        let none: Ordered<f32> = Ordered::new(Vec::new(), 3, &[]);
        for isa in Kernels::ALL.into_iter().filter_map(Isa::of) {
            let mut y = [1.0; 6];
            none.run(isa, &[], &[0, 7], &mut y);
            assert_eq!(y, [0.0; 6]);
        }
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_bits_of_one_product_after_another(
            taps in proptest::collection::vec(0usize..30, 0..40), outputs in 1usize..40,
            rows in proptest::collection::vec(0usize..20, 0..20), seed in any::<u32>(),
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state
            };
            let x: Vec<f32> = (0..50).map(|_| (next() >> 8) as f32 * 1e-5 - 80.0).collect();
            let w: Vec<f32> =
                (0..outputs * taps.len()).map(|_| (next() >> 8) as f32 * 1e-6 - 8.0).collect();
            let (xi, wi) = (x.iter().map(|&v| v as i32).collect::<Vec<_>>(), w.iter().map(|&v| v as i32).collect::<Vec<_>>());
            let (reals, integers) =
                (Ordered::new(taps.clone(), outputs, &w), Ordered::new(taps.clone(), outputs, &wi));
            for isa in Kernels::ALL.into_iter().filter_map(Isa::of) {
                let (mut y, mut yi) = (vec![0f32; outputs * rows.len()], vec![0i32; outputs * rows.len()]);
                reals.run(isa, &x, &rows, &mut y);
                integers.run(isa, &xi, &rows, &mut yi);
                for o in 0..outputs {
                    for (r, row) in rows.iter().enumerate() {
                        let (mut sum, mut sum_i) = (0f32, 0i32);
                        for (t, tap) in taps.iter().enumerate() {
                            sum += x[row + tap] * w[o * taps.len() + t];
                            sum_i += xi[row + tap] * wi[o * taps.len() + t];
                        }
                        prop_assert_eq!(y[o * rows.len() + r].to_bits(), sum.to_bits());
                        prop_assert_eq!(yi[o * rows.len() + r], sum_i);
                    }
                }
            }
        }
    }
}
