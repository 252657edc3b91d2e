//! The answer of an emitted neuron to a whole frame, as a term.

use snnc_ir::{
    AkidaTwoNeuron, BiasPlacement, Comparison, IntegrateAndFire, Leak, NegativeSpikes, Neuron,
    PerChannel, Population, Reset, Schedule, Timing,
};

use super::term::{Script, clamp, floor_div, number, staircase};
use super::waits;

fn at(values: &[i64], channel: usize) -> i128 {
    (*PerChannel::of(values).at(channel)).into()
}

/// A population and the timesteps in which it answers.
pub(super) struct Frame<'a> {
    pub(super) timing: Timing,
    pub(super) population: &'a Population,
}

impl Frame<'_> {
    /// What the bias of a channel adds in a frame.
    pub(super) fn bias(&self, channel: usize) -> i64 {
        let bias = self.population.bias_at(channel);
        match self.population.bias_placement {
            BiasPlacement::EveryTimestep => bias.saturating_mul(self.timing.timesteps as i64),
            _ => bias,
        }
    }

    /// The payloads of a frame summed up, for the term `potential`.
    pub(super) fn answer(&self, script: &mut Script, channel: usize) -> Result<String, String> {
        let Neuron::IntegrateAndFire(n) = &self.population.neuron else {
            return self.single("potential", channel);
        };
        if n.leak != Leak::None || !waits(self.timing.schedule, self.timing.timesteps) {
            return Err("it answers before its input is complete, or leaks".into());
        }
        let start = format!("(+ potential {})", number(at(&n.initial, channel)));
        if self.timing.schedule == Schedule::UntilSettled && self.timing.timesteps > 1 {
            return settled(n, &start, channel);
        }
        Ok(train(script, n, &start, channel, self.timing.timesteps))
    }

    /// The answer of a neuron that gives one a frame.
    pub(super) fn single(&self, v: &str, channel: usize) -> Result<String, String> {
        match &self.population.neuron {
            Neuron::Graded(n) => {
                let line = format!(
                    "(+ (* {} {v}) {})",
                    number(at(&n.multiplier, channel)),
                    number(at(&n.offset, channel))
                );
                let level = floor_div(&line, at(&n.divisor, channel));
                Ok(clamp(&level, n.minimum.into(), n.maximum.into()))
            }
            Neuron::Thresholds(n) => {
                let row = PerChannel::of(&n.thresholds).at(channel);
                let step = |(i, &t): (usize, &i64)| {
                    (
                        format!("(>= {v} {})", number(t.into())),
                        i128::from(n.minimum) + i as i128 + 1,
                    )
                };
                let steps: Vec<_> = row.iter().enumerate().map(step).collect();
                Ok(staircase(&steps, n.minimum.into()))
            }
            Neuron::Lookup(n) => {
                let Some((&first, rest)) = n.table.split_first() else {
                    return Err("its table is empty".into());
                };
                let step = |(i, &value): (usize, &i64)| {
                    let from = i128::from(n.minimum) + i as i128 + 1;
                    (format!("(>= {v} {})", number(from)), i128::from(value))
                };
                let steps: Vec<_> = rest.iter().enumerate().map(step).collect();
                Ok(staircase(&steps, first.into()))
            }
            Neuron::AkidaTwo(n) => Ok(akida_two(n, v, channel)),
            Neuron::Accumulate => Ok(v.to_owned()),
            other => Err(format!("a {} neuron answers over several timesteps", other.word())),
        }
    }
}

fn saturated(term: &str, bits: u8) -> String {
    let half = 1i128 << (bits.clamp(1, 64) - 1);
    clamp(term, -half, half - 1)
}

fn akida_two(n: &AkidaTwoNeuron, v: &str, channel: usize) -> String {
    let half = 1i128 << (n.post_bits.clamp(1, 64) - 1);
    let shift = at(&n.bias_shift, channel).clamp(0, 31);
    let bias = (at(&n.bias, channel) << shift).clamp(-half, half - 1);
    let sum = format!("(+ {v} {})", number(bias));
    let mut a = saturated(&sum, n.fused_bits.unwrap_or(n.post_bits));
    if let Some(ceiling) = &n.ceiling {
        a = format!("(let ((a {a})) {})", clamp("a", 0, at(ceiling, channel)));
    }
    let product = format!("(* {} {a})", number(at(&n.scale, channel)));
    let scaled = format!("(let ((p {product})) {})", saturated("p", n.post_bits));
    let by = at(&n.shift, channel);
    let z = match by {
        0 => scaled,
        1.. => format!("(* {} {scaled})", number(1 << by.min(62))),
        _ => floor_div(
            &format!("(+ {scaled} {})", number(1 << (-by - 1).min(62))),
            1 << (-by).min(62),
        ),
    };
    let limited = match n.output_bits {
        bits @ ..=4 => clamp("z", 0, (1 << bits) - 1),
        bits => saturated("z", bits),
    };
    format!("(let ((z {z})) {limited})")
}

/// `clamp(floor(start / threshold))`, where soft-reset neurons that take spikes back come to rest.
fn settled(n: &IntegrateAndFire, start: &str, channel: usize) -> Result<String, String> {
    match &n.signed_limit {
        Some(NegativeSpikes::Retracting { minimum, maximum })
            if n.reset == Reset::Soft && n.comparison == Comparison::AtLeast =>
        {
            let level = floor_div(start, n.threshold.at(channel, 0).into());
            Ok(clamp(&level, (*minimum).into(), (*maximum).into()))
        }
        _ => Err("its spikes cannot be taken back".into()),
    }
}

/// The worth of all spikes of `timesteps`, each written out.
fn train(
    script: &mut Script,
    n: &IntegrateAndFire,
    start: &str,
    channel: usize,
    timesteps: usize,
) -> String {
    script.define("v0", start);
    let mut worth = Vec::with_capacity(timesteps);
    for t in 0..timesteps {
        let sent = (0..t).map(|i| format!("s{i}")).collect::<Vec<_>>().join(" ");
        let sent = match t {
            0 => "0".to_owned(),
            1 => sent,
            _ => format!("(+ {sent})"),
        };
        script.define(&format!("s{t}"), &level(n, channel, t, &sent));
        let amount = match &n.reset {
            Reset::SoftBy(table) => table.at(channel, t),
            _ => n.threshold.at(channel, t),
        };
        let left = match &n.reset {
            Reset::Hard(value) => {
                format!("(ite (= s{t} 0) v{t} {})", number((*value).into()))
            }
            _ => format!("(- v{t} (* {} s{t}))", number(amount.into())),
        };
        script.define(&format!("v{}", t + 1), &left);
        let decode = n.decode.as_ref().map_or(1, |d| d.at(channel, t));
        worth.push(format!("(* {} s{t})", number(decode.into())));
    }
    if worth.len() == 1 { worth.remove(0) } else { format!("(+ {})", worth.join(" ")) }
}

/// The level sent in timestep `t` at potential `v<t>`, when `sent` is the total of those before.
fn level(n: &IntegrateAndFire, channel: usize, t: usize, sent: &str) -> String {
    let threshold = i128::from(n.threshold.at(channel, t));
    let v = match n.comparison {
        Comparison::AtLeast => format!("v{t}"),
        Comparison::Above => format!("(- v{t} 1)"),
    };
    let maximum = i128::from(n.maximum);
    let positive = match maximum {
        1 => format!("(ite (>= {v} {}) 1 0)", number(threshold)),
        _ => clamp(&floor_div(&v, threshold.max(1)), 0, maximum),
    };
    match &n.signed_limit {
        None => positive,
        Some(NegativeSpikes::Below(below)) => {
            let below = number(below.at(channel, t).into());
            format!("(let ((up {positive})) (ite (= up 0) (ite (<= v{t} {below}) (- 1) 0) up))")
        }
        Some(NegativeSpikes::Retracting { minimum, maximum: most }) => {
            let free = clamp(&floor_div(&v, threshold.max(1)), -maximum, maximum);
            let (low, high) = (number((*minimum).into()), number((*most).into()));
            format!(
                "(let ((free {free}) (low (- {low} {sent})) (high (- {high} {sent}))) \
                 (let ((top (ite (> free high) high free))) (ite (< top low) low top)))"
            )
        }
    }
}
