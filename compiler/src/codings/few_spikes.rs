//! `few-spikes`: binary spikes, most significant first (Stöckl and Maass, "Optimized spiking neurons
//! can classify images with high accuracy through temporal coding with two spikes", Nature Machine
//! Intelligence 2021; on whole codes this is radix coding).
//!
//! Behind a barrier the neuron holds `v = multiplier * potential + offset` and the wanted payload is
//! `n = clamp(floor(v / S), 0, q)`. With digits `w_1 = ceil(q / 2)`, then the same of what is left
//! (powers of two where `q = 2^b - 1`), it fires at `v >= T(t) = w_t S`, subtracts `h(t) = w_t S`, and
//! its spike is worth `d(t) = w_t`. Before step t the residue `floor(v / S)` is at most what the
//! digits from t on can say: if it fires, what is left is below `q - w_t`; if not, it is below `w_t`,
//! and `w_t - 1 <= q - w_t`. So the digits say `n`; a saturated neuron fires every time, and one
//! below `S` never. Round-half-even at a power of two raises the thresholds of odd payloads by one
//! unit, and the payload is odd exactly if the last digit fires: only `T(K)` is raised.
//! Negative payloads are said alike by negative spikes: -1 of worth `w` at `v < -(w - 1) S`.

use snnc_ir::{BiasPlacement, NegativeSpikes, Presentation, Reset, Schedule, Timing};

use super::Options;
use super::recoder::{Layer, NEVER, Recoded, Recoder, neuron, table};
use super::staircase::Line;

/// One timestep: the worth of its spike, and whether a positive and a negative one can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digit {
    worth: i64,
    positive: bool,
    negative: bool,
}

/// Digits of the numbers up to `limit`.
fn positional(mut limit: i64) -> Vec<i64> {
    let mut digits = Vec::new();
    while limit > 0 {
        digits.push(limit - limit / 2);
        limit /= 2;
    }
    digits
}

/// Digits for payloads from `minimum` to `maximum`.
fn digits(minimum: i64, maximum: i64) -> Vec<Digit> {
    let (up, down) = (positional(maximum), positional(-minimum));
    let shared = up.len().min(down.len());
    if up[..shared] == down[..shared] {
        let longer = if up.len() > down.len() { &up } else { &down };
        let digit = |(i, &worth): (usize, &i64)| Digit {
            worth,
            positive: i < up.len(),
            negative: i < down.len(),
        };
        return longer.iter().enumerate().map(digit).collect();
    }
    let side = |worth: i64, positive| Digit { worth, positive, negative: !positive };
    up.iter().map(|&w| side(w, true)).chain(down.iter().map(|&w| side(w, false))).collect()
}

pub(super) fn recode(recoder: &mut Recoder<'_>, options: &Options) {
    let layers = recoder.layers();
    let longest = layers.iter().map(|l| digits(l.minimum, l.maximum).len()).max().unwrap_or(1);
    let timesteps = options.timesteps.unwrap_or(longest.max(1));
    if timesteps < longest {
        return recoder.too_few(timesteps, longest);
    }
    for layer in &layers {
        // A table that does not ascend, as of a swish, sends its payload in one spike at the end.
        let Some(staircases) = &layer.staircases else {
            recoder.after_barrier(layer.id);
            continue;
        };
        let lines: Vec<Option<Line>> = staircases
            .iter()
            // Odd payloads are those whose last digit fires only if all others are even.
            .map(|s| s.line.filter(|l| l.odd == 0 || odd_is_last(layer)))
            .collect();
        let without = lines.iter().filter(|l| l.is_none()).count();
        if without > 0 {
            let reason = format!(
                "the thresholds of {without} of {} channels are on no straight line, which binary \
                 digits need",
                layer.channels
            );
            recoder.refuse(layer.id, reason, "use `graded` or `rate-sync`, or quantise to 4 bits");
            continue;
        }
        let lines: Vec<Line> = lines.into_iter().flatten().collect();
        let recoded = population(layer, &lines, timesteps, recoder.ports(layer.id).len());
        recoder.set(layer.id, recoded);
    }
    for id in recoder.read_outs() {
        recoder.after_barrier(id);
    }
    recoder.present(Presentation::Once);
    recoder.run_pools_on_totals();
    recoder.sum_outputs(|_| 1.0);
    recoder.timing(Timing { timesteps, schedule: Schedule::LayerSynchronous });
}

/// Whether the payload is odd exactly if its last digit fires.
fn odd_is_last(layer: &Layer) -> bool {
    let digits = positional(layer.maximum);
    layer.minimum == 0 && digits.split_last().is_some_and(|(_, d)| d.iter().all(|w| w % 2 == 0))
}

fn population(layer: &Layer, lines: &[Line], timesteps: usize, ports: usize) -> Recoded {
    let digits = digits(layer.minimum, layer.maximum);
    let silent = timesteps - digits.len();
    let row = |of: &dyn Fn(usize, &Digit) -> i64, none: i64| -> Vec<i64> {
        let spoken = digits.iter().enumerate().map(|(i, d)| of(i, d));
        std::iter::repeat_n(none, silent).chain(spoken).collect()
    };
    let last = digits.len().saturating_sub(1);
    let threshold = |l: &Line| {
        row(
            &|i, d| match d.positive {
                true => d.worth * l.divisor + if i == last { l.odd } else { 0 },
                false => NEVER,
            },
            NEVER,
        )
    };
    let amount = |l: &Line| row(&|_, d| d.worth * l.divisor, 0);
    let below = |l: &Line| {
        row(&|_, d| if d.negative { -(d.worth - 1) * l.divisor - 1 } else { -NEVER }, -NEVER)
    };
    let initial = lines.iter().map(|l| l.offset).collect();
    let mut n = neuron(table(lines.iter().map(threshold).collect()), initial, 1);
    n.reset = Reset::SoftBy(table(lines.iter().map(amount).collect()));
    n.decode = Some(table(vec![row(&|_, d| d.worth, 0)]));
    if layer.minimum < 0 {
        n.signed_limit = Some(NegativeSpikes::Below(table(lines.iter().map(below).collect())));
    }
    let multipliers: Vec<i64> = lines.iter().map(|l| l.multiplier).collect();
    let worth = |wanted: fn(&Digit) -> bool| {
        digits.iter().filter(|d| wanted(d)).map(|d| d.worth).max().unwrap_or(0)
    };
    Recoded {
        neuron: n.into(),
        gains: vec![multipliers.clone(); ports],
        bias: multipliers,
        bias_placement: BiasPlacement::AfterLastTimestep,
        range: (-worth(|d| d.negative), worth(|d| d.positive)),
        scale: layer.scale.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_say_every_number_up_to_their_sum() {
        for limit in 0..300 {
            let digits = positional(limit);
            assert_eq!(digits.iter().sum::<i64>(), limit);
            assert_eq!(digits.len() as u32, i64::BITS - limit.leading_zeros());
            for n in 0..=limit {
                let rest =
                    digits.iter().fold(n, |rest, w| if rest >= *w { rest - w } else { rest });
                assert_eq!(rest, 0, "{n} of {limit}");
            }
        }
        assert_eq!(positional(15), [8, 4, 2, 1]);
    }

    #[test]
    fn signs_share_digits_where_they_can() {
        let worth = |min, max| digits(min, max).iter().map(|d| d.worth).collect::<Vec<_>>();
        assert_eq!(worth(-7, 7), [4, 2, 1]);
        assert_eq!(worth(-8, 7), [4, 2, 1, 1]);
        assert_eq!(worth(-2, 7), [4, 2, 1, 1, 1]);
    }
}
