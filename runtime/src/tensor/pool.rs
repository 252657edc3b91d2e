//! Pooling over windows.

use snnc_ir::{Pool, PoolKind, TensorType};

use super::codes::centred;
use super::convolution::within;
use super::window::Geometry;
use super::{Data, RunError, Value};

/// Pools every map of (N, C, spatial..).
///
/// A sum of codes leaves their zero point out, as a convolution does, so that it is an accumulator
/// in units of their scale.
pub(super) fn pool(
    pool: &Pool,
    x: &Value,
    ty: &TensorType,
    own: &TensorType,
) -> Result<Value, RunError> {
    let geometry = Geometry::new(&pool.window, &x.shape()[2..], &own.shape[2..])?;
    match (x.data(), pool.kind) {
        (Data::F32(v), PoolKind::Max) => {
            let largest = |cells: &mut dyn Iterator<Item = f32>, _| {
                cells.fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a })
            };
            Value::from_f32(&own.shape, pooled(&geometry, v, largest))
        }
        (Data::Int(v), PoolKind::Max) => {
            let lowest = own.dtype.integer_range().map_or(i64::MIN, |(low, _)| low);
            let largest = |cells: &mut dyn Iterator<Item = i64>, _| cells.fold(lowest, i64::max);
            Value::from_i64(&own.shape, pooled(&geometry, v, largest))
        }
        (Data::F32(v), PoolKind::Average | PoolKind::AverageWithPadding) => {
            let all = pool.kind == PoolKind::AverageWithPadding;
            let mean = |cells: &mut dyn Iterator<Item = f32>, covered: usize| {
                let (sum, count) = cells.fold((0f32, 0usize), |(s, n), x| (s + x, n + 1));
                let count = if all { covered } else { count };
                if count == 0 { 0.0 } else { sum / count as f32 }
            };
            Value::from_f32(&own.shape, pooled(&geometry, v, mean))
        }
        (Data::Int(_), PoolKind::Sum) => {
            let cells = centred(x, ty)?;
            let sum = |cells: &mut dyn Iterator<Item = i64>, _| cells.fold(0, i64::saturating_add);
            Value::from_i64(&own.shape, within(pooled(&geometry, &cells, sum), own.dtype)?)
        }
        (Data::F32(_), PoolKind::Sum) => Err(RunError::Elements(own.dtype)),
        (Data::Int(_), _) => {
            Err(RunError::Unsupported("a mean of codes is a sum that is requantised"))
        }
    }
}

/// Applies `reduce` to the cells of every window that are in the map, with the number of cells that
/// are in the map or its padding.
fn pooled<T: Copy, R>(geometry: &Geometry, x: &[T], reduce: R) -> Vec<T>
where
    R: Fn(&mut dyn Iterator<Item = T>, usize) -> T,
{
    let [d, h, w] = &geometry.axes;
    let windows = |axis: &super::window::Axis| -> Vec<(Vec<usize>, usize)> {
        let cells = |o| (0..axis.kernel).filter_map(|k| axis.cell(o, k)).collect();
        (0..axis.output).map(|o| (cells(o), axis.covered(o))).collect()
    };
    let (depths, heights, widths) = (windows(d), windows(h), windows(w));
    let mut y = Vec::new();
    for map in x.chunks_exact(geometry.input_cells().max(1)) {
        for (depth, covered_d) in &depths {
            for (height, covered_h) in &heights {
                for (width, covered_w) in &widths {
                    let mut cells = depth.iter().flat_map(|z| {
                        height.iter().flat_map(move |y| {
                            let row = (z * h.input + y) * w.input;
                            width.iter().map(move |x| map[row + x])
                        })
                    });
                    y.push(reduce(
                        &mut cells,
                        covered_d.saturating_mul(*covered_h).saturating_mul(*covered_w),
                    ));
                }
            }
        }
    }
    y
}
