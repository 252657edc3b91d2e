//! Bars on long work, on a terminal only.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::args::Common;
use super::when::Progress;

/// A bar on standard error for `length` steps, or none if bars are not wanted.
pub(super) fn bar(common: &Common, what: &str, length: usize) -> ProgressBar {
    let shown = match common.progress {
        Progress::Always => true,
        Progress::Never => false,
        Progress::Auto => !common.quiet && std::io::stderr().is_terminal(),
    };
    if !shown {
        return ProgressBar::hidden();
    }
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::term_like_with_hz(Box::new(Log), 1)
    };
    let bar = ProgressBar::with_draw_target(Some(length as u64), target);
    let template = "{msg} [{bar:30}] {pos}/{len} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    bar
}

/// Standard error that is no terminal: each state of the bar is a line of its own.
#[derive(Debug)]
struct Log;

impl TermLike for Log {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> std::io::Result<()> {
        writeln!(std::io::stderr().lock(), "{text}")
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        let text = text.trim_end();
        if text.is_empty() { Ok(()) } else { self.write_line(text) }
    }

    fn clear_line(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> std::io::Result<()> {
        std::io::stderr().lock().flush()
    }
}
