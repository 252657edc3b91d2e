//! Watching a command: the watcher receives its progress and can stop it.
//!
//! A command that runs in somebody else's process is stopped by unwinding ([`point`]) from places where
//! nothing is half written: steps of long work, and before files take their places.

use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How far a command has come, and whether it is to stop.
#[derive(Debug, Default)]
pub struct Watch {
    stopped: AtomicBool,
    done: AtomicU64,
    work: Mutex<Option<(String, u64)>>,
}

/// What a command that was stopped unwinds with.
#[derive(Debug)]
pub struct Stopped;

thread_local! {
    /// Who waits for the command of this thread.
    static CURRENT: RefCell<Option<Arc<Watch>>> = const { RefCell::new(None) };
}

impl Watch {
    /// Lets the command stop at its next [`point`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// The work at hand, its steps done, and how many it has; none where no work has steps.
    pub fn progress(&self) -> Option<(String, u64, u64)> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let (what, length) = work.clone()?;
        Some((what, self.done.load(Ordering::Relaxed), length))
    }

    /// Begins work of so many steps.
    pub(crate) fn begin(&self, what: &str, length: u64) {
        self.done.store(0, Ordering::Relaxed);
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = Some((what.to_owned(), length));
    }

    /// One step is done, on any thread. Unwinds where the command is to stop.
    pub fn step(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.check();
    }

    /// Unwinds where the command is to stop.
    pub(crate) fn check(&self) {
        if self.stopped.load(Ordering::Relaxed) {
            // No hook prints it: it is no panic of ours.
            panic::resume_unwind(Box::new(Stopped));
        }
    }
}

/// Runs `work` on this thread, watched; `None` where it was stopped.
pub fn watched<R>(watch: &Arc<Watch>, work: impl FnOnce() -> R) -> Option<R> {
    CURRENT.set(Some(Arc::clone(watch)));
    let done = panic::catch_unwind(panic::AssertUnwindSafe(work));
    CURRENT.set(None);
    match done {
        Ok(done) => Some(done),
        Err(payload) if payload.is::<Stopped>() => None,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Who waits for the command of this thread, if anybody does.
pub(crate) fn current() -> Option<Arc<Watch>> {
    CURRENT.with_borrow(Clone::clone)
}

/// A place where the command of this thread can stop.
pub(crate) fn point() {
    if let Some(watch) = current() {
        watch.check();
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn work_that_nobody_stops_ends_and_says_how_far_it_came() {
        let watch = Arc::new(Watch::default());
        assert_eq!(watch.progress(), None);
        let sum = watched(&watch, || {
            watch.begin("adding", 3);
            (1..=3).inspect(|_| watch.step()).sum::<i32>()
        });
        assert_eq!(sum, Some(6));
        assert_eq!(watch.progress(), Some(("adding".to_owned(), 3, 3)));
        assert!(current().is_none());
    }

    #[test]
    fn work_that_is_stopped_unwinds_from_any_thread_and_other_panics_go_on() {
        let watch = Arc::new(Watch::default());
        watch.stop();
        assert_eq!(watched(&watch, point), None);
        assert_eq!(watched(&watch, || (0..100).into_par_iter().for_each(|_| watch.step())), None);
        let fault = panic::catch_unwind(|| {
            watched(&Arc::default(), || panic::resume_unwind(Box::new("a fault")))
        });
        assert_eq!(fault.unwrap_err().downcast_ref::<&str>(), Some(&"a fault"));
        point();
    }
}
