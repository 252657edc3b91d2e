//! Work without the interpreter's lock, which signals and callbacks can reach.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use snnc::Error;
use snnc::watch::{self, Watch};

use crate::errors::raised;

/// Interval at which signals are checked and progress is reported.
const LOOK: Duration = Duration::from_millis(50);
/// How long work that is to stop is waited for. It ends at the next place where nothing is half written.
const PATIENCE: Duration = Duration::from_secs(2);
/// What commands have on the command line: the stack of a main thread.
const STACK: usize = 8 << 20;

/// The threads of this process, and its id: the child of a fork has none of its parent's.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// The threads on which networks run: those of the process, or `jobs` of their own, at most as many as cores.
pub(crate) fn pool(jobs: Option<usize>) -> Result<Arc<ThreadPool>, Error> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let make = |threads: usize| {
        let made = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build();
        made.map(Arc::new).map_err(|e| Error::usage("jobs", e.to_string(), "ask for fewer threads"))
    };
    if let Some(jobs) = jobs {
        return make(jobs.clamp(1, cores));
    }
    let mut known = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((_, pool)) = known.as_ref().filter(|(of, _)| *of == process) {
        return Ok(Arc::clone(pool));
    }
    let pool = make(cores)?;
    // The threads of a parent cannot be joined here.
    std::mem::forget(known.replace((process, Arc::clone(&pool))));
    Ok(pool)
}

type Done<R> = Result<Option<R>, Box<dyn Any + Send>>;

/// Runs `work` on a thread of its own and waits without the interpreter's lock. `progress` is called with the
/// work at hand, the steps done and their number while there are any. A signal whose handler raises (as
/// that of Ctrl-C does), or a callback that does, stops the work.
pub(crate) fn wait<R: Send + 'static>(
    py: Python<'_>,
    jobs: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce() -> R + Send + 'static,
) -> PyResult<R> {
    let pool = pool(jobs).map_err(|e| raised(py, &e))?;
    let watch = Arc::new(Watch::default());
    let (send, done) = mpsc::channel::<Done<R>>();
    let watched = Arc::clone(&watch);
    let run = move || {
        let work = || pool.install(|| watch::watched(&watched, work));
        // Nobody may be waiting any more.
        let _ = send.send(catch_unwind(AssertUnwindSafe(work)));
    };
    std::thread::Builder::new().name("snnc".into()).stack_size(STACK).spawn(run)?;
    let done = Mutex::new(done);
    let next = |patience| {
        let done = done.lock().unwrap_or_else(PoisonError::into_inner);
        let received: Result<Done<R>, RecvTimeoutError> = Receiver::recv_timeout(&done, patience);
        received
    };
    loop {
        let looked = match py.detach(|| next(LOOK)) {
            Ok(done) => return ended(py, done),
            Err(RecvTimeoutError::Timeout) => {
                py.check_signals().and_then(|()| tell(&watch, progress))
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(raised(py, &Error::internal("command", "its thread ended")));
            }
        };
        if let Err(raised) = looked {
            watch.stop();
            let end = Instant::now() + PATIENCE;
            let _ = py.detach(|| next(end.saturating_duration_since(Instant::now())));
            return Err(raised);
        }
    }
}

/// Tells how far the work has come.
fn tell(watch: &Watch, progress: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match (progress, watch.progress()) {
        (Some(callback), Some(state)) => callback.call1(state).map(drop),
        _ => Ok(()),
    }
}

/// What work came to that was not stopped by anybody here.
fn ended<R>(py: Python<'_>, done: Done<R>) -> PyResult<R> {
    match done {
        Ok(Some(done)) => Ok(done),
        Ok(None) => Err(raised(py, &Error::internal("command", "was stopped by nobody"))),
        Err(payload) => {
            let said = payload.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| payload.downcast_ref::<&str>().copied());
            let reason = format!("panicked: {}", said.unwrap_or("without a word"));
            Err(raised(py, &Error::internal("command", reason)))
        }
    }
}
