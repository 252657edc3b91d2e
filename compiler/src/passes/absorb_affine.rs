//! Makes a factor and a shift before the quantiser of an input part of its scale and zero point.

use snnc_ir::{Binary, DType, Folded, Graph, NodeId, Quantisation, TensorOp};

use super::ascending::{first_reaching, key_of_real, real_of_key};
use super::rewrite::{constant, inherit_before, op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "absorb-affine",
    summary: "makes a factor and a shift before a quantiser part of its scale and zero point",
    meaning: Meaning::Reordered,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        while absorb(graph, id).is_some() {
            changed = true;
        }
    }
    Ok(changed)
}

/// `(a x + b) / s + z = x / (s / a) + (z + b / s)`, if the new zero point is a whole number, which is added
/// before rounding or after it, whichever gives more f32 numbers their code. Where some get another one, the
/// quantiser says how many. A shift of any size joins an offset that is added before rounding in any case.
/// The codes keep their meaning: whoever reads them does so by a dequantiser of its own.
fn absorb(graph: &mut Graph, id: NodeId) -> Option<()> {
    let TensorOp::Quantise(q) = op(graph, id)? else { return None };
    let affine = graph.source(id, 0)?;
    let TensorOp::Binary(function) = op(graph, affine)? else { return None };
    let scalar = |id: NodeId| {
        let value = constant(graph, id).filter(|v| v.len() == 1 && v.dtype() == DType::F32)?;
        value.to_f32().first().copied()
    };
    let (a, b) = (graph.source(affine, 0)?, graph.source(affine, 1)?);
    let (x, value, swapped) = match (scalar(a), scalar(b)) {
        (None, Some(value)) => (a, value, false),
        (Some(value), None) => (b, value, true),
        _ => return None,
    };
    if q.axis.is_some() || graph[x].ty.shape != graph[id].ty.shape {
        return None;
    }
    let scale = q.scale_at(0);
    let mut changed = q.clone();
    let before: fn(f32, f32) -> f32 = match function {
        Binary::Mul if value > 0.0 => {
            changed.scale = vec![scale / value];
            |x, value| x * value
        }
        Binary::Div if value > 0.0 && !swapped => {
            changed.scale = vec![scale * value];
            |x, value| x / value
        }
        Binary::Add => {
            shift(&mut changed, value / scale)?;
            |x, value| x + value
        }
        Binary::Sub if !swapped => {
            shift(&mut changed, -value / scale)?;
            |x, value| x - value
        }
        _ => return None,
    };
    if !changed.scale.iter().all(|s| *s > 0.0 && s.is_finite()) {
        return None;
    }
    // Users that are no dequantisers would see codes of another meaning.
    let read = graph.users(id).into_iter();
    if !read.map(|u| op(graph, u)).all(|u| matches!(u, Some(TensorOp::Dequantise(_)))) {
        return None;
    }
    let changed = nearest(q, |x| before(x, value), changed)?;
    graph[id].ty.quantisation = Some(changed.clone());
    set_op(graph, id, TensorOp::Quantise(changed));
    set_sources(graph, id, &[x]);
    inherit_before(graph, affine, id);
    Some(())
}

fn shift(q: &mut Quantisation, by: f32) -> Option<()> {
    match q.offset_at(0) {
        Some(offset) => q.offset = vec![offset + by],
        None if by.fract() == 0.0 && by.abs() < 1e6 => {
            q.zero_point = vec![q.zero_at(0) + by as i64]
        }
        None => return None,
    }
    Some(())
}

/// Levels up to which quantisers are compared on all f32 numbers.
const MOST_LEVELS: u64 = 1 << 16;

/// `changed`, with its zero point added before or after rounding and its scale moved by a bit or not, so that
/// the fewest f32 numbers get another code than by `q` behind `before`.
fn nearest(
    q: &Quantisation,
    before: impl Fn(f32) -> f32,
    changed: Quantisation,
) -> Option<Quantisation> {
    if q.minimum.abs_diff(q.maximum) > MOST_LEVELS {
        return None;
    }
    let wanted = thresholds(q.minimum, q.maximum, |x| q.code(before(x), 0));
    let early = (changed.offset.is_empty() && changed.zero_at(0) != 0)
        .then(|| Quantisation { offset: vec![changed.zero_at(0) as f32], ..changed.clone() });
    let forms = std::iter::once(changed).chain(early);
    let moved = forms.flat_map(|form| {
        let scale = form.scale_at(0);
        [scale, scale.next_up(), scale.next_down()]
            .map(|scale| Quantisation { scale: vec![scale], ..form.clone() })
    });
    let mut best: Option<(u64, f32, Quantisation)> = None;
    for form in moved {
        let found = thresholds(q.minimum, q.maximum, |x| form.code(x, 0));
        let differ = wanted.iter().zip(&found).filter(|(a, b)| a != b);
        let numbers = differ.clone().map(|(a, b)| a.abs_diff(*b)).sum();
        let example = differ.map(|(a, b)| real_of_key(*a.min(b))).next().unwrap_or(0.0);
        if best.as_ref().is_none_or(|(fewest, ..)| numbers < *fewest) {
            best = Some((numbers, example, form));
        }
        if numbers == 0 {
            break;
        }
    }
    let (numbers, example, mut form) = best?;
    if numbers > 0 {
        let already = q.folded.map_or(0, |f| f.numbers);
        form.folded = Some(Folded { numbers: numbers + already, example });
    }
    Some(form)
}

/// For each level above the lowest the key of the first real at which an ascending function reaches it.
fn thresholds(minimum: i64, maximum: i64, code: impl Fn(f32) -> i64) -> Vec<i64> {
    let never = key_of_real(f32::INFINITY) + 1;
    let first = |level| first_reaching(|x| code(x) >= level).map_or(never, key_of_real);
    (minimum + 1..=maximum).map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(levels: i64) -> Quantisation {
        Quantisation::per_tensor(1.0, 0, -levels, levels)
    }

    #[test]
    fn a_shift_is_added_where_the_model_adds_it() {
        // 2 x - 1, rounded to -1, 0, 1: 0.25 and the number below it are rounded to -0.5 and to 0.
        let (one, two) = (codes(1), codes(1));
        let mut shifted = one.clone();
        shift(&mut shifted, -1.0).unwrap();
        let shifted = nearest(&one, |x| x - 1.0, shifted).unwrap();
        assert_eq!((shifted.folded, &shifted.offset[..]), (None, &[-1.0][..]));
        let halved = Quantisation { scale: vec![0.5], ..shifted.clone() };
        let found = nearest(&shifted, |x| x * 2.0, halved).unwrap();
        assert_eq!(found.folded, None);
        for x in [0.25f32, 0.25f32.next_down(), 0.24, -0.1, 0.75, 0.75f32.next_up(), 3.0] {
            assert_eq!(found.code(x, 0), two.code(x * 2.0 - 1.0, 0), "{x}");
        }
    }

    #[test]
    fn what_no_form_gives_is_counted() {
        let q = Quantisation::per_tensor(0.0123, 0, 0, 255);
        let before = |x: f32| x * 0.003_921_569;
        let changed = Quantisation { scale: vec![0.0123 / 0.003_921_569], ..q.clone() };
        let found = nearest(&q, before, changed).unwrap();
        let folded = found.folded.expect("some number is rounded twice");
        assert_ne!(found.code(folded.example, 0), q.code(before(folded.example), 0));
        // The slow twin looks at all numbers around each threshold.
        let differs = |key: &i64| {
            let x = real_of_key(*key);
            found.code(x, 0) != q.code(before(x), 0)
        };
        let around = thresholds(0, 255, |x| q.code(before(x), 0));
        let slow = around.iter().flat_map(|b| b - 40..b + 40).filter(differs).count();
        assert_eq!(folded.numbers, slow as u64);
    }
}
