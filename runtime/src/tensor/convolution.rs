//! Convolution, plain and transposed, and the arithmetic that it shares with the matrix products.

use snnc_ir::{DType, TensorType, Window};

use super::codes::centred;
use super::window::Geometry;
use super::{Data, RunError, Value};

/// A number that sums of products are made of.
pub(super) trait Number: Copy + Default + Send + Sync {
    /// `self + a * b`, rounded after each step where the type rounds.
    fn add_product(self, a: Self, b: Self) -> Self;
    /// `self + a`.
    fn plus(self, a: Self) -> Self;
}

impl Number for f32 {
    #[inline(always)]
    fn add_product(self, a: Self, b: Self) -> Self {
        self + a * b
    }

    #[inline(always)]
    fn plus(self, a: Self) -> Self {
        self + a
    }
}

/// Integers wrap without a check: [`exact`] has shown beforehand that nothing overflows.
macro_rules! integer_number {
    ($($t:ty),*) => {$(
        impl Number for $t {
            #[inline(always)]
            fn add_product(self, a: Self, b: Self) -> Self {
                self.wrapping_add(a.wrapping_mul(b))
            }

            #[inline(always)]
            fn plus(self, a: Self) -> Self {
                self.wrapping_add(a)
            }
        }
    )*};
}
integer_number!(i32, i64);

/// A sum of products, generic over the numbers: `x`, weights, and the bias if there is one.
pub(super) trait Kernel {
    fn run<T: Number>(&self, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T>;

    /// How many products make one element of the result, at most.
    fn products(&self) -> usize;
}

/// Runs a kernel on reals in `f32`, or on codes without their zero points, exactly.
///
/// # Errors
/// When operands mix reals and integers, or an integer sum leaves the type of the result.
pub(super) fn accumulate(
    kernel: &impl Kernel,
    operands: &[(&Value, &TensorType)],
    ty: &TensorType,
) -> Result<Value, RunError> {
    let [x, w, bias @ ..] = operands else {
        return Err(RunError::Unsupported("weights are missing"));
    };
    let bias = bias.first();
    match (x.0.data(), w.0.data(), bias.map(|b| b.0.data())) {
        (Data::F32(x), Data::F32(w), None) => {
            Value::from_f32(&ty.shape, kernel.run(x.as_slice(), w, None))
        }
        (Data::F32(x), Data::F32(w), Some(Data::F32(b))) => {
            Value::from_f32(&ty.shape, kernel.run(x.as_slice(), w, Some(b)))
        }
        (Data::Int(_), Data::Int(_), None | Some(Data::Int(_))) => {
            let (x, w) = (centred(x.0, x.1)?, centred(w.0, w.1)?);
            let bias = bias.map(|(value, ty)| centred(value, ty)).transpose()?;
            let sums = exact(kernel, &x, &w, bias.as_deref(), ty.dtype)?;
            Value::from_i64(&ty.shape, sums)
        }
        _ => Err(RunError::Mixed),
    }
}

/// Integer sums of products that overflow nowhere: a bound on every partial sum says beforehand
/// whether 32 bits suffice, or 64.
fn exact(
    kernel: &impl Kernel,
    x: &[i64],
    w: &[i64],
    bias: Option<&[i64]>,
    dtype: DType,
) -> Result<Vec<i64>, RunError> {
    let largest = |v: &[i64]| v.iter().map(|x| i128::from(x.unsigned_abs())).max().unwrap_or(0);
    let bound = largest(x)
        .saturating_mul(largest(w))
        .saturating_mul(kernel.products() as i128)
        .saturating_add(largest(bias.unwrap_or_default()));
    if bound <= i128::from(i32::MAX) {
        let narrow = |v: &[i64]| v.iter().map(|&x| x as i32).collect::<Vec<_>>();
        let bias = bias.map(narrow);
        let sums = kernel.run(&narrow(x), &narrow(w), bias.as_deref());
        return within(sums.into_iter().map(i64::from).collect(), dtype);
    }
    if bound > i128::from(i64::MAX) {
        return Err(RunError::Accumulator { dtype, value: bound });
    }
    within(kernel.run(x, w, bias), dtype)
}

/// Sums that the accumulator's type holds.
pub(super) fn within(sums: Vec<i64>, dtype: DType) -> Result<Vec<i64>, RunError> {
    let (low, high) = dtype.integer_range().ok_or(RunError::Elements(dtype))?;
    match sums.iter().find(|s| !(low..=high).contains(s)) {
        Some(&s) => Err(RunError::Accumulator { dtype, value: i128::from(s) }),
        None => Ok(sums),
    }
}

/// Cross-correlation: for each output cell the sum over (channel, kernel cell), in that order, then
/// the bias. Cells of the padding are left out, which is the same as zeros.
pub(super) struct Convolution {
    batch: usize,
    groups: usize,
    channels: usize,
    filters: usize,
    geometry: Geometry,
}

impl Convolution {
    pub fn new(
        window: &Window,
        groups: usize,
        x: &[usize],
        w: &[usize],
        ty: &TensorType,
    ) -> Result<Self, RunError> {
        let geometry = Geometry::new(window, &x[2..], &ty.shape[2..])?;
        Ok(Convolution { batch: x[0], groups, channels: w[1], filters: w[0] / groups, geometry })
    }
}

impl Kernel for Convolution {
    fn run<T: Number>(&self, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        let (cells, windows) = (self.geometry.input_cells(), self.geometry.output_cells());
        let taps = self.geometry.kernel_cells();
        let stride = self.geometry.axes[2].stride;
        let spans = self.geometry.spans();
        let filters = self.groups * self.filters;
        let mut y = vec![T::default(); self.batch * filters * windows];
        if windows == 0 {
            return y;
        }
        for (i, map) in y.chunks_exact_mut(windows).enumerate() {
            let (sample, filter) = (i / filters, i % filters);
            let first = (sample * self.groups + filter / self.filters) * self.channels;
            for c in 0..self.channels {
                let input = &x[(first + c) * cells..][..cells];
                let weights = &w[(filter * self.channels + c) * taps..][..taps];
                for (&weight, span) in weights.iter().zip(&spans) {
                    let count = span[2].count;
                    self.geometry.rows(span, |window, cell| {
                        add_row(&mut map[window..][..count], &input[cell..], stride, weight);
                    });
                }
            }
            if let Some(bias) = bias {
                map.iter_mut().for_each(|y| *y = y.plus(bias[filter]));
            }
        }
        y
    }

    fn products(&self) -> usize {
        self.channels.saturating_mul(self.geometry.kernel_cells())
    }
}

/// Adds `weight` times every `stride`-th element of `x` to a row of sums.
#[inline]
fn add_row<T: Number>(row: &mut [T], x: &[T], stride: usize, weight: T) {
    if stride == 1 {
        for (y, &x) in row.iter_mut().zip(x) {
            *y = y.add_product(weight, x);
        }
    } else {
        for (y, &x) in row.iter_mut().zip(x.iter().step_by(stride)) {
            *y = y.add_product(weight, x);
        }
    }
}

/// The adjoint of a convolution with the same window: every input cell adds its weighted kernel to
/// the output, whose padding is then cut.
pub(super) struct Transposed {
    batch: usize,
    groups: usize,
    channels: usize,
    filters: usize,
    /// Of the convolution whose adjoint this is: its windows are the cells of our input.
    geometry: Geometry,
}

impl Transposed {
    pub fn new(
        window: &Window,
        groups: usize,
        x: &[usize],
        w: &[usize],
        ty: &TensorType,
    ) -> Result<Self, RunError> {
        let geometry = Geometry::new(window, &ty.shape[2..], &x[2..])?;
        Ok(Transposed { batch: x[0], groups, channels: x[1] / groups, filters: w[1], geometry })
    }
}

impl Kernel for Transposed {
    fn run<T: Number>(&self, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        let (cells, windows) = (self.geometry.input_cells(), self.geometry.output_cells());
        let taps = self.geometry.kernel_cells();
        let stride = self.geometry.axes[2].stride;
        let spans = self.geometry.spans();
        let filters = self.groups * self.filters;
        let mut y = vec![T::default(); self.batch * filters * cells];
        if cells == 0 {
            return y;
        }
        for (i, map) in y.chunks_exact_mut(cells).enumerate() {
            let (sample, filter) = (i / filters, i % filters);
            let group = filter / self.filters;
            for c in 0..self.channels {
                let channel = group * self.channels + c;
                let input = &x[(sample * self.groups * self.channels + channel) * windows..];
                let weights = &w[(channel * self.filters + filter % self.filters) * taps..];
                for (&weight, span) in weights.iter().zip(&spans) {
                    self.geometry.rows(span, |window, cell| {
                        let row = map[cell..].iter_mut().step_by(stride);
                        for (y, &x) in row.zip(&input[window..][..span[2].count]) {
                            *y = y.add_product(weight, x);
                        }
                    });
                }
            }
            if let Some(bias) = bias {
                map.iter_mut().for_each(|y| *y = y.plus(bias[filter]));
            }
        }
        y
    }

    fn products(&self) -> usize {
        self.channels.saturating_mul(self.geometry.kernel_cells())
    }
}
