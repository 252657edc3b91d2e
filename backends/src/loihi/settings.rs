//! Options of this target alone, as `--set KEY=VALUE` or the configuration file give them.

use std::collections::BTreeMap;

use crate::{TargetOptions, Violation};

/// Spikes a timestep that stand for the largest code, where nothing else is said. A neuron that is
/// reset to 0 loses what exceeds its threshold, the more the faster it fires.
const PEAK_RATE: f64 = 0.25;

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    /// `peak-rate`: spikes a timestep that stand for the largest code, above 0 up to 1.
    pub peak_rate: f64,
    /// `saturate`: whether sigma-delta neurons stop at the largest code, by a second neuron each.
    pub saturate: bool,
    /// `threshold.NAME`: factor of the threshold of the population of that name.
    pub thresholds: BTreeMap<String, f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { peak_rate: PEAK_RATE, saturate: false, thresholds: BTreeMap::new() }
    }
}

impl Settings {
    /// Reads the options.
    ///
    /// # Errors
    /// Every key that is unknown, and every value out of its range.
    pub fn of(options: &TargetOptions) -> Result<Settings, Vec<Violation>> {
        let (mut settings, mut violations) = (Settings::default(), Vec::new());
        for (key, value) in &options.extra {
            let mut refuse = |reason: String, remedy: &str| {
                let (node, remedy) = (format!("--set {key}"), remedy.to_owned());
                violations.push(Violation { node, reason, remedy });
            };
            let within =
                |low: f64, high: f64| value.parse::<f64>().ok().filter(|x| *x > low && *x <= high);
            match key.split_once('.') {
                None if key == "peak-rate" => match within(0.0, 1.0) {
                    Some(rate) => settings.peak_rate = rate,
                    None => {
                        refuse(format!("`{value}` is no rate"), "use a number above 0, up to 1")
                    }
                },
                None if key == "saturate" => match value.as_str() {
                    "on" => settings.saturate = true,
                    "off" => settings.saturate = false,
                    _ => refuse(format!("`{value}` is neither on nor off"), "use on or off"),
                },
                Some(("threshold", name)) => match within(0.0, 16.0) {
                    Some(factor) => drop(settings.thresholds.insert(name.to_owned(), factor)),
                    None => {
                        refuse(format!("`{value}` is no factor"), "use a number above 0, up to 16")
                    }
                },
                _ => refuse(
                    "loihi has no such option".into(),
                    "it has peak-rate, saturate and threshold.POPULATION",
                ),
            }
        }
        if violations.is_empty() { Ok(settings) } else { Err(violations) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, usize> {
        let extra = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let options = TargetOptions { extra, ..TargetOptions::default() };
        Settings::of(&options).map_err(|v| v.len())
    }

    #[test]
    fn every_wrong_option_is_said_at_once() {
        let settings = read(&[("peak-rate", "0.25"), ("threshold.a.b", "0.9")]).unwrap();
        assert_eq!((settings.peak_rate, settings.thresholds["a.b"]), (0.25, 0.9));
        let wrong =
            [("peak-rate", "0"), ("threshold.a", "x"), ("peek-rate", "1"), ("saturate", "yes")];
        assert_eq!(read(&wrong), Err(4));
    }
}
