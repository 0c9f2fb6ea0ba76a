//! What a limiter gives for the tokens that it takes, and the unit in which returns are counted. The returns themselves are in `machine`.

/// What was taken from one limiter, for [`RateLimiter::give_back`](super::RateLimiter::give_back) where the call is not made after all,
/// and for [`RateLimiter::settle`](super::RateLimiter::settle) where it cost something else than it had reserved.
///
/// Dropped, the tokens are spent. The default gives nothing back, like the receipt of a limiter that is off.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    pub(super) cost: u32,
    /// What the limiter had counted in its [`Mark`] at that moment.
    pub(super) mark: Mark,
    pub(super) place: Place,
}

impl Receipt {
    /// The tokens that were taken.
    pub fn cost(&self) -> u32 {
        self.cost
    }
}

/// Where in the state of an algorithm a call stands, in that algorithm's unit of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// When it was taken; for a window, the time under which it is counted there.
    pub(super) taken: u64,
    /// When the bucket would be full again right after it; the windows need none. For leased tokens, when the fleet was asked for them.
    pub(super) full_at: u64,
}

/// What shifts the [`Place`]s that were given out before it: the tokens returned from beneath later calls, and new accounts: changes of the
/// quota, and tokens lowered to what somebody else counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark(pub(super) u64);

impl Mark {
    /// More tokens than are ever returned while a place is still of use: the places before it say nothing any more. No more than that, so that
    /// it takes as many new accounts again until the marks repeat.
    const NEW_ACCOUNT: u64 = 1 << 32;

    /// Counts tokens that were returned from beneath later calls.
    pub(super) fn returned(&mut self, tokens: u64) {
        self.0 = self.0.wrapping_add(tokens);
    }

    /// Counts a new account.
    pub(super) fn new_account(&mut self) {
        self.returned(Self::NEW_ACCOUNT);
    }

    /// The tokens returned since `earlier`; `None` if the account is another since then.
    pub(super) fn since(self, earlier: Self) -> Option<u64> {
        Some(self.0.wrapping_sub(earlier.0)).filter(|tokens| *tokens < Self::NEW_ACCOUNT)
    }
}
