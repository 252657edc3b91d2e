//! What the neurons did: spikes, payloads and noise, population by population.

use maud::{Markup, html};

use super::observe::{Histograms, RATE_BINS};
use super::page::View;
use super::plots::{self, short};
use crate::evaluate::{Evaluation, LayerRow};

impl View<'_> {
    pub(super) fn activity(&self, e: &Evaluation, histograms: &[Histograms]) -> Markup {
        let header = [
            "neurons",
            "spikes per neuron",
            "firing rate",
            "mean payload",
            "synaptic operations",
            "differing codes",
            "SQNR",
        ];
        html! {
            (self.heading("Activity"))
            div.scroll { table {
                thead { tr {
                    th scope="col" { "population" }
                    @for name in header { th.n scope="col" { (name) } }
                } }
                tbody { @for (i, row) in e.per_layer.iter().enumerate() { (self.activity_row(i, row)) } }
            } }
            p.soft {
                "Firing rate: spikes per neuron and timestep. SQNR: signal to quantisation noise of the codes against the quantised network."
            }
            div.grid { @for h in histograms { (self.histogram(h)) } }
        }
    }

    fn activity_row(&self, i: usize, row: &LayerRow) -> Markup {
        let real = |name: &str, value: f64| {
            self.figure(&format!("per_layer.{i}.{name}"), value, &short(value))
        };
        let count = |name: &str, value: u64| self.count(&format!("per_layer.{i}.{name}"), value);
        html! { tr {
            th scope="row" { (row.name) }
            td.n { (count("neurons", row.neurons as u64)) }
            td.n { (real("spikes_per_neuron", row.spikes_per_neuron)) }
            td.n { (real("firing_rate", row.firing_rate)) }
            td.n { (real("mean_payload", row.mean_payload)) }
            td.n { (real("synaptic_operations", row.synaptic_operations)) }
            td.n { @if let Some(n) = row.mismatches_vs_reference { (count("mismatches_vs_reference", n)) } @else { "–" } }
            td.n {
                @match (row.sqnr_db, row.mismatches_vs_reference) {
                    (Some(db), _) => { (self.figure(&format!("per_layer.{i}.sqnr_db"), db, &format!("{db:.1} dB"))) }
                    (None, Some(0)) => "no noise",
                    _ => "–",
                }
            }
        } }
    }

    fn histogram(&self, h: &Histograms) -> Markup {
        let bin = |i: usize| format!("{:.2}", i as f64 / RATE_BINS as f64);
        let rates: Vec<(String, u64)> = h
            .rates
            .iter()
            .enumerate()
            .map(|(i, &n)| (format!("{} to {}", bin(i), bin(i + 1)), n))
            .collect();
        html! {
            section {
                (self.subheading(&h.name))
                figure {
                    (plots::histogram(&rates, &format!("Neurons of {} by spikes per timestep", h.name)))
                    figcaption { "neurons by spikes per timestep; " (h.silent) " never fired" }
                }
                figure {
                    (plots::histogram(&payload_bars(&h.payloads), &format!("Spikes of {} by payload", h.name)))
                    figcaption { "spikes by payload" }
                }
            }
        }
    }
}

/// At most 64 bars of equal width over the payloads that occurred.
fn payload_bars(payloads: &[(i64, u64)]) -> Vec<(String, u64)> {
    const MOST: i128 = 64;
    let (Some((low, _)), Some((high, _))) = (payloads.first(), payloads.last()) else {
        return Vec::new();
    };
    let (low, high) = (i128::from(*low), i128::from(*high));
    let width = (high - low) / MOST + 1;
    let bars = (high - low) / width + 1;
    let mut counts = vec![0; bars as usize];
    for &(payload, n) in payloads {
        if let Some(count) = counts.get_mut(((i128::from(payload) - low) / width) as usize) {
            *count += n;
        }
    }
    let name = |i: usize| {
        let from = low + i as i128 * width;
        if width == 1 {
            from.to_string()
        } else {
            format!("{from} to {}", (from + width - 1).min(high))
        }
    };
    counts.into_iter().enumerate().map(|(i, n)| (name(i), n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_binned_without_loss() {
        let few: Vec<(i64, u64)> = vec![(-2, 3), (1, 4), (3, 5)];
        let bars = payload_bars(&few);
        assert_eq!(bars.len(), 6);
        assert_eq!((bars[0].clone(), bars[5].clone()), (("-2".into(), 3), ("3".into(), 5)));
        let wide: Vec<(i64, u64)> = vec![(i64::MIN, 1), (0, 2), (i64::MAX, 3)];
        let bars = payload_bars(&wide);
        assert!(bars.len() <= 64);
        assert_eq!(bars.iter().map(|b| b.1).sum::<u64>(), 6);
        assert!(payload_bars(&[]).is_empty());
    }
}
