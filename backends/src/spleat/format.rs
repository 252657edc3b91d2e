//! The file formats of memories, and the reader of the first of them.

use std::fmt::Write as _;

use super::hardware::Format;
use super::memory::Memory;

/// A memory in a file format.
pub fn write(memory: &Memory, format: Format) -> String {
    match format {
        Format::Mem => mem(memory),
        Format::Mif => mif(memory),
        Format::Coe => coe(memory),
        Format::Ihex => ihex(memory, false),
        Format::Qhex => ihex(memory, true),
    }
}

fn digits(memory: &Memory) -> usize {
    usize::from(memory.width).div_ceil(4).max(1)
}

/// One word a line, for `$readmemh`; no address, so that tools that count bytes agree.
fn mem(memory: &Memory) -> String {
    let (digits, depth) = (digits(memory), memory.words.len());
    let mut out = format!("// {}: {depth} words of {} bits\n", memory.stem, memory.width);
    for word in &memory.words {
        let _ = writeln!(out, "{word:0digits$X}");
    }
    out
}

/// Intel memory initialisation file; without ranges of addresses, which srecord 1.64 misreads.
fn mif(memory: &Memory) -> String {
    let digits = digits(memory);
    let mut out = format!(
        "-- {}\nWIDTH={};\nDEPTH={};\nADDRESS_RADIX=HEX;\nDATA_RADIX=HEX;\nCONTENT BEGIN\n",
        memory.stem,
        memory.width,
        memory.words.len()
    );
    for (address, word) in memory.words.iter().enumerate() {
        let _ = writeln!(out, "    {address:X} : {word:0digits$X};");
    }
    out.push_str("END;\n");
    out
}

/// Xilinx coefficients; the vector comes last and a semicolon ends it.
fn coe(memory: &Memory) -> String {
    let digits = digits(memory);
    let mut out = format!(
        "; {}: {} words of {} bits\nmemory_initialization_radix=16;\nmemory_initialization_vector=\n",
        memory.stem,
        memory.words.len(),
        memory.width
    );
    for (i, word) in memory.words.iter().enumerate() {
        let end = if i + 1 == memory.words.len() { ';' } else { ',' };
        let _ = writeln!(out, "{word:0digits$X}{end}");
    }
    out
}

/// Intel HEX, words big-endian in whole bytes: addresses count bytes, up to 16 to a record, or as
/// Quartus has it words, one to a record.
fn ihex(memory: &Memory, by_word: bool) -> String {
    let each = usize::from(memory.width).div_ceil(8).max(1);
    let bytes: Vec<u8> =
        memory.words.iter().flat_map(|w| w.to_be_bytes().into_iter().skip(8 - each)).collect();
    let per_record = if by_word { each } else { (16 / each).max(1) * each };
    let mut out = String::new();
    let mut upper = 0u32;
    for (index, chunk) in bytes.chunks(per_record).enumerate() {
        let address = (if by_word { index } else { index * per_record }) as u32;
        if address >> 16 != upper {
            upper = address >> 16;
            // Beyond 64 Ki by extended linear addresses, which Quartus does not take: there by
            // extended segment addresses, in units of 16, as far as they reach.
            match upper << 12 {
                segment if by_word && segment <= 0xFFFF => {
                    record(&mut out, 0, 2, &[(segment >> 8) as u8, segment as u8]);
                }
                _ => record(&mut out, 0, 4, &[(upper >> 8) as u8, upper as u8]),
            }
        }
        record(&mut out, address as u16, 0, chunk);
    }
    record(&mut out, 0, 1, &[]);
    out
}

fn record(out: &mut String, address: u16, kind: u8, data: &[u8]) {
    let [high, low] = address.to_be_bytes();
    let mut sum = 0u8;
    out.push(':');
    for byte in [data.len() as u8, high, low, kind].iter().chain(data) {
        sum = sum.wrapping_add(*byte);
        let _ = write!(out, "{byte:02X}");
    }
    let _ = writeln!(out, "{:02X}", sum.wrapping_neg());
}

/// The words of a `.mem` file of that width and depth.
///
/// # Errors
/// The line, from 1, and what is wrong with it.
pub fn parse_mem(content: &[u8], width: u8, depth: usize) -> Result<Vec<u64>, (usize, String)> {
    let text = std::str::from_utf8(content).map_err(|_| (1, "not text".to_owned()))?;
    let mut words = Vec::with_capacity(depth.min(content.len()));
    let mut lines = 0;
    for (number, line) in text.lines().enumerate() {
        lines = number + 1;
        let line = line.split("//").next().unwrap_or_default();
        for word in line.split_whitespace() {
            if let Some(address) = word.strip_prefix('@') {
                if u64::from_str_radix(address, 16).ok() != Some(words.len() as u64) {
                    return Err((
                        lines,
                        format!("an address `{word}` where word {} follows", words.len()),
                    ));
                }
                continue;
            }
            let value = u64::from_str_radix(word, 16).ok().filter(|_| !word.starts_with('+'));
            let Some(value) = value.filter(|v| width >= 64 || v >> width == 0) else {
                return Err((lines, format!("`{word}` is no hexadecimal number of {width} bits")));
            };
            words.push(value);
            if words.len() > depth {
                return Err((lines, format!("more than {depth} words")));
            }
        }
    }
    if words.len() != depth {
        return Err((lines.max(1), format!("{} words instead of {depth}", words.len())));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spleat::memory::MemoryKind;

    fn example() -> Memory {
        Memory {
            stem: "l0_b0".into(),
            kind: MemoryKind::Bias,
            port: 0,
            bank: 0,
            width: 16,
            words: vec![0x0001, 0xFFFE, 0x7FFF],
        }
    }

    #[test]
    fn formats_write_the_known_lines() {
        let m = example();
        assert_eq!(write(&m, Format::Ihex), ":060000000001FFFE7FFF7E\n:00000001FF\n");
        assert_eq!(
            write(&m, Format::Qhex),
            ":020000000001FD\n:02000100FFFE00\n:020002007FFF7E\n:00000001FF\n"
        );
        assert!(write(&m, Format::Coe).ends_with("vector=\n0001,\nFFFE,\n7FFF;\n"));
        assert!(write(&m, Format::Mif).contains("    1 : FFFE;\n"));
        assert_eq!(write(&m, Format::Mem), "// l0_b0: 3 words of 16 bits\n0001\nFFFE\n7FFF\n");
    }

    #[test]
    fn long_memories_pass_64_ki() {
        let m = Memory { width: 8, words: vec![7; 70_000], ..example() };
        assert!(write(&m, Format::Ihex).contains(":020000040001F9\n"));
        assert!(write(&m, Format::Qhex).contains(":020000021000EC\n"));
        assert!(write(&m, Format::Mif).ends_with("    1116F : 07;\nEND;\n"));
    }

    #[test]
    fn words_are_read_back_and_faults_are_located() {
        let m = example();
        assert_eq!(parse_mem(mem(&m).as_bytes(), 16, 3).unwrap(), m.words);
        assert_eq!(m.signed(), [1, -2, 32767]);
        assert_eq!(parse_mem(b"@0 1 2\n3", 4, 3).unwrap(), [1, 2, 3]);
        for (text, line) in [
            ("1\n2\n", 2),
            ("1\n2\n3\n4", 4),
            ("1\nx\n3", 2),
            ("1\n2\n1F", 3),
            ("@1 1 2 3", 1),
            ("", 1),
            ("+1 2 3", 1),
        ] {
            assert_eq!(parse_mem(text.as_bytes(), 4, 3).unwrap_err().0, line, "{text:?}");
        }
        assert!(parse_mem(&[0xff, 0xfe], 4, 1).is_err());
    }
}
