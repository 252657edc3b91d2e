//! Rounding of `f32` to the 16-bit types, to nearest, ties to even (IEEE 754).

use snnc_ir::DType;

/// The bits of the nearest bfloat16.
pub(crate) fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    let odd = (bits >> 16) & 1;
    (bits.wrapping_add(0x7fff + odd) >> 16) as u16
}

/// The bits of the nearest binary16; beyond its range an infinity.
pub(crate) fn to_f16(x: f32) -> u16 {
    let sign = ((x.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = x.abs();
    if x.is_nan() {
        return sign | 0x7e00;
    }
    // Half way between the largest finite number and the next power of two.
    if magnitude >= 65_520.0 {
        return sign | 0x7c00;
    }
    // Below 2^-14 the grid is that of the subnormals, multiples of 2^-24.
    if magnitude < 2f32.powi(-14) {
        return sign | (magnitude * 2f32.powi(24)).round_ties_even() as u16;
    }
    let bits = magnitude.to_bits();
    let odd = (bits >> 13) & 1;
    let rounded = (bits + 0xfff + odd) >> 13;
    sign | (rounded - (112 << 10)) as u16
}

/// `x` on the grid of a real type; `F32` and `F64` keep it.
pub(crate) fn rounded(x: f32, dtype: DType) -> f32 {
    match dtype {
        DType::Bf16 => f32::from_bits(u32::from(to_bf16(x)) << 16),
        DType::F16 => from_f16(to_f16(x)),
        _ => x,
    }
}

fn from_f16(h: u16) -> f32 {
    let sign = if h >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f32::from(h & 0x3ff);
    match (h >> 10) & 0x1f {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        e => sign * (1024.0 + fraction) * 2f32.powi(i32::from(e) - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives() {
        for h in 0..=u16::MAX {
            let x = from_f16(h);
            if !x.is_nan() {
                assert_eq!(to_f16(x), h);
            }
        }
    }

    #[test]
    fn ties_go_to_even() {
        assert_eq!(rounded(2049.0, DType::F16), 2048.0);
        assert_eq!(rounded(2051.0, DType::F16), 2052.0);
        assert_eq!(rounded(65_519.0, DType::F16), 65_504.0);
        assert_eq!(rounded(65_520.0, DType::F16), f32::INFINITY);
        assert_eq!(rounded(2f32.powi(-25), DType::F16), 0.0);
        assert_eq!(rounded(1.5 * 2f32.powi(-24), DType::F16), 2f32.powi(-23));
        assert_eq!(rounded(257.0, DType::Bf16), 256.0);
        assert_eq!(rounded(259.0, DType::Bf16), 260.0);
        assert!(rounded(f32::NAN, DType::Bf16).is_nan() && rounded(f32::NAN, DType::F16).is_nan());
    }
}
