//! Numbers of options, and why each has its bounds.

pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("it must be a number from 1 up".into()),
    }
}

/// More timesteps than this take longer than anyone waits, and potentials need more bits than there are.
const MOST_TIMESTEPS: usize = 1 << 20;

pub(super) fn trials(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=100_000_000).contains(&n) => Ok(n),
        _ => Err("it must be a number from 1 to 100000000".into()),
    }
}

pub(super) fn offset(text: &str) -> Result<usize, String> {
    if text == "0" { Ok(0) } else { timesteps(text) }
}

pub(super) fn timesteps(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=MOST_TIMESTEPS).contains(&n) => Ok(n),
        _ => Err(format!("it must be a number from 1 to {MOST_TIMESTEPS}")),
    }
}

/// Beyond this, 64-bit integers leave single precision.
pub(super) const LARGEST_FACTOR: f64 = 1e18;

/// A factor or an offset of data.
pub(super) fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.abs() <= LARGEST_FACTOR => Ok(x),
        Ok(_) => Err(format!("it must be a number from -{LARGEST_FACTOR:e} to {LARGEST_FACTOR:e}")),
        Err(_) => Err("it must be a number".into()),
    }
}
