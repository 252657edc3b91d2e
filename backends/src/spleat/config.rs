//! The configuration words of a layer.

use super::geometry::{Geometry, Map};
use super::layer::{Kind, Layer};

/// Words of a configuration memory.
pub const WORDS: usize = 32;

/// `SPL1`.
pub const MAGIC: u32 = 0x5350_4C31;

/// Version of the format of images, which `docs/spleat-image-format.md` describes.
pub const VERSION: u32 = 1;

/// Where the checksum over the layer's memories is.
pub const CHECKSUM: usize = 30;

const TIME_TABLES: u32 = 1 << 24;
const SATURATE: u32 = 1 << 25;
const CLEAR: u32 = 1 << 27;
const BARRIER: u32 = 1 << 28;
const RESET_TABLE: u32 = 1 << 29;
const DECODE_TABLE: u32 = 1 << 30;

/// The words of one port of a layer, the checksum left 0.
///
/// # Errors
/// When a number does not fit its word.
pub fn words(layer: &Layer, port: usize, saturate: bool) -> Result<[u32; WORDS], String> {
    let geometry = &layer.ports.get(port).ok_or("a layer without synapses")?.geometry;
    let unsigned = |what: &str, value: usize| {
        u32::try_from(value)
            .map_err(|_| format!("{what} of {value} does not fit a configuration word"))
    };
    let mut w = [0u32; WORDS];
    w[0] = MAGIC;
    w[1] = VERSION;
    w[2] = match layer.neuron.kind {
        Kind::Maximum => 2,
        Kind::RunningMaximum => 4,
        _ if port > 0 => 3,
        _ => u32::from(geometry.dense),
    };
    let input = if geometry.dense {
        Map { c: geometry.source.neurons(), h: 1, w: 1 }
    } else {
        geometry.source
    };
    let sizes = [
        input.c,
        input.h,
        input.w,
        layer.target.c,
        layer.target.h,
        layer.target.w,
        geometry.kernel[0],
        geometry.kernel[1],
        geometry.strides[0],
        geometry.strides[1],
        geometry.before[0],
        geometry.before[1],
        geometry.groups,
        layer.npu,
        layer.groups_per_bank(),
    ];
    for (word, size) in w[3..18].iter_mut().zip(sizes) {
        *word = unsigned("a size", size)?;
    }
    let neuron = &layer.neuron;
    (w[18], w[19]) = match neuron.kind {
        Kind::IntegrateAndFire => (0, 0),
        Kind::LeakyAveraging { shift, kept } => {
            w[31] = u32::try_from(kept).map_err(|_| format!("a leak that keeps {kept}"))?;
            (1, u32::from(shift))
        }
        Kind::LeakySubtracting { shift } => (2, u32::from(shift)),
        Kind::Accumulate | Kind::Maximum | Kind::RunningMaximum => (3, 0),
    };
    if let Some(v) = neuron.hard_reset {
        w[20] = 1;
        w[21] = i32::try_from(v).map_err(|_| format!("a reset to {v}"))? as u32;
    }
    w[22] =
        u32::try_from(neuron.maximum).map_err(|_| format!("payloads up to {}", neuron.maximum))?;
    w[23] = u32::from(layer.payload_bits);
    w[24] = unsigned("a number of timesteps", layer.timesteps)?;
    w[25] = u32::from(layer.widths.weight)
        | u32::from(layer.widths.membrane) << 16
        | flags(layer, saturate);
    if geometry.dense && geometry.source.h * geometry.source.w > 1 {
        w[26] = 1;
        w[27] = unsigned("a number of channels", geometry.source.c)?;
        w[28] = unsigned("a number of columns", geometry.source.w)?;
    }
    let [dy, dx] =
        geometry.dilations.map(|d| u16::try_from(d).map_err(|_| format!("a dilation of {d}")));
    w[29] = u32::from(dy?) << 16 | u32::from(dx?);
    Ok(w)
}

fn flags(layer: &Layer, saturate: bool) -> u32 {
    let neuron = &layer.neuron;
    let in_time = |table: &[Vec<i64>]| table.iter().any(|row| row.len() > 1);
    let flag = |set: bool, bit: u32| if set { bit } else { 0 };
    CLEAR
        | flag(in_time(&neuron.threshold), TIME_TABLES)
        | flag(saturate, SATURATE)
        | flag(layer.barrier, BARRIER)
        | flag(neuron.reset.is_some(), RESET_TABLE)
        | flag(neuron.decode.is_some(), DECODE_TABLE)
}

/// What the configuration words of one port say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// 0 convolution, 1 dense, 2 maximum, 3 further port, 4 maximum of running totals.
    pub kind: u32,
    /// What the port connects.
    pub geometry: Geometry,
    /// Number of banks.
    pub npu: usize,
    /// The neuron model.
    pub neuron: Kind,
    /// Hard reset to this potential.
    pub hard_reset: Option<i64>,
    /// Most that is sent in a timestep.
    pub maximum: i64,
    /// Bits of a payload.
    pub payload_bits: u8,
    /// Timesteps.
    pub timesteps: usize,
    /// Bits of weights.
    pub weight_bits: u8,
    /// Bits of membrane potentials.
    pub membrane_bits: u8,
    /// Whether the layer integrates all timesteps before it fires.
    pub barrier: bool,
    /// Whether there are thresholds for each timestep, amounts to subtract, and values of spikes.
    pub tables: [bool; 3],
    /// Checksum over the layer's memories.
    pub checksum: u32,
}

/// The meaning of configuration words, for a port whose sources are `source` and whose weights are
/// dense if `dense`.
///
/// # Errors
/// The number of the word that cannot be, and why.
pub fn parse(words: &[u32], source: Map, dense: bool) -> Result<Configuration, (usize, String)> {
    let at = |i: usize| words.get(i).copied().unwrap_or(0);
    let size = |i: usize| at(i) as usize;
    let check =
        |i: usize, holds: bool, reason: String| if holds { Ok(()) } else { Err((i, reason)) };
    check(0, at(0) == MAGIC, format!("the magic number is {:08X}, not {MAGIC:08X}", at(0)))?;
    check(1, at(1) == VERSION, format!("version {} is not supported, only {VERSION}", at(1)))?;
    check(2, at(2) <= 4, format!("layer type {}", at(2)))?;
    let dense = if at(2) == 3 { dense } else { at(2) == 1 };
    let input = if dense { Map { c: source.neurons(), h: 1, w: 1 } } else { source };
    for (i, expected) in [(3, input.c), (4, input.h), (5, input.w)] {
        check(i, size(i) == expected, format!("{} where the layer before has {expected}", at(i)))?;
    }
    for i in [6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 24] {
        check(i, (1..=1 << 24).contains(&at(i)), format!("a size of {}", at(i)))?;
    }
    for i in [13, 14] {
        check(i, at(i) <= 1 << 16, format!("padding of {}", at(i)))?;
    }
    check(16, at(16) <= 4096, format!("{} banks", at(16)))?;
    let cpb = size(6).div_ceil(size(16));
    check(17, size(17) == cpb, format!("{} groups where {cpb} are needed", at(17)))?;
    check(15, input.c % size(15) == 0 && size(6) % size(15) == 0, format!("{} groups", at(15)))?;
    let flattens = dense && source.h * source.w > 1;
    let expected = if flattens { [1, source.c, source.w] } else { [0, 0, 0] };
    for (i, expected) in (26..29).zip(expected) {
        check(
            i,
            size(i) == expected,
            format!("{} where the layer before asks for {expected}", at(i)),
        )?;
    }
    let shift = at(19).min(255) as u8;
    check(19, at(19) <= 62, format!("a leak by a shift of {}", at(19)))?;
    let neuron = match at(18) {
        0 => Kind::IntegrateAndFire,
        1 => Kind::LeakyAveraging { shift, kept: i64::from(at(31)) },
        2 => Kind::LeakySubtracting { shift },
        3 if at(2) == 2 => Kind::Maximum,
        3 if at(2) == 4 => Kind::RunningMaximum,
        3 => Kind::Accumulate,
        other => return Err((18, format!("neuron kind {other}"))),
    };
    check(20, at(20) <= 1, format!("reset mode {}", at(20)))?;
    check(23, (1..=64).contains(&at(23)), format!("payloads of {} bits", at(23)))?;
    let dilations = [at(29) as usize >> 16, at(29) as usize & 0xffff];
    check(29, dilations.iter().all(|&d| d > 0), "a dilation of 0".into())?;
    let product = |words: &[usize]| {
        words.iter().try_fold(1usize, |p, &i| p.checked_mul(size(i))).filter(|&p| p <= 1 << 32)
    };
    check(6, product(&[6, 7, 8]).is_some(), "a map of more than 2^32 neurons".into())?;
    check(9, product(&[3, 6, 9, 10]).is_some(), "more than 2^32 weights".into())?;
    let geometry = Geometry {
        dense,
        source,
        target: Map { c: size(6), h: size(7), w: size(8) },
        kernel: [size(9), size(10)],
        strides: [size(11), size(12)],
        dilations,
        before: [size(13), size(14)],
        groups: size(15),
    };
    let (weight_bits, membrane_bits) = (at(25) as u8, (at(25) >> 16) as u8);
    let sane = |bits: u8| (1..=64).contains(&bits);
    check(
        25,
        sane(weight_bits) && sane(membrane_bits),
        format!("widths of {weight_bits} and {membrane_bits} bits"),
    )?;
    Ok(Configuration {
        kind: at(2),
        geometry,
        npu: size(16),
        neuron,
        hard_reset: (at(20) == 1).then(|| i64::from(at(21) as i32)),
        maximum: i64::from(at(22)),
        payload_bits: at(23) as u8,
        timesteps: size(24),
        weight_bits,
        membrane_bits,
        barrier: at(25) & BARRIER != 0,
        tables: [TIME_TABLES, RESET_TABLE, DECODE_TABLE].map(|bit| at(25) & bit != 0),
        checksum: at(CHECKSUM),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spleat::hardware::{AerWord, Hardware};
    use crate::spleat::memory::MemoryKind;

    const PAGE: &str = include_str!("../../../docs/spleat-image-format.md");

    /// First cells of the rows of a table, by its heading.
    fn cells(heading: &str) -> Vec<&'static str> {
        let rows = PAGE.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
        let rows = rows.take_while(|line| line.starts_with('|'));
        rows.filter_map(|line| line.split('|').nth(1)).map(str::trim).collect()
    }

    #[test]
    fn the_page_has_every_word_and_flag_of_this_version() {
        assert!(PAGE.starts_with(&format!("# SPLEAT-style memory images, version {VERSION}\n")));
        assert!(PAGE.contains("SPLEAT-style, documented stand-in"));
        assert!(PAGE.contains(&format!("| 0 | `{MAGIC:08X}`")));
        let words: Vec<usize> = cells("| word | content |")
            .into_iter()
            .flat_map(|cell| cell.split(", "))
            .map(|word| word.parse().unwrap())
            .collect();
        assert_eq!(words, (0..WORDS).collect::<Vec<_>>());
        let flags = cells("| flag |").into_iter().map(|bit| 1 << bit.parse::<u32>().unwrap());
        let known = [TIME_TABLES, SATURATE, CLEAR, BARRIER, RESET_TABLE, DECODE_TABLE];
        assert_eq!(flags.collect::<Vec<u32>>(), known);
    }

    #[test]
    fn the_page_has_every_memory_and_the_default_event_word() {
        let files = cells("| file |").join(" ");
        for kind in MemoryKind::ALL {
            let stem = crate::spleat::memory::stem(0, kind, 0, 0);
            let name = match kind {
                MemoryKind::Configuration => "`l<k>_cfg.mem`".to_owned(),
                _ => format!("`l<k>_{}<n>.mem`", &stem[3..stem.len() - 1]),
            };
            assert!(files.contains(&name), "{name}");
        }
        let aer: AerWord = Hardware::choose(None, None).unwrap().aer;
        let span = |[high, low]: [u32; 2]| format!("{high}..{low}");
        let default = format!("default of {} bits", aer.bits);
        assert!(PAGE.contains(&default), "{default}");
        for (field, range) in aer.fields() {
            assert!(PAGE.contains(&span(range)), "{field} {}", span(range));
        }
    }
}
