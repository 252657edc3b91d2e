//! Several files as one input. No checksums and no table of contents, so that what a fuzzer changes in one
//! place changes one thing: for each file a byte with the length of its name, the name, the length of its
//! content in four bytes (little-endian), the content. What ends early is as long as it is.

/// The files in an input.
pub fn unpack(mut data: &[u8]) -> Vec<(String, &[u8])> {
    let mut files = Vec::new();
    while let Some((&len, rest)) = data.split_first() {
        let (name, rest) = rest.split_at(rest.len().min(usize::from(len)));
        let Some((len, rest)) = rest.split_first_chunk::<4>() else { break };
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let (content, rest) = rest.split_at(rest.len().min(len));
        files.push((String::from_utf8_lossy(name).into_owned(), content));
        data = rest;
    }
    files
}

/// An input with these files; names are cut to 255 bytes.
///
/// # Panics
/// When a content is longer than four bytes say.
pub fn pack<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut data = Vec::new();
    for (name, content) in files {
        let name = &name.as_bytes()[..name.len().min(255)];
        data.push(name.len() as u8);
        data.extend_from_slice(name);
        let len = u32::try_from(content.len()).expect("inputs are small");
        data.extend_from_slice(&len.to_le_bytes());
        data.extend_from_slice(content);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_any_bytes_are_files() {
        let files = [("a", &b"x"[..]), ("", b""), ("long name", &[7; 300])];
        let data = pack(files);
        let found = unpack(&data);
        let found: Vec<(&str, &[u8])> = found.iter().map(|(n, c)| (n.as_str(), *c)).collect();
        assert_eq!(found, files);
        for end in 0..data.len() {
            assert!(unpack(&data[..end]).len() <= files.len());
        }
        assert_eq!(unpack(&[1, b'a', 255, 255, 255, 255, 3]), [("a".to_owned(), &[3u8][..])]);
    }
}
