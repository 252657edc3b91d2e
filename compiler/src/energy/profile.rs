//! What an operation and a memory access cost: the named profiles.

use std::sync::LazyLock;

use serde::Deserialize;

/// Which accesses and operations a layer is taken to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counting {
    /// As Qualia counts: a spiking layer with non-binary input is one dense frame.
    Qualia,
    /// As SpikingJelly reads the paper: a layer with non-binary input is formal, every timestep.
    Paper,
    /// Every graded spike is one event, whose synaptic operations multiply.
    Events,
    /// As [`Counting::Events`], with the synaptic operations of the run and the layer's own memories.
    Hardware,
}

/// How the energy of an operation depends on the bits of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arithmetic {
    /// That of the widest entry of the table, whatever the width.
    Iconip,
    /// The exact entry of the table if there is one, else the widest.
    Table,
    /// The next entry of the table from this width up.
    Saturation,
    /// The line through the entries for 8 and 32 bits.
    Linear,
    /// The parabola through 0 and the entries for 8 and 32 bits.
    Quadratic,
}

/// Energy of one access to a memory.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Sram {
    /// `slope * words * bits + intercept`.
    Line {
        /// pJ for each bit of the memory.
        slope: f64,
        /// pJ of the smallest memory.
        intercept: f64,
    },
    /// `energy / floor(port / bits)`, whatever the size.
    Port {
        /// Bits read at once.
        bits: u32,
        /// pJ for that.
        energy: f64,
    },
    /// Linear between (bytes, pJ), constant beyond the ends.
    Piecewise {
        /// Ascending in bytes.
        points: Vec<(f64, f64)>,
    },
    /// As [`Sram::Piecewise`], times `bits / 32`.
    PerBit {
        /// Ascending in bytes.
        points: Vec<(f64, f64)>,
    },
}

/// A memory: how many words of how many bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Words.
    pub words: f64,
    /// Bits of a word.
    pub bits: u32,
}

fn between(points: &[(f64, f64)], x: f64) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let x = x.clamp(first.0, last.0);
    for pair in points.windows(2) {
        if let &[(x0, y0), (x1, y1)] = pair
            && x <= x1
        {
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
        }
    }
    last.1
}

impl Sram {
    /// pJ of one access to `memory`.
    pub fn access(&self, memory: Memory) -> f64 {
        let bits = f64::from(memory.bits);
        match self {
            Sram::Line { slope, intercept } => slope * memory.words * bits + intercept,
            Sram::Port { bits, energy } => energy / f64::from((bits / memory.bits.max(1)).max(1)),
            Sram::Piecewise { points } => between(points, memory.words * bits / 8.0),
            Sram::PerBit { points } => between(points, memory.words * bits / 8.0) * bits / 32.0,
        }
    }
}

/// pJ of one addition and one multiplication at one width.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Operation {
    /// Bits of the operands.
    pub bits: u32,
    /// pJ of an addition.
    pub add: f64,
    /// pJ of a multiplication.
    pub multiply: f64,
}

/// A named way to reckon energy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Profile {
    /// The name printed beside every joule.
    pub name: String,
    /// One line for lists.
    pub summary: String,
    /// Which accesses and operations there are.
    pub counting: Counting,
    /// Bits of every word and operand (all but [`Counting::Hardware`]).
    pub word_bits: u32,
    /// Messages that a queue before or after a layer holds.
    pub fifo: usize,
    /// How operations depend on width.
    pub arithmetic: Arithmetic,
    /// Energy of memory accesses.
    pub sram: Sram,
    /// Entries by width, ascending: the table of the data file.
    #[serde(default)]
    pub operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct File {
    operations: Vec<Operation>,
    profiles: Vec<Profile>,
}

static PROFILES: LazyLock<Vec<Profile>> =
    LazyLock::new(|| parse(include_str!("profiles.yaml")).unwrap_or_default());

fn parse(text: &str) -> Result<Vec<Profile>, serde_yaml::Error> {
    let file: File = serde_yaml::from_str(text)?;
    let with_table = |p: Profile| Profile { operations: file.operations.clone(), ..p };
    Ok(file.profiles.into_iter().map(with_table).collect())
}

impl Profile {
    /// Every profile, in the order of the data file.
    pub fn all() -> &'static [Profile] {
        &PROFILES
    }

    /// The profile of that name.
    pub fn named(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|p| p.name == name)
    }

    /// pJ of an addition of numbers of `bits` bits.
    pub fn add(&self, bits: f64) -> f64 {
        self.operation(bits, |o| o.add)
    }

    /// pJ of a multiplication of numbers of `bits` bits.
    pub fn multiply(&self, bits: f64) -> f64 {
        self.operation(bits, |o| o.multiply)
    }

    fn operation(&self, bits: f64, energy: impl Fn(&Operation) -> f64) -> f64 {
        let (Some(narrow), Some(wide)) = (self.operations.first(), self.operations.last()) else {
            return 0.0;
        };
        let (x0, y0) = (f64::from(narrow.bits), energy(narrow));
        let (x1, y1) = (f64::from(wide.bits), energy(wide));
        match self.arithmetic {
            Arithmetic::Iconip => y1,
            Arithmetic::Table => {
                self.operations.iter().find(|o| f64::from(o.bits) == bits).map_or(y1, &energy)
            }
            Arithmetic::Saturation => {
                self.operations.iter().find(|o| f64::from(o.bits) >= bits).map_or(y1, &energy)
            }
            Arithmetic::Linear => y0 + (y1 - y0) / (x1 - x0) * (bits - x0),
            Arithmetic::Quadratic => {
                // a b^2 + c b through both entries.
                let a = (y1 / x1 - y0 / x0) / (x1 - x0);
                let c = y0 / x0 - a * x0;
                (a * bits + c) * bits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_is_read() {
        let names: Vec<&str> = Profile::all().iter().map(|p| p.name.as_str()).collect();
        let known = ["qualia-iconip", "qualia-louis", "paper-piecewise", "graded", "hardware"];
        assert_eq!(names, known);
        assert!(parse("profiles: 3").is_err());
    }

    #[test]
    fn operations_go_through_the_table_at_its_widths() {
        for arithmetic in
            [Arithmetic::Table, Arithmetic::Saturation, Arithmetic::Linear, Arithmetic::Quadratic]
        {
            let p = Profile { arithmetic, ..Profile::all()[0].clone() };
            for (bits, add, multiply) in [(8.0, 0.03, 0.2), (32.0, 0.1, 3.1)] {
                assert!((p.add(bits) - add).abs() < 1e-12, "{arithmetic:?}");
                assert!((p.multiply(bits) - multiply).abs() < 1e-12, "{arithmetic:?}");
            }
        }
        let p = Profile { arithmetic: Arithmetic::Saturation, ..Profile::all()[0].clone() };
        assert_eq!([p.add(4.0), p.add(9.0), p.add(40.0)], [0.03, 0.1, 0.1]);
        let p = Profile { arithmetic: Arithmetic::Iconip, ..p };
        assert_eq!(p.multiply(8.0), 3.1);
        let p = Profile { arithmetic: Arithmetic::Quadratic, ..p };
        assert_eq!(p.multiply(0.0), 0.0);
    }

    #[test]
    fn accesses_cost_what_the_sources_say() {
        let memory = |words, bits| Memory { words, bits };
        let old = &Profile::named("qualia-iconip").unwrap().sram;
        assert!((old.access(memory(2048.0, 32)) - 13.914_342_4).abs() < 1e-9);
        let new = &Profile::named("qualia-louis").unwrap().sram;
        assert_eq!(
            [8, 16, 32, 64, 128].map(|b| new.access(memory(1e9, b))),
            [1.25, 2.5, 5.0, 10.0, 10.0]
        );
        let paper = &Profile::named("paper-piecewise").unwrap().sram;
        let kib = |k: f64| paper.access(memory(k * 256.0, 32));
        assert_eq!(
            [4.0, 8.0, 20.0, 32.0, 1024.0, 4096.0].map(kib),
            [5.0, 10.0, 15.0, 20.0, 100.0, 100.0]
        );
        let own = &Profile::named("hardware").unwrap().sram;
        assert_eq!(own.access(memory(8192.0, 8)), 2.5);
    }
}
