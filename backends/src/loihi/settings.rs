//! Options of this target alone, as `--set KEY=VALUE` or the configuration file give them.

use std::collections::BTreeMap;

use crate::{TargetOption, TargetOptions, Values, Violation};

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

/// Options of this target.
pub(super) const OPTIONS: [TargetOption; 3] = [
    TargetOption {
        key: "peak-rate",
        values: Values::Number { above: 0.0, up_to: 1.0 },
        summary: "firing rate of the largest code, in the coding rate",
    },
    TargetOption {
        key: "saturate",
        values: Values::Word(&["on", "off"]),
        summary: "lets sigma-delta neurons saturate at the largest code, with a second neuron each",
    },
    TargetOption {
        key: TargetOptions::THRESHOLD,
        values: Values::Number { above: 0.0, up_to: 16.0 },
        summary: "factor of the threshold of the population of that name, in the coding rate",
    },
];

impl Settings {
    /// Reads the options.
    ///
    /// # Errors
    /// Every key that is unknown, and every value out of its range.
    pub fn of(options: &TargetOptions) -> Result<Settings, Vec<Violation>> {
        options.check("loihi", &OPTIONS)?;
        let mut thresholds = options.thresholds.clone();
        for key in options.extra.keys() {
            let name = key.strip_prefix(TargetOptions::THRESHOLD);
            thresholds.extend(name.map(str::to_owned).zip(options.number(key)));
        }
        Ok(Settings {
            peak_rate: options.number("peak-rate").unwrap_or(PEAK_RATE),
            saturate: options.word("saturate") == Some("on"),
            thresholds,
        })
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
        let chosen = TargetOptions {
            thresholds: [("a".to_owned(), 0.5), ("b".to_owned(), 0.75)].into(),
            extra: [("threshold.a".to_owned(), "0.25".to_owned())].into(),
            ..TargetOptions::default()
        };
        let settings = Settings::of(&chosen).unwrap();
        assert_eq!((settings.thresholds["a"], settings.thresholds["b"]), (0.25, 0.75));
        let wrong =
            [("peak-rate", "0"), ("threshold.a", "x"), ("peek-rate", "1"), ("saturate", "yes")];
        assert_eq!(read(&wrong), Err(4));
    }
}
