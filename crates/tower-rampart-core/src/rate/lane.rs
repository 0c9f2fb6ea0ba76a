//! The fast lane: a GCRA in one atomic word, open while nobody waits. Sealing it moves the state under the limiter's mutex.

use super::{
    exceeded::Exceeded,
    gcra::Gcra,
    pace::Pace,
    receipt::{Mark, Receipt},
};
use crate::Timestamp;
use crate::sync::{AtomicU64, Ordering};

/// The word of a lane that is closed: whoever finds it asks under the mutex.
const SEALED: u64 = u64::MAX;
/// Low bits of the word that count changes of the pace.
const EPOCH_BITS: u32 = 3;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;

/// `word` is the theoretical arrival time and the epoch of the pace it is counted in. The pace only changes while the lane is sealed:
/// a thread that read the pace of one epoch cannot swap the word of another (only after eight changes within one of its steps).
#[derive(Debug)]
pub(super) struct Lane {
    word: AtomicU64,
    interval: AtomicU64,
    /// The rest of the pace, and the epoch: burst in bits 0 to 31, shift in 32 to 39, epoch from 40 on.
    shape: AtomicU64,
    /// The limiter's [`Mark`]. It only changes while the lane is sealed: whoever swaps the word has read what that word includes, or less,
    /// and less only means that less is given back.
    mark: AtomicU64,
}

impl Lane {
    /// A sealed lane.
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU64::new(SEALED),
            interval: AtomicU64::new(1),
            shape: AtomicU64::new(1),
            mark: AtomicU64::new(0),
        }
    }

    /// Takes tokens if they are there; `None` if the lane is sealed.
    #[inline]
    pub(super) fn try_take(&self, cost: u32, now: Timestamp) -> Option<Result<Receipt, Exceeded>> {
        let mut word = self.word.load(Ordering::Acquire);
        while word != SEALED {
            let pace = self.pace();
            let mark = Mark(self.mark.load(Ordering::Acquire));
            let next = match state(word).take(&pace, cost, now) {
                Ok(next) => next,
                Err(exceeded) => {
                    let seen = self.word.load(Ordering::Acquire);
                    if seen == word {
                        return Some(Err(exceeded));
                    }
                    // The pace may have been that of another epoch: judge again.
                    word = seen;
                    continue;
                }
            };
            let swapped = encode(next, word & EPOCH_MASK);
            match self.word.compare_exchange_weak(word, swapped, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Ok(Receipt { cost, mark, place: next.place(&pace, now) })),
                Err(seen) => word = seen,
            }
        }
        None
    }

    /// Looks at the state; `None` if the lane is sealed.
    pub(super) fn read<R>(&self, look: impl Fn(Gcra, &Pace) -> R) -> Option<R> {
        let mut word = self.word.load(Ordering::Acquire);
        while word != SEALED {
            let seen = look(state(word), &self.pace());
            match self.word.load(Ordering::Acquire) {
                same if same == word => return Some(seen),
                other => word = other,
            }
        }
        None
    }

    /// Closes the lane and takes the state out of it; `None` if it was closed. Only under the mutex.
    pub(super) fn seal(&self) -> Option<Gcra> {
        match self.word.swap(SEALED, Ordering::AcqRel) {
            SEALED => None,
            word => Some(state(word)),
        }
    }

    /// Opens a sealed lane. Only under the mutex.
    pub(super) fn open(&self, gcra: Gcra, pace: &Pace, mark: Mark) {
        self.mark.store(mark.0, Ordering::Release);
        if self.pace() != *pace {
            let epoch = (self.shape.load(Ordering::Relaxed) >> 40) + 1;
            self.interval.store(pace.interval, Ordering::Release);
            let shape =
                u64::from(pace.burst) | u64::from(pace.shift.cast_unsigned()) << 32 | (epoch & EPOCH_MASK) << 40;
            self.shape.store(shape, Ordering::Release);
        }
        let epoch = self.shape.load(Ordering::Relaxed) >> 40;
        self.word.store(encode(gcra, epoch), Ordering::Release);
    }

    #[inline]
    fn pace(&self) -> Pace {
        let interval = self.interval.load(Ordering::Acquire);
        let shape = self.shape.load(Ordering::Acquire);
        Pace { interval, burst: shape as u32, shift: ((shape >> 32) as u8).cast_signed() }
    }
}

#[inline]
fn state(word: u64) -> Gcra {
    Gcra { tat: word >> EPOCH_BITS }
}

#[inline]
fn encode(gcra: Gcra, epoch: u64) -> u64 {
    gcra.tat << EPOCH_BITS | epoch
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    /// Opens the lane with so many tokens at once and says which epoch that is.
    fn epoch(lane: &Lane, burst: u32) -> u64 {
        lane.seal();
        let pace = Pace { interval: 1000, burst, shift: 0 };
        lane.open(Gcra::default(), &pace, Mark::default());
        assert_eq!(lane.read(|gcra, pace| (gcra, *pace)), Some((Gcra::default(), pace)));
        lane.word.load(Ordering::Relaxed) & EPOCH_MASK
    }

    #[test]
    fn every_change_of_the_pace_begins_an_epoch_and_the_ninth_has_the_number_of_the_first() {
        let lane = Lane::new();
        let epochs: Vec<u64> = (1..=9).map(|burst| epoch(&lane, burst)).collect();
        assert_eq!(epochs, [1, 2, 3, 4, 5, 6, 7, 0, 1]);
        assert_eq!(epoch(&lane, 9), 1, "the same pace");
        assert_eq!(epoch(&lane, 1), 2);
    }
}
