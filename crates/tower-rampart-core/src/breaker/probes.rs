//! The slots of a half-open breaker's probes: who holds one, and for how long. What the probes' outcomes mean is decided in `state`.

use std::time::Duration;

use crate::Timestamp;

/// The probes in flight.
///
/// A probe is known by its slot and the time of its admission: a slot is given to another only after it was given back, or after
/// `max_wait` has passed, so that no two probes that can still end share both.
#[derive(Clone, Debug)]
pub(super) struct Probes {
    slots: Vec<Option<Timestamp>>,
    free: Vec<u32>,
    in_flight: u32,
    /// No probe in flight was admitted before this.
    oldest: Timestamp,
}

impl Probes {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), in_flight: 0, oldest: Timestamp::MAX }
    }

    /// Takes a slot if fewer than `limit` are taken, not counting those whose probes are older than `max_wait`.
    pub(super) fn admit(&mut self, limit: u32, now: Timestamp, max_wait: Duration) -> Option<u32> {
        if self.in_flight >= limit {
            self.expire(now, max_wait);
        }
        if self.in_flight >= limit {
            return None;
        }
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(now);
            slot
        } else {
            self.slots.push(Some(now));
            self.slots.len() as u32 - 1
        };
        self.in_flight += 1;
        self.oldest = self.oldest.min(now);
        Some(slot)
    }

    /// Gives a slot back; false if the probe had lost it.
    pub(super) fn release(&mut self, slot: u32, admitted: Timestamp, now: Timestamp, max_wait: Duration) -> bool {
        match self.slots.get_mut(slot as usize) {
            Some(held) if *held == Some(admitted) => *held = None,
            _ => return false,
        }
        self.free.push(slot);
        self.in_flight -= 1;
        now.since(admitted) < max_wait
    }

    /// The probes that hold a slot at `now`.
    pub(super) fn in_flight(&self, now: Timestamp, max_wait: Duration) -> u32 {
        if now.since(self.oldest) < max_wait {
            return self.in_flight;
        }
        self.slots.iter().flatten().filter(|admitted| now.since(**admitted) < max_wait).count() as u32
    }

    /// Frees the slots of probes older than `max_wait`.
    ///
    /// It looks at every slot only when the oldest probe may have expired, and then knows the oldest exactly.
    fn expire(&mut self, now: Timestamp, max_wait: Duration) {
        if now.since(self.oldest) < max_wait {
            return;
        }
        self.oldest = Timestamp::MAX;
        for (slot, held) in self.slots.iter_mut().enumerate() {
            let Some(admitted) = *held else { continue };
            if now.since(admitted) < max_wait {
                self.oldest = self.oldest.min(admitted);
            } else {
                *held = None;
                self.free.push(slot as u32);
                self.in_flight -= 1;
            }
        }
    }
}

#[cfg(test)]
impl Probes {
    /// Everything that it knows, with ages for times, and no age above `most`.
    pub(super) fn ages(&self, now: Timestamp, most: Duration) -> (Vec<Option<Duration>>, Vec<u32>, Duration) {
        let age = |at: Timestamp| now.since(at).min(most);
        (self.slots.iter().map(|held| held.map(age)).collect(), self.free.clone(), age(self.oldest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(10);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn slot_given_back_is_given_out_again() {
        let mut probes = Probes::new();
        let first = probes.admit(1, at(0), WAIT).unwrap();
        assert_eq!(probes.admit(1, at(1), WAIT), None);
        assert!(probes.release(first, at(0), at(1), WAIT));
        assert_eq!(probes.admit(1, at(1), WAIT), Some(first));
    }

    #[test]
    fn probe_loses_its_slot_when_the_wait_is_over() {
        let mut probes = Probes::new();
        let lost = probes.admit(1, at(0), WAIT).unwrap();
        assert_eq!(probes.admit(1, at(9), WAIT), None);
        assert_eq!(probes.in_flight(at(10), WAIT), 0);
        let next = probes.admit(1, at(10), WAIT).unwrap();
        assert!(!probes.release(lost, at(0), at(11), WAIT), "the slot belongs to another");
        assert_eq!(probes.in_flight(at(11), WAIT), 1);
        assert!(probes.release(next, at(10), at(11), WAIT));
    }

    #[test]
    fn late_probe_gives_back_a_slot_that_nobody_took_and_is_stale() {
        let mut probes = Probes::new();
        let late = probes.admit(1, at(0), WAIT).unwrap();
        assert!(!probes.release(late, at(0), at(10), WAIT));
        assert!(probes.admit(1, at(10), WAIT).is_some());
        assert_eq!(probes.admit(1, at(10), WAIT), None);
    }

    #[test]
    fn released_oldest_probe_does_not_expire_the_others() {
        let mut probes = Probes::new();
        let first = probes.admit(2, at(0), WAIT).unwrap();
        let _second = probes.admit(2, at(5), WAIT).unwrap();
        assert!(probes.release(first, at(0), at(6), WAIT));
        assert!(probes.admit(2, at(6), WAIT).is_some());
        assert_eq!(probes.admit(2, at(10), WAIT), None);
        assert!(probes.admit(2, at(15), WAIT).is_some());
    }

    #[test]
    fn slots_do_not_grow_beyond_the_limit() {
        let mut probes = Probes::new();
        for millis in 0..1000 {
            if let Some(slot) = probes.admit(3, at(millis), WAIT)
                && millis % 2 == 0
            {
                probes.release(slot, at(millis), at(millis), WAIT);
            }
        }
        assert!(probes.slots.len() <= 3);
    }
}
