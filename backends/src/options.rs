//! Options of one target alone, as `--set KEY=VALUE` and the configuration file give them.

use crate::{TargetOptions, Violation};

/// The values of an option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// A finite number above the first and up to the second.
    Number {
        /// The bound that it must exceed.
        above: f64,
        /// The largest.
        up_to: f64,
    },
    /// A whole number from the first to the second.
    Whole {
        /// The smallest.
        from: u64,
        /// The largest.
        to: u64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, separated by commas.
    Words(&'static [&'static str]),
}

/// An option of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetOption {
    /// The key; one that ends in `.` stands for all that begin so, and a population's name follows.
    pub key: &'static str,
    /// What it takes.
    pub values: Values,
    /// What it does, for lists.
    pub summary: &'static str,
}

impl Values {
    /// Why a text is none of the values, and what to write instead.
    fn refused(&self, text: &str) -> Option<(String, String)> {
        let accepted = match self {
            Values::Number { above, up_to } => {
                text.parse::<f64>().is_ok_and(|x| x > *above && x <= *up_to)
            }
            Values::Whole { from, to } => {
                text.parse::<u64>().is_ok_and(|n| (*from..=*to).contains(&n))
            }
            Values::Word(words) => words.contains(&text),
            Values::Words(words) => split(text).all(|word| words.contains(&word)),
        };
        (!accepted).then(|| (format!("`{text}` is not {self}"), format!("write {self}")))
    }
}

/// What the option takes, in words.
impl std::fmt::Display for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Values::Number { above, up_to } => write!(f, "a number above {above}, up to {up_to}"),
            Values::Whole { from, to } => write!(f, "a whole number from {from} to {to}"),
            Values::Word([word]) => write!(f, "{word}"),
            Values::Word(words) => write!(f, "one of {}", words.join(", ")),
            Values::Words(words) => write!(f, "a comma-separated list of {}", words.join(", ")),
        }
    }
}

/// The words of a list with commas.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

impl TargetOption {
    /// Whether a key is this option's.
    pub fn takes(&self, key: &str) -> bool {
        match self.key.ends_with('.') {
            true => key.len() > self.key.len() && key.starts_with(self.key),
            false => key == self.key,
        }
    }

    /// The key as users write it.
    pub fn shown(&self) -> String {
        if self.key.ends_with('.') { format!("{}NAME", self.key) } else { self.key.to_owned() }
    }
}

impl TargetOptions {
    /// Keys of [`TargetOptions::extra`] that begin so are factors of thresholds; the population's name follows.
    pub const THRESHOLD: &'static str = "threshold.";

    /// Whether the user has chosen factors of thresholds.
    pub fn chooses_thresholds(&self) -> bool {
        self.extra.keys().any(|key| key.starts_with(Self::THRESHOLD))
    }

    /// That each key is one of the target's options and has a value that it takes.
    ///
    /// # Errors
    /// All keys and values that are not, each with its remedy.
    pub fn check(&self, target: &str, known: &[TargetOption]) -> Result<(), Vec<Violation>> {
        let refusal = |(key, value): (&String, &String)| {
            let (reason, remedy) = match known.iter().find(|option| option.takes(key)) {
                Some(option) => option.values.refused(value)?,
                None => {
                    let keys: Vec<String> = known.iter().map(TargetOption::shown).collect();
                    let remedy = match keys.as_slice() {
                        [] => "it has none".to_owned(),
                        keys => format!("it has {}", keys.join(", ")),
                    };
                    (format!("{target} has no such option"), remedy)
                }
            };
            Some(Violation { node: format!("--set {key}"), reason, remedy })
        };
        let violations: Vec<Violation> = self.extra.iter().filter_map(refusal).collect();
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }

    /// The number of an option that was given; checked before ([`TargetOptions::check`]).
    pub fn number(&self, key: &str) -> Option<f64> {
        self.extra.get(key)?.parse().ok()
    }

    /// The whole number of an option that was given.
    pub fn whole(&self, key: &str) -> Option<usize> {
        self.extra.get(key)?.parse().ok()
    }

    /// The word of an option that was given.
    pub fn word(&self, key: &str) -> Option<&str> {
        self.extra.get(key).map(String::as_str)
    }

    /// The words of an option; none where it was not given.
    pub fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        self.word(key).into_iter().flat_map(split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [TargetOption; 4] = [
        TargetOption {
            key: "rate",
            values: Values::Number { above: 0.0, up_to: 1.0 },
            summary: "",
        },
        TargetOption { key: "copies", values: Values::Whole { from: 1, to: 16 }, summary: "" },
        TargetOption { key: "formats", values: Values::Words(&["mif", "coe"]), summary: "" },
        TargetOption { key: "on.", values: Values::Word(&["on", "off"]), summary: "" },
    ];

    fn given(pairs: &[(&str, &str)]) -> TargetOptions {
        let extra = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        TargetOptions { extra, ..TargetOptions::default() }
    }

    #[test]
    fn values_are_read_by_their_type() {
        let options =
            given(&[("rate", "0.25"), ("copies", "4"), ("formats", "mif, coe,"), ("on.a.b", "on")]);
        assert_eq!(options.check("a", &KNOWN), Ok(()));
        assert_eq!((options.number("rate"), options.word("on.a.b")), (Some(0.25), Some("on")));
        assert_eq!(options.words("formats").collect::<Vec<_>>(), ["mif", "coe"]);
        assert_eq!(options.words("none").count(), 0);
    }

    #[test]
    fn every_wrong_key_and_value_is_refused_at_once() {
        let wrong = [
            ("rate", "0"),
            ("copies", "17"),
            ("formats", "mif,elf"),
            ("on.x", "yes"),
            ("on.", "on"),
            ("rates", "1"),
        ];
        let refused = given(&wrong).check("a", &KNOWN).unwrap_err();
        assert_eq!(refused.len(), wrong.len());
        assert!(refused.iter().all(|v| v.node.starts_with("--set ") && !v.remedy.is_empty()));
        for value in ["nan", "inf", "-1", "1.5", "", "x"] {
            assert!(given(&[("rate", value)]).check("a", &KNOWN).is_err(), "{value}");
        }
        let none = given(&wrong[..1]).check("a", &[]).unwrap_err();
        assert_eq!(
            (none[0].reason.as_str(), none[0].remedy.as_str()),
            ("a has no such option", "it has none")
        );
    }
}
