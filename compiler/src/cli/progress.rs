//! How far long work has come: bars on a terminal, and word to whoever waits for the command.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::args::Common;
use super::when::Progress;
use crate::watch::{self, Watch};

/// Work of a number of steps.
pub(super) struct Bar {
    shown: ProgressBar,
    watch: Option<Arc<Watch>>,
}

impl Bar {
    /// One step is done, on any thread.
    pub(super) fn step(&self) {
        self.shown.inc(1);
        if let Some(watch) = &self.watch {
            watch.step();
        }
    }

    /// All is done.
    pub(super) fn finish(&self) {
        self.shown.finish_and_clear();
    }
}

/// Work of `length` steps, with a bar on standard error if bars are wanted.
pub(super) fn bar(common: &Common, what: &str, length: usize) -> Bar {
    let watch = watch::current();
    if let Some(watch) = &watch {
        watch.begin(what, length as u64);
    }
    Bar { shown: shown(common, what, length), watch }
}

fn shown(common: &Common, what: &str, length: usize) -> ProgressBar {
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
