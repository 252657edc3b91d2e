//! A FIFO as `rtl/spleat_fifo.v` is one.

use std::collections::VecDeque;

/// Numbers of words; the first is in the register behind the memory if it is held.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    depth: usize,
    words: VecDeque<usize>,
    held: bool,
    most: usize,
}

impl Queue {
    pub(super) fn new(depth: usize) -> Queue {
        Queue { depth, words: VecDeque::new(), held: false, most: 0 }
    }

    /// Whether there is room.
    pub(super) fn ready(&self) -> bool {
        self.words.len() != self.depth
    }

    /// The word that can be taken.
    pub(super) fn front(&self) -> Option<usize> {
        self.words.front().copied().filter(|_| self.held)
    }

    /// Most words that it held.
    pub(super) fn most(&self) -> u64 {
        self.most as u64
    }

    /// One clock, in which a word comes and the first is taken.
    pub(super) fn clock(&mut self, push: Option<usize>, pop: bool) {
        self.most = self.most.max(self.words.len());
        let pop = pop && self.held;
        let stored = self.words.len() - usize::from(self.held);
        let fetch = stored > 0 && (!self.held || pop);
        if pop {
            self.words.pop_front();
        }
        self.held = fetch || (self.held && !pop);
        self.words.extend(push);
    }
}
