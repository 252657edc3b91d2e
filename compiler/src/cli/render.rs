//! Errors and notes as the user sees them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use super::tables;
use crate::{Error, Problem};

#[derive(Default)]
struct Captured {
    answer: String,
    notes: Vec<(String, String)>,
}

thread_local! {
    /// What a command of this thread has said, where it is not to be printed.
    static CAPTURED: RefCell<Option<Captured>> = const { RefCell::new(None) };
}

/// Runs a command whose answer and notes are kept instead of printed.
pub(super) fn captured<R>(command: impl FnOnce() -> R) -> (R, String, Vec<(String, String)>) {
    CAPTURED.set(Some(Captured::default()));
    let result = command();
    let Captured { answer, notes } = CAPTURED.take().unwrap_or_default();
    (result, answer, notes)
}

/// Keeps what is said if this thread's command is captured; whether it is.
fn keep(add: impl FnOnce(&mut Captured)) -> bool {
    CAPTURED.with_borrow_mut(|captured| captured.as_mut().map(add).is_some())
}

/// Whether to colour what goes to standard error (`NO_COLOR`, see no-color.org).
fn coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stderr().is_terminal()
}

fn paint(code: &str, text: &str) -> String {
    if coloured() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A text without what would steer a terminal: names in files are whatever their writers like.
fn plain(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { clean.extend(c.escape_default()) } else { clean.push(c) }
    }
    Cow::Owned(clean)
}

/// Prints every problem of an error.
pub(super) fn error(error: &Error) {
    let lines = error.problems().iter().map(|p| (p.place.clone(), p.reason.clone()));
    if keep(|c| c.notes.extend(lines)) {
        return;
    }
    let mut out = std::io::stderr().lock();
    for Problem { place, reason, remedy } in error.problems() {
        let kind = paint("1;31", "error");
        let _ = writeln!(out, "{kind}: {}: {}", plain(place), plain(reason));
        if !remedy.is_empty() {
            let _ = writeln!(out, "  {}: {}", paint("1;36", "help"), plain(remedy));
        }
    }
}

fn say(kind: &str, place: &str, text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{kind}: {}: {}", plain(place), plain(text));
}

/// Prints a note.
pub(super) fn note(place: &str, text: &str) {
    if keep(|c| c.notes.push((place.to_owned(), text.to_owned()))) {
        return;
    }
    say(&paint("1;34", "note"), place, text);
}

/// Prints a command that the user may want to run next.
pub(super) fn next(command: &str) {
    if !keep(|_| ()) {
        let _ = writeln!(std::io::stderr().lock(), "{}: {}", paint("1;32", "next"), plain(command));
    }
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Prints what is likely not what the user wanted.
pub(super) fn warning(place: &str, text: &str) {
    if keep(|c| c.notes.push((place.to_owned(), text.to_owned()))) {
        return;
    }
    say(&paint("1;33", "warning"), place, text);
}

/// Prints a line of the answer, in a terminal as several where it is too long.
pub(super) fn line(text: impl std::fmt::Display) {
    verbatim(tables::fitted(&text.to_string()));
}

/// Prints a text that programs read, as it is.
pub(super) fn verbatim(text: impl std::fmt::Display) {
    write_out(plain(&format!("{text}\n")).as_bytes());
}

/// Why standard output took no more, if it did not.
static UNWRITTEN: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes to standard output. That a pipe is closed is no fault of ours; every other failure is kept for
/// [`finish`].
pub(super) fn write_out(bytes: &[u8]) {
    if keep(|c| c.answer.push_str(&String::from_utf8_lossy(bytes))) {
        return;
    }
    note_failure(io::stdout().lock().write_all(bytes));
}

fn note_failure(result: io::Result<()>) {
    if let Err(e) = result
        && e.kind() != io::ErrorKind::BrokenPipe
    {
        UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
    }
}

/// Ends the answer.
///
/// # Errors
/// When standard output took not all of it.
pub(super) fn finish() -> Result<(), Error> {
    note_failure(io::stdout().lock().flush());
    match UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        None => Ok(()),
        Some(e) => {
            let reason = format!("cannot be written: {e}");
            Err(Error::input("standard output", reason, "free space where it goes"))
        }
    }
}

/// Prints a value as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::internal("answer", e))?;
    verbatim(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_would_steer_a_terminal_is_spelt_out() {
        assert_eq!(plain("conv\u{1b}[31m\u{7}\r1"), "conv\\u{1b}[31m\\u{7}\\r1");
        assert_eq!(plain("a\tb\nc\u{e9}"), "a\tb\nc\u{e9}");
        assert_eq!(plain("\u{9b}2J\u{0}"), "\\u{9b}2J\\u{0}");
    }
}
