//! Lines of text before binary data.

/// A file that begins with lines of text.
pub struct Header<'a> {
    lines: Vec<&'a str>,
    /// What follows the lines.
    pub body: &'a [u8],
    /// Bytes of the lines.
    pub size: usize,
}

impl<'a> Header<'a> {
    /// The lines that begin with `mark`, up to one that says `end` or the first that does not begin so; none if
    /// the file does not begin with such a line.
    pub fn of(bytes: &'a [u8], mark: u8) -> Option<Header<'a>> {
        let (mut lines, mut size) = (Vec::new(), 0);
        while let [first, ..] = &bytes[size..]
            && *first == mark
        {
            let Some(length) = bytes[size..].iter().position(|&b| b == b'\n') else { break };
            // Data may begin with the mark by chance, but seldom goes on as text.
            let Ok(line) = std::str::from_utf8(&bytes[size + 1..size + length]) else { break };
            size += length + 1;
            let line = line.trim();
            lines.push(line);
            if line == "end" || line == "!END-HEADER" || line.starts_with("End Of ASCII Header") {
                break;
            }
        }
        (!lines.is_empty()).then(|| Header { lines, body: &bytes[size..], size })
    }

    /// What a line says that begins with `key`.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        let rest = |line: &&'a str| line.strip_prefix(key)?.strip_prefix(' ').map(str::trim);
        self.lines.iter().find_map(rest)
    }

    /// Whether a line holds the words.
    pub fn says(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }
}
