//! Tables of outcomes that cannot go stale: a row that is not what is found is an error, and so is a
//! row that is missing or too many. They are YAML, one row a line, sorted, so that changes are read
//! and merged line by line. `BLESS=1` writes what is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Rows by key. The part of a key before the first `/` is its group.
pub type Rows = BTreeMap<String, String>;

/// A table in a file, and what was found for some of its groups.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    /// The comment at the beginning of the file.
    head: String,
    rows: Rows,
    found: Mutex<BTreeMap<String, Rows>>,
}

/// The group of a key.
fn group(key: &str) -> &str {
    key.split('/').next().unwrap_or(key)
}

/// Comment and rows of a table.
fn parse(text: &str) -> Result<(String, Rows), String> {
    let (mut head, mut rows) = (String::new(), Rows::new());
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        if line.starts_with('#') {
            head.push_str(line);
            head.push('\n');
            continue;
        }
        let (key, row) =
            line.split_once(": ").ok_or_else(|| format!("`{line}` is no `KEY: ROW`"))?;
        if rows.insert(key.to_owned(), row.to_owned()).is_some() {
            return Err(format!("`{key}` is listed twice"));
        }
    }
    Ok((head, rows))
}

impl Table {
    /// Reads a table; a file that does not exist is an empty one.
    ///
    /// # Errors
    /// When the file cannot be read, a line is malformed, or a key is listed twice.
    pub fn open(path: &Path) -> Result<Table, String> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|e| format!("`{}`: {e}", path.display()))?,
        };
        let (head, rows) = parse(&text).map_err(|e| format!("`{}`: {e}", path.display()))?;
        Ok(Table { path: path.to_owned(), head, rows, found: Mutex::default() })
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// Whether tables are to be rewritten instead of judged by.
    pub fn blessing() -> bool {
        std::env::var_os("BLESS").is_some_and(|v| !v.is_empty() && v != "0")
    }

    /// The row of a key.
    pub fn row(&self, key: &str) -> Option<&str> {
        self.rows.get(key).map(String::as_str)
    }

    /// Keeps what was found for a group, and compares it with the table's rows of that group.
    ///
    /// # Errors
    /// Every row that differs, is missing or too many; none while blessing.
    pub fn judge(&self, name: &str, found: Rows) -> Result<(), String> {
        let mut report = String::new();
        let keys: BTreeSet<&String> =
            self.rows.keys().filter(|k| group(k) == name).chain(found.keys()).collect();
        for key in keys {
            let (listed, seen) = (self.rows.get(key), found.get(key));
            if listed == seen {
                continue;
            }
            if let Some(listed) = listed {
                let _ = writeln!(report, "- {key}: {listed}");
            }
            if let Some(seen) = seen {
                let _ = writeln!(report, "+ {key}: {seen}");
            }
        }
        if let Ok(mut all) = self.found.lock() {
            all.insert(name.to_owned(), found);
        }
        if report.is_empty() || Table::blessing() {
            return Ok(());
        }
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        Err(format!(
            "{file} says otherwise (if every change is right, BLESS=1 writes it):\n{report}"
        ))
    }

    /// Groups of the table that are not among those that exist.
    ///
    /// # Errors
    /// Their names; none while blessing.
    pub fn only(&self, groups: &[String]) -> Result<(), String> {
        let known = |key: &str| groups.iter().any(|g| g == group(key));
        let unknown: BTreeSet<&str> =
            self.rows.keys().map(|k| group(k)).filter(|k| !known(k)).collect();
        if unknown.is_empty() || Table::blessing() {
            Ok(())
        } else {
            Err(format!("there are no such cases: {unknown:?}"))
        }
    }

    /// While blessing, writes what was found: groups that were not run keep their rows, those that
    /// do not exist are left out.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&self, groups: &[String]) -> Result<(), String> {
        if !Table::blessing() {
            return Ok(());
        }
        let found = self.found.lock().map_err(|e| e.to_string())?;
        let kept = self.rows.iter().filter(|(key, _)| {
            groups.iter().any(|g| g == group(key)) && !found.contains_key(group(key))
        });
        let rows: BTreeMap<&String, &String> = kept.chain(found.values().flatten()).collect();
        let mut text = self.head.clone();
        for (key, row) in rows {
            let _ = writeln!(text, "{key}: {row}");
        }
        std::fs::write(&self.path, text).map_err(|e| format!("`{}`: {e}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_differ_are_missing_or_too_many_are_errors() {
        let (head, rows) = parse("# what it is\na/x: 1\na/y: 2\nb/x: 3\n").unwrap();
        assert_eq!(head, "# what it is\n");
        let table = Table { path: "t.yaml".into(), head, rows, found: Mutex::default() };
        let rows = |rows: &[(&str, &str)]| -> Rows {
            rows.iter().map(|(k, r)| ((*k).to_owned(), (*r).to_owned())).collect()
        };
        assert!(table.judge("a", rows(&[("a/x", "1"), ("a/y", "2")])).is_ok());
        let other = table.judge("a", rows(&[("a/x", "1"), ("a/y", "3")])).unwrap_err();
        assert!(other.ends_with("- a/y: 2\n+ a/y: 3\n"), "{other}");
        assert!(table.judge("a", rows(&[("a/x", "1")])).unwrap_err().ends_with("- a/y: 2\n"));
        let more = rows(&[("b/x", "3"), ("b/z", "4")]);
        assert!(table.judge("b", more).unwrap_err().ends_with("+ b/z: 4\n"));
        assert!(table.only(&["a".into()]).unwrap_err().contains('b'));
        assert!(table.only(&["a".into(), "b".into()]).is_ok());
    }

    #[test]
    fn tables_are_read_strictly() {
        assert!(parse("a: 1\na: 2\n").is_err());
        assert!(parse("a\n").is_err());
    }
}
