//! The atomic word that says in one load what most calls need to know of the machine. `shared` publishes it under the machine's lock.

use super::State;

/// A summary of the machine: state in bits 0 to 2, five flags, the generation in bits 8 to 39.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// Calls pass without a look at the machine.
pub(super) const ADMITS: u64 = 1 << 3;
/// A success leaves the machine as it is: no run to end, no window to feed.
pub(super) const QUIET: u64 = 1 << 4;
/// A call needs to know when it began.
pub(super) const TIMED: u64 = 1 << 5;
/// `monitor` or `exclude` name something.
pub(super) const LISTS: u64 = 1 << 6;
/// A success is only one more in the bucket of the time window that is being filled: no run to end, no rule that it could make hold.
pub(super) const STEADY: u64 = 1 << 7;
const GENERATION: u32 = 8;

impl Word {
    pub(super) const fn new(state: State, generation: u32, flags: u64) -> Self {
        Self(state as u64 | flags | (generation as u64) << GENERATION)
    }

    pub(super) const fn state(self) -> State {
        State::ALL[(self.0 & 7) as usize % State::ALL.len()]
    }

    pub(super) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    pub(super) const fn generation(self) -> u32 {
        (self.0 >> GENERATION) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_comes_back_as_it_went_in() {
        for state in State::ALL {
            let word = Word::new(state, 1 << 30, QUIET | LISTS);
            assert_eq!((word.state(), word.generation()), (state, 1 << 30));
            assert!(word.has(QUIET) && word.has(LISTS) && !word.has(ADMITS) && !word.has(TIMED));
        }
    }
}
