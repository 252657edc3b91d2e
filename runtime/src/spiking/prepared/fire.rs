//! Which kernel runs the neurons of a population.

use std::collections::HashMap;

use snnc_ir::analysis::{Interval, bisect_thresholds};
use snnc_ir::{
    Comparison, IntegrateAndFire, Leak, NegativeSpikes, PerChannel, Population, Reset, Staircase,
};

use crate::kernels::lines::{fit, fit_below, fit_wide};
use crate::kernels::neurons::{Binary, Line, WideLine};
use crate::kernels::product::BLOCK;
use crate::kernels::signed::Signed;

/// How the neurons of a layer are run.
#[derive(Debug)]
pub(super) enum Fire {
    Binary(Binary),
    Line(Line),
    /// Takes back what was too much.
    Signed(Signed),
    /// In the only timestep, where 32 bits do not hold what arrives.
    Wide(WideLine),
    /// Never fires: the potential is read out.
    Accumulate,
    /// One by one, by the neuron's own definition.
    Each,
}

/// What is known of a population before its neurons are chosen.
pub(super) struct Facts<'a> {
    pub(super) population: &'a Population,
    pub(super) channels: usize,
    pub(super) timesteps: usize,
    pub(super) behind_barrier: bool,
    /// What can arrive in one timestep, bias included or not, channel by channel; of the whole frame
    /// behind a barrier.
    pub(super) arriving: &'a [Interval],
}

/// The payloads that neurons can send, 0 among them; `None` where that is not known.
pub(super) fn range(facts: &Facts<'_>) -> Option<Interval> {
    let neuron = &facts.population.neuron;
    if !neuron.fires() {
        return None;
    }
    match (neuron.get::<IntegrateAndFire>(), neuron.staircase()) {
        (None, Some(stairs)) => {
            let ends =
                facts.arriving.iter().enumerate().map(|(c, v)| {
                    Interval::new(stairs.payload(c, v.low), stairs.payload(c, v.high))
                });
            Some(ends.fold(Interval::new(0, 0), Interval::union))
        }
        _ => neuron.payloads(),
    }
}

/// The kernel of a population whose payloads are in `sent`; `None` where a 32-bit potential might
/// overflow, or the neuron belongs to the scalar interpreter.
pub(super) fn choose(facts: &Facts<'_>, sent: Interval) -> Option<Fire> {
    let fits = |x: i64| x.unsigned_abs() < 1 << 30;
    if !facts.arriving.iter().all(|v| fits(v.low) && fits(v.high)) {
        return None;
    }
    let neuron = &facts.population.neuron;
    if !neuron.fires() {
        return Some(Fire::Accumulate);
    }
    match neuron.get::<IntegrateAndFire>() {
        Some(n) if facts.timesteps > 1 => {
            let signed = || signed(facts, n, sent).map(Fire::Signed);
            Some(binary(facts, n, sent).map(Fire::Binary).or_else(signed).unwrap_or(Fire::Each))
        }
        // What keeps a state belongs to the scalar interpreter.
        None if neuron.single_shot(0, 0).is_none() => None,
        _ => Some(line(facts, sent).map_or(Fire::Each, Fire::Line)),
    }
}

/// Neurons of one threshold without leak.
fn binary(facts: &Facts<'_>, n: &IntegrateAndFire, sent: Interval) -> Option<Binary> {
    if n.maximum != 1 || n.signed_limit.is_some() || n.leak != Leak::None {
        return None;
    }
    let table = |rows: &snnc_ir::TimeTable| rows.0.iter().map(Vec::len).max().unwrap_or(1);
    let amounts = match &n.reset {
        Reset::SoftBy(amount) => amount,
        _ => &n.threshold,
    };
    let varies = table(&n.threshold).max(table(amounts)).max(n.decode.as_ref().map_or(1, table));
    let steps = if varies > 1 { facts.timesteps } else { 1 };
    let width = facts.channels.next_multiple_of(BLOCK);
    let mut own = Binary {
        silence: (-sent.low) as u8,
        behind_barrier: facts.behind_barrier,
        initial: vec![0; width],
        hard: None,
        ..Binary::default()
    };
    let initial = |c: usize| *PerChannel::of(&n.initial).at(c);
    let fits = |x: i64| i32::try_from(x).ok().filter(|x| x.unsigned_abs() < 1 << 30);
    if let Reset::Hard(value) = n.reset {
        own.hard = Some(fits(value)?);
    }
    let mut furthest = own.hard.unwrap_or(0).unsigned_abs() as u64;
    for c in 0..facts.channels {
        own.initial[c] = fits(initial(c))?;
        furthest = furthest.max(own.initial[c].unsigned_abs().into());
    }
    for t in 0..steps {
        for c in 0..width {
            if c >= facts.channels {
                own.threshold.push(i32::MAX);
                own.amount.push(0);
                own.spike.push(own.silence);
                continue;
            }
            let above = i64::from(n.comparison == Comparison::Above);
            let threshold = n.threshold.at(c, t);
            let value = n.decode.as_ref().map_or(1, |d| d.at(c, t));
            own.threshold.push(fits(threshold.saturating_add(above))?);
            own.amount.push(fits(amounts.at(c, t))?);
            own.spike.push(u8::try_from(value - sent.low).ok()?);
        }
    }
    let arriving = facts.arriving.iter().map(|v| v.magnitude()).max().unwrap_or(0);
    let amount = own.amount.iter().map(|a| a.unsigned_abs()).max().unwrap_or(0);
    let each = arriving.saturating_add(amount.into());
    let bound = each.saturating_mul(facts.timesteps as u64).saturating_add(furthest);
    (bound < 1 << 31).then_some(own)
}

/// Neurons of one threshold without leak that take back what was too much.
fn signed(facts: &Facts<'_>, n: &IntegrateAndFire, sent: Interval) -> Option<Signed> {
    let Some(NegativeSpikes::Retracting { minimum, maximum }) = n.signed_limit else { return None };
    let steady = n.threshold.0.iter().all(|row| row.len() == 1);
    let plain = n.maximum == 1 && n.leak == Leak::None && n.reset == Reset::Soft;
    if !plain || !steady || n.decode.is_some() || facts.behind_barrier {
        return None;
    }
    let fits = |x: i64| i32::try_from(x).ok().filter(|x| x.unsigned_abs() < 1 << 30);
    let width = facts.channels.next_multiple_of(BLOCK);
    let mut own = Signed {
        threshold: vec![i32::MAX; width],
        // Channels that pad a block are silent: neither at a threshold nor below 0.
        initial: vec![1; width],
        above: i32::from(n.comparison == Comparison::Above),
        minimum: fits(minimum)?,
        maximum: fits(maximum)?,
        silence: u8::try_from(-sent.low).ok()?,
    };
    // Without either bound on the way, a first total would lie outside.
    if own.minimum > 0 || own.maximum < 0 || sent != Interval::new(-1, 1) {
        return None;
    }
    let mut furthest = 0u64;
    for c in 0..facts.channels {
        own.threshold[c] = fits(n.threshold.at(c, 0)).filter(|&t| t > 0)?;
        own.initial[c] = fits(*PerChannel::of(&n.initial).at(c))?;
        furthest = furthest.max(own.initial[c].unsigned_abs().into());
    }
    let arriving = facts.arriving.iter().map(|v| v.magnitude()).max().unwrap_or(0);
    let amount = own.threshold[..facts.channels].iter().max().map_or(0, |t| t.unsigned_abs());
    let each = arriving.saturating_add(amount.into());
    let bound = each.saturating_mul(facts.timesteps as u64).saturating_add(furthest);
    (bound < 1 << 31).then_some(own)
}

/// Levels whose thresholds are listed.
const MOST_LEVELS: i64 = 1 << 16;

/// Neurons whose answer depends on what arrives alone, and never falls as that grows.
fn line(facts: &Facts<'_>, sent: Interval) -> Option<Line> {
    let stairs = facts.population.neuron.staircase()?;
    // Thresholds are listed level by level.
    if sent.high.saturating_sub(sent.low) > MOST_LEVELS {
        return None;
    }
    let width = facts.channels.next_multiple_of(BLOCK);
    let silence = (-sent.low) as u8;
    let mut own = Line {
        slope: vec![0.0; width],
        offset: vec![f32::from(silence); width],
        low: 0.0,
        high: (sent.high - sent.low) as f32,
        silence,
        behind_barrier: facts.behind_barrier,
        uneven: vec![false; width / BLOCK],
        ..Line::default()
    };
    // Channels of the same thresholds share a line.
    let mut known = HashMap::new();
    let mut rows: Vec<(usize, u32)> = Vec::new();
    for (c, reach) in facts.arriving.iter().enumerate() {
        let thresholds = thresholds(stairs, c, *reach, sent);
        let key = (thresholds, reach.low, reach.high);
        let (slope, offset, row) = match known.get(&key) {
            Some(&found) => found,
            None => {
                let found = line_of(&key.0, *reach, &mut own.thresholds)?;
                known.insert(key, found);
                found
            }
        };
        (own.slope[c], own.offset[c]) = (slope, offset);
        rows.extend(row.map(|row| (c, row)));
    }
    if !rows.is_empty() {
        // Thresholds that are never reached, for the other channels.
        let never = u32::try_from(own.thresholds.len()).ok()?;
        let levels = usize::try_from(sent.high - sent.low).ok()?;
        own.thresholds.extend(std::iter::repeat_n(i32::MAX, levels + 1));
        own.rows = vec![never; width];
        for (c, row) in rows {
            own.rows[c] = row;
            own.uneven[c / BLOCK] = true;
        }
    }
    Some(own)
}

/// A line for thresholds, and where the row of those is that put it right, if they must; `None` if none does.
fn line_of(
    thresholds: &[i64],
    reach: Interval,
    table: &mut Vec<i32>,
) -> Option<(f32, f32, Option<u32>)> {
    if let Some((slope, offset)) = fit(thresholds, (reach.low, reach.high)) {
        return Some((slope, offset, None));
    }
    let (slope, offset) = fit_below(thresholds, (reach.low, reach.high))?;
    let row = u32::try_from(table.len()).ok()?;
    let small = |&t: &i64| t.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    table.extend(thresholds.iter().map(small).chain([i32::MAX]));
    Some((slope, offset, Some(row)))
}

/// Least potentials of a channel for each payload above the smallest.
fn thresholds(neuron: Staircase<'_>, c: usize, reach: Interval, sent: Interval) -> Vec<i64> {
    match neuron.line() {
        Some(n) => (sent.low + 1..=sent.high)
            .map(|level| match level {
                _ if level <= n.minimum => reach.low,
                _ if level > n.maximum => reach.high + 1,
                _ => n.threshold(c, level),
            })
            .collect(),
        None => {
            let (first, last) = (neuron.payload(c, reach.low), neuron.payload(c, reach.high));
            let known = (sent.low + 1..=sent.high).map(|level| match level {
                _ if level <= first => Some(reach.low),
                _ if level > last => Some(reach.high + 1),
                _ => neuron.threshold(c, level),
            });
            let known: Option<Vec<i64>> = known.collect();
            known.unwrap_or_else(|| {
                let range = (sent.low, sent.high);
                bisect_thresholds(|v| neuron.payload(c, v), (reach.low, reach.high), range)
            })
        }
    }
}

/// The same for a network of one timestep whose sums are too large for 32 bits, but not for the 53 bits
/// of an f64; `gains` are those of each projection and channel.
pub(super) fn wide(facts: &Facts<'_>, sent: Interval, gains: &[Vec<i64>]) -> Option<Fire> {
    let population = facts.population;
    if facts.timesteps != 1 || !population.neuron.fires() {
        return None;
    }
    let stairs = population.neuron.staircase()?;
    let exact = |x: i64| (x.unsigned_abs() < 1 << 52).then_some(x as f64);
    let width = facts.channels.next_multiple_of(BLOCK);
    let mut own = WideLine {
        gains: vec![0.0; gains.len() * width],
        bias: vec![0.0; width],
        slope: vec![0.0; width],
        // Channels that pad a block are silent.
        offset: vec![-sent.low as f64; width],
        high: (sent.high - sent.low) as f64,
    };
    for (projection, gains) in gains.iter().enumerate() {
        for (c, &gain) in gains.iter().enumerate() {
            own.gains[projection * width + c] = exact(gain)?;
        }
    }
    for (c, reach) in facts.arriving.iter().enumerate() {
        // Every sum on the way lies within what arrives, as that has 0 and each part in it.
        exact(reach.low).and(exact(reach.high))?;
        own.bias[c] = exact(population.bias_at(c))?;
        let thresholds = thresholds(stairs, c, *reach, sent);
        (own.slope[c], own.offset[c]) = fit_wide(&thresholds, (reach.low, reach.high))?;
    }
    Some(Fire::Wide(own))
}
