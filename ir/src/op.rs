//! Operators: the tensor family, and the sum of both families.

use serde::{Deserialize, Serialize};

use crate::{Quantisation, SpikingOp, Thresholds};

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// An operator on arrays of reals or codes.
    Tensor(TensorOp),
    /// A part of a spiking network.
    Spiking(SpikingOp),
}

/// An operator on arrays. Shapes are as in ONNX, batch first: (N, C, spatial..).
///
/// Every operator of ONNX that changes nothing but the shape is [`TensorOp::Reshape`]; every
/// pooling over the whole map is a [`Pool`] with a window of that size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TensorOp {
    /// A graph input.
    Input,
    /// A constant; the node's data is its value.
    Constant,
    /// A graph output: its operand, under the node's name.
    Output,
    /// Reals to codes (ONNX QuantizeLinear).
    Quantise(Quantisation),
    /// Codes to reals (ONNX DequantizeLinear).
    Dequantise(Quantisation),
    /// One or more tensors of codes or integer accumulators to codes of the node's own
    /// quantisation. With one operand `y = round(f32(a) * f32(s_a / s_y)) + z_y`, as ONNX Runtime
    /// requantises; with several `y = round(sum_i(f32(a_i) * s_i) / s_y) + z_y`, all in f32.
    Requantise,
    /// Several operands, accumulators among them, to codes of the node's own quantisation:
    /// `y = round(sum_i(a_i * s_i) / s_y) + z_y` in exact rationals, the scales being f32 numbers. ONNX adds
    /// reals there that are sums of products in f32 already, whose last bits hang on the order in
    /// which a kernel adds: no order is the model's, so none is followed. Where the quantisation has an
    /// offset, which is added in f32 before rounding, it is [`TensorOp::Requantise`].
    RequantiseSum,
    /// Codes to codes by a table: `table[code - minimum]`.
    Lookup {
        /// Code of the first entry.
        minimum: i64,
        /// One code for each input code.
        table: Vec<i64>,
    },
    /// Codes by comparison with thresholds: of reals, or of codes and accumulators.
    Threshold(Thresholds),
    /// Cross-correlation of (N, C, spatial..) with weights (F, C/groups, kernel..), and an optional
    /// third operand, the bias (F). On codes: zero points subtracted, result an integer accumulator.
    Convolution {
        /// Kernel, stride, dilation and padding.
        window: Window,
        /// Number of groups.
        groups: usize,
    },
    /// Transposed convolution with weights (C, F/groups, kernel..) and an optional bias (F).
    TransposedConvolution {
        /// Kernel, stride, dilation and the padding that is cut from the result.
        window: Window,
        /// Number of groups.
        groups: usize,
    },
    /// (N, K) times weights (F, K) transposed, and an optional third operand, the bias (F).
    Dense,
    /// General matrix product with ONNX's broadcasting.
    MatrixProduct,
    /// Pooling over windows.
    Pool(Pool),
    /// A function of one element.
    Unary(Unary),
    /// A function of two elements, with ONNX's broadcasting.
    Binary(Binary),
    /// Limits each element; an absent bound does not limit.
    Clip {
        /// Lower bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        minimum: Option<f64>,
        /// Upper bound; it wins where it is below `minimum`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        maximum: Option<f64>,
    },
    /// Inference-mode batch normalisation; operands x, scale, bias, mean, variance.
    BatchNormalisation {
        /// Added to the variance.
        epsilon: f32,
    },
    /// The same elements in the shape of the node's type.
    Reshape,
    /// Reorders dimensions: output dimension `i` is input dimension `permutation[i]`.
    Transpose {
        /// For each output dimension the input dimension.
        permutation: Vec<usize>,
    },
    /// Joins operands along an axis.
    Concatenate {
        /// The axis.
        axis: usize,
    },
    /// Adds cells of a constant value around; negative counts cut.
    Pad {
        /// Cells before, one for each dimension.
        before: Vec<isize>,
        /// Cells after, one for each dimension.
        after: Vec<isize>,
        /// The value, a real or a code.
        value: f64,
    },
    /// Every `step`-th element from `start`, as many as the node's type has.
    Slice {
        /// First index, one for each dimension.
        start: Vec<usize>,
        /// Step, one for each dimension; negative walks backwards.
        step: Vec<isize>,
    },
    /// Elements of the first operand along `axis` at the indices of the second.
    Gather {
        /// The axis.
        axis: usize,
    },
    /// Repeats dimensions of size 1 to the shape of the node's type.
    Expand,
    /// Nearest-neighbour upsampling by whole factors, one for each dimension.
    Upsample {
        /// Repetitions of each element.
        factors: Vec<usize>,
    },
    /// Mean (or sum) over axes, which stay with size 1 or go, as the node's type says.
    Reduce {
        /// The axes, ascending.
        axes: Vec<usize>,
        /// Mean instead of sum.
        mean: bool,
    },
    /// Softmax along an axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// Index of the largest element along an axis, the first of equals.
    ArgMax {
        /// The axis.
        axis: usize,
    },
    /// Conversion to the element type of the node, as ONNX Cast.
    Cast,
    /// Second operand where the first is true, else the third.
    Select,
}

/// Geometry of a sliding window, one entry for each spatial dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Extent.
    pub kernel: Vec<usize>,
    /// Step from one window to the next.
    pub strides: Vec<usize>,
    /// Distance between cells of one window.
    pub dilations: Vec<usize>,
    /// Cells added before.
    pub before: Vec<usize>,
    /// Cells added after.
    pub after: Vec<usize>,
}

impl Window {
    /// A window without stride, dilation or padding.
    pub fn plain(kernel: &[usize]) -> Self {
        let n = kernel.len();
        Window {
            kernel: kernel.to_vec(),
            strides: vec![1; n],
            dilations: vec![1; n],
            before: vec![0; n],
            after: vec![0; n],
        }
    }

    /// Number of spatial dimensions.
    pub fn rank(&self) -> usize {
        self.kernel.len()
    }

    /// Whether any cell is padding.
    pub fn is_padded(&self) -> bool {
        self.before.iter().chain(&self.after).any(|&p| p > 0)
    }
}

/// Pooling over windows of (N, C, spatial..).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pool {
    /// What becomes of the cells of a window.
    pub kind: PoolKind,
    /// Geometry. The node's type may hold one window more than fits (ONNX `ceil_mode`).
    pub window: Window,
    /// In which order a mean of reals adds up.
    #[serde(default, skip_serializing_if = "SumOrder::is_default")]
    pub order: SumOrder,
}

impl Pool {
    /// A pool whose sums, if any, are in the order of the cells.
    pub fn new(kind: PoolKind, window: Window) -> Self {
        Pool { kind, window, order: SumOrder::Cells }
    }
}

/// In which order a mean adds up the cells of a window: the last bit of a sum in single precision
/// hangs on it, and with it the side to which a tie is rounded. The orders are those of ONNX Runtime
/// 1.32 (`core/mlas/lib/pooling.cpp`, `core/providers/cpu/nn/pool_functors.h`, and Eigen's
/// `LinearVectorizedTraversal` of packets of 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SumOrder {
    /// One cell after the other, the last dimension fastest.
    #[default]
    Cells,
    /// First all cells of one column (of equal place in the last dimension), then the columns.
    Columns,
    /// Four sums of every fourth cell, joined as (0 + 2) + (1 + 3), then the cells that are left.
    Lanes,
    /// Packets of four cells, which begin where a multiple of four cells of the whole tensor lies, in
    /// two alternating sums, joined as `Lanes`; then the cells before the packets and those behind.
    AlignedLanes,
}

impl SumOrder {
    /// Whether cells are added one after the other.
    pub fn is_default(&self) -> bool {
        *self == SumOrder::default()
    }
}

/// What becomes of the cells of a pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// The largest; padding never wins.
    Max,
    /// The mean of the cells that are not padding.
    Average,
    /// The mean, padding counted as zeros.
    AverageWithPadding,
    /// The sum, in integers (only on codes).
    Sum,
    /// The mean in integers, where windows have different numbers of cells (only on codes): the sum times
    /// [`Pool::common`] over the window's own number of cells.
    EvenSum {
        /// Whether cells of the padding count.
        padding: bool,
    },
}

impl Pool {
    /// Whether it makes sums of codes.
    pub fn is_of_codes(&self) -> bool {
        matches!(self.kind, PoolKind::Sum | PoolKind::EvenSum { .. })
    }

    /// For each window along one dimension of `input` cells the number of those that count: the cells in the
    /// map, or in the map and its padding.
    fn cells(&self, dimension: usize, input: usize, outputs: usize, padding: bool) -> Vec<usize> {
        let w = &self.window;
        let (before, after) = (w.before[dimension], w.after[dimension]);
        let counts = |cell: usize| match padding {
            true => cell < before + input + after,
            false => cell.checked_sub(before).is_some_and(|cell| cell < input),
        };
        let cell = |o: usize, k: usize| o * w.strides[dimension] + k * w.dilations[dimension];
        (0..outputs)
            .map(|o| (0..w.kernel[dimension]).filter(|&k| counts(cell(o, k))).count())
            .collect()
    }

    /// For each window over `map`, row by row, the number of cells of its mean; at least 1.
    pub fn counts(&self, map: &[usize], outputs: &[usize]) -> Vec<usize> {
        let padding = match self.kind {
            PoolKind::EvenSum { padding } => padding,
            kind => kind == PoolKind::AverageWithPadding,
        };
        let mut counts = vec![1];
        for dimension in 0..self.window.rank() {
            let own = self.cells(dimension, map[dimension], outputs[dimension], padding);
            counts = counts.iter().flat_map(|c| own.iter().map(move |n| c * n.max(&1))).collect();
        }
        counts
    }

    /// The least common multiple of the numbers of cells of all windows, `None` above 2^20.
    pub fn common(&self, map: &[usize], outputs: &[usize]) -> Option<usize> {
        let mut counts = self.counts(map, outputs);
        counts.sort_unstable();
        counts.dedup();
        counts.into_iter().try_fold(1usize, |common, n| {
            let (mut a, mut b) = (common, n);
            while b > 0 {
                (a, b) = (b, a % b);
            }
            Some(common / a * n).filter(|&common| common <= 1 << 20)
        })
    }
}

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // named as in ONNX, which defines them
pub enum Unary {
    Relu,
    LeakyRelu { alpha: f32 },
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish,
    Swish,
    Sigmoid,
    Tanh,
    Softplus,
    Erf,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Neg,
    Abs,
    Sign,
    Floor,
    Ceil,
    Round,
    Not,
}

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // named as in ONNX, which defines them
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    /// Negative slope of the second operand below zero (PRelu).
    Slope,
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    And,
    Or,
}

impl Binary {
    /// Whether the result is a truth value.
    pub fn is_comparison(self) -> bool {
        use Binary::*;
        matches!(self, Equal | Greater | GreaterOrEqual | Less | LessOrEqual | And | Or)
    }
}
