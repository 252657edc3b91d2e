//! Functions of single elements, as ONNX defines them.

use snnc_ir::{Binary, DType, TensorType, Unary};

use super::layout::{broadcast_strides, offsets};
use super::{Data, RunError, Value, half};

/// `value` as an integer type holds it: the lower bits, as ONNX's arithmetic keeps them.
pub(super) fn wrapped(value: i64, dtype: DType) -> i64 {
    match dtype {
        DType::Bool => i64::from(value != 0),
        DType::U64 | DType::I64 => value,
        _ => match dtype.integer_range() {
            Some((low, high)) => value.wrapping_sub(low).rem_euclid(high - low + 1) + low,
            None => value,
        },
    }
}

pub(super) fn unary(function: Unary, x: &Value, ty: &TensorType) -> Result<Value, RunError> {
    match x.data() {
        Data::F32(v) => Value::from_f32(&ty.shape, v.iter().map(|&x| real(function, x)).collect()),
        Data::Int(v) => {
            let f = integer(function).ok_or(RunError::Elements(ty.dtype))?;
            Value::from_i64(&ty.shape, v.iter().map(|&x| wrapped(f(x), ty.dtype)).collect())
        }
    }
}

fn real(function: Unary, x: f32) -> f32 {
    use Unary::*;
    match function {
        Relu if x < 0.0 => 0.0,
        Relu => x,
        LeakyRelu { alpha } if x < 0.0 => alpha * x,
        LeakyRelu { .. } => x,
        HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
        HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Swish => x * sigmoid(x),
        Sigmoid => sigmoid(x),
        Tanh => x.tanh(),
        Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Erf => erf(x),
        Exp => x.exp(),
        Log => x.ln(),
        Sqrt => x.sqrt(),
        Reciprocal => 1.0 / x,
        Neg => -x,
        Abs => x.abs(),
        Sign if x == 0.0 || x.is_nan() => x,
        Sign => x.signum(),
        Floor => x.floor(),
        Ceil => x.ceil(),
        Round => x.round_ties_even(),
        Not => f32::from(x == 0.0),
    }
}

/// The functions that ONNX defines on integers too.
fn integer(function: Unary) -> Option<fn(i64) -> i64> {
    use Unary::*;
    Some(match function {
        Relu => |x| x.max(0),
        Neg => i64::wrapping_neg,
        Abs => i64::wrapping_abs,
        Sign => i64::signum,
        Not => |x| i64::from(x == 0),
        Floor | Ceil | Round => |x| x,
        _ => return None,
    })
}

fn sigmoid(x: f32) -> f32 {
    // The exponential of a negative number cannot overflow.
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// The error function: its Taylor series, which in f64 loses less than 1e-9 for |x| < 4; beyond
/// that it is 1 to f32 precision (1 - erf(4) = 1.5e-8).
fn erf(x: f32) -> f32 {
    let z = f64::from(x);
    if x.is_nan() || z.abs() >= 4.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum) = (z, z);
    for n in 1..100 {
        let n = f64::from(n);
        term *= -z * z / n;
        sum += term / (2.0 * n + 1.0);
    }
    (sum * std::f64::consts::FRAC_2_SQRT_PI) as f32
}

/// Both operands in the shape of the result.
fn pairs<'a, T: Copy>(
    (a, a_shape): (&'a [T], &[usize]),
    (b, b_shape): (&'a [T], &[usize]),
    shape: &[usize],
) -> Box<dyn Iterator<Item = (T, T)> + 'a> {
    if a_shape == shape && b_shape == shape {
        return Box::new(a.iter().copied().zip(b.iter().copied()));
    }
    if let ([one], true) = (b, a_shape == shape) {
        let one = *one;
        return Box::new(a.iter().map(move |&a| (a, one)));
    }
    let i = offsets(shape, &broadcast_strides(a_shape, shape), 0);
    let j = offsets(shape, &broadcast_strides(b_shape, shape), 0);
    Box::new(i.zip(j).map(move |(i, j)| (a[i], b[j])))
}

pub(super) fn binary(
    function: Binary,
    a: &Value,
    b: &Value,
    ty: &TensorType,
) -> Result<Value, RunError> {
    match (a.data(), b.data()) {
        (Data::Int(x), Data::Int(y)) => {
            let pairs = pairs((x, a.shape()), (y, b.shape()), &ty.shape);
            let f = |(x, y)| wrapped(integers(function, x, y), ty.dtype);
            Value::from_i64(&ty.shape, pairs.map(f).collect())
        }
        (Data::F32(x), Data::F32(y)) => {
            let pairs = pairs((x, a.shape()), (y, b.shape()), &ty.shape);
            if function.is_comparison() {
                let f = |(x, y)| i64::from(compare(function, x, y));
                Value::from_i64(&ty.shape, pairs.map(f).collect())
            } else {
                Value::from_f32(&ty.shape, pairs.map(|(x, y)| reals(function, x, y)).collect())
            }
        }
        // ONNX lets the exponent of a power be of another type; the base says the result's.
        _ if function == Binary::Pow => {
            let (x, y) = (a.to_f32(), b.to_f32());
            let pairs = pairs((&x, a.shape()), (&y, b.shape()), &ty.shape);
            let powers = pairs.map(|(x, y)| x.powf(y));
            if ty.dtype.is_float() {
                Value::from_f32(&ty.shape, powers.collect())
            } else {
                Value::from_i64(&ty.shape, powers.map(|p| wrapped(p as i64, ty.dtype)).collect())
            }
        }
        _ => Err(RunError::Mixed),
    }
}

fn compare<T: PartialOrd + Default>(function: Binary, x: T, y: T) -> bool {
    let truth = |v: &T| *v != T::default();
    match function {
        Binary::Equal => x == y,
        Binary::Greater => x > y,
        Binary::GreaterOrEqual => x >= y,
        Binary::Less => x < y,
        Binary::LessOrEqual => x <= y,
        Binary::And => truth(&x) && truth(&y),
        _ => truth(&x) || truth(&y),
    }
}

fn reals(function: Binary, x: f32, y: f32) -> f32 {
    use Binary::*;
    match function {
        Add => x + y,
        Sub => x - y,
        Mul => x * y,
        Div => x / y,
        Pow => x.powf(y),
        Min | Max if x.is_nan() || y.is_nan() => f32::NAN,
        Min => x.min(y),
        Max => x.max(y),
        Slope if x < 0.0 => x * y,
        Slope => x,
        _ => f32::from(compare(function, x, y)),
    }
}

/// Integer arithmetic wraps; a division rounds toward zero, and by zero gives 0 as NumPy's does.
fn integers(function: Binary, x: i64, y: i64) -> i64 {
    use Binary::*;
    match function {
        Add => x.wrapping_add(y),
        Sub => x.wrapping_sub(y),
        Mul => x.wrapping_mul(y),
        Div if y == 0 => 0,
        Div => x.wrapping_div(y),
        Pow => power(x, y),
        Min => x.min(y),
        Max => x.max(y),
        Slope if x < 0 => x.wrapping_mul(y),
        Slope => x,
        _ => i64::from(compare(function, x, y)),
    }
}

/// `x` to the `y`, wrapping; negative exponents truncate toward zero.
fn power(x: i64, y: i64) -> i64 {
    if y < 0 {
        return match x {
            1 => 1,
            -1 => 1 - 2 * (y & 1),
            _ => 0,
        };
    }
    let (mut result, mut square, mut rest) = (1i64, x, y);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        rest >>= 1;
    }
    result
}

pub(super) fn clip(
    x: &Value,
    minimum: Option<f64>,
    maximum: Option<f64>,
    ty: &TensorType,
) -> Result<Value, RunError> {
    match x.data() {
        Data::F32(v) => {
            let low = minimum.map_or(f32::NEG_INFINITY, |m| m as f32);
            let high = maximum.map_or(f32::INFINITY, |m| m as f32);
            let limit = |&x: &f32| {
                let x = if x < low { low } else { x };
                if x > high { high } else { x }
            };
            Value::from_f32(&ty.shape, v.iter().map(limit).collect())
        }
        Data::Int(v) => {
            let low = minimum.map_or(i64::MIN, |m| m.ceil() as i64);
            let high = maximum.map_or(i64::MAX, |m| m.floor() as i64);
            Value::from_i64(&ty.shape, v.iter().map(|&x| x.max(low).min(high)).collect())
        }
    }
}

/// ONNX Cast: reals lose their fraction and integers their upper bits.
pub(super) fn cast(x: &Value, ty: &TensorType) -> Result<Value, RunError> {
    match (x.data(), ty.dtype) {
        (Data::F32(_), d) if d.is_float() => x.reshaped(&ty.shape),
        (Data::F32(v), DType::Bool) => {
            Value::from_i64(&ty.shape, v.iter().map(|&x| i64::from(x != 0.0)).collect())
        }
        (Data::F32(v), d) => {
            Value::from_i64(&ty.shape, v.iter().map(|&x| wrapped(x as i64, d)).collect())
        }
        (Data::Int(v), d) if d.is_float() => {
            Value::from_f32(&ty.shape, v.iter().map(|&x| x as f32).collect())
        }
        (Data::Int(v), d) => Value::from_i64(&ty.shape, v.iter().map(|&x| wrapped(x, d)).collect()),
    }
}

pub(super) fn select(
    condition: &Value,
    yes: &Value,
    no: &Value,
    ty: &TensorType,
) -> Result<Value, RunError> {
    let shape = &ty.shape;
    let truth: Vec<bool> = {
        let at = offsets(shape, &broadcast_strides(condition.shape(), shape), 0);
        match condition.data() {
            Data::Int(v) => at.map(|i| v[i] != 0).collect(),
            Data::F32(v) => at.map(|i| v[i] != 0.0).collect(),
        }
    };
    fn chosen<T: Copy>(truth: Vec<bool>, pairs: impl Iterator<Item = (T, T)>) -> Vec<T> {
        truth.into_iter().zip(pairs).map(|(t, (yes, no))| if t { yes } else { no }).collect()
    }
    match (yes.data(), no.data()) {
        (Data::F32(a), Data::F32(b)) => {
            let pairs = pairs((a, yes.shape()), (b, no.shape()), shape);
            Value::from_f32(shape, chosen(truth, pairs))
        }
        (Data::Int(a), Data::Int(b)) => {
            let pairs = pairs((a, yes.shape()), (b, no.shape()), shape);
            Value::from_i64(shape, chosen(truth, pairs))
        }
        _ => Err(RunError::Mixed),
    }
}

/// Reals on the grid of a 16-bit type; everything else as it is.
pub(super) fn rounded(value: Value, dtype: DType) -> Result<Value, RunError> {
    match (value.data(), dtype) {
        (Data::F32(v), DType::F16 | DType::Bf16) => {
            let grid = v.iter().map(|&x| half::rounded(x, dtype)).collect();
            Value::from_f32(value.shape(), grid)
        }
        _ => Ok(value),
    }
}
