//! What goes wrong in the demonstration, and when. How it is acted out is in `flaky`.

use std::time::Duration;

/// A part of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Healthy,
    Errors,
    RateLimited,
    Hangs,
    Resets,
    Outage,
    Recovery,
}

/// What the upstream does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Answer,
    Fail,
    RefuseForNow,
    Hang,
    Reset,
}

impl Phase {
    /// All, in the order in which they are shown.
    pub(crate) const ALL: [Self; 7] =
        [Self::Healthy, Self::Errors, Self::RateLimited, Self::Hangs, Self::Resets, Self::Outage, Self::Recovery];

    /// The name in tables and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Errors => "20 % are 500",
            Self::RateLimited => "25 % are 429",
            Self::Hangs => "30 % hang",
            Self::Resets => "30 % reset",
            Self::Outage => "outage",
            Self::Recovery => "recovery",
        }
    }

    /// The place in [`Phase::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// How much of the time it takes, as parts of [`Phase::PARTS`].
    const fn parts(self) -> u32 {
        match self {
            Self::Recovery => 3,
            _ => 2,
        }
    }

    const PARTS: u32 = 15;

    /// When it begins in a demonstration that takes `total`.
    pub(crate) fn begins(self, total: Duration) -> Duration {
        let parts: u32 = Self::ALL[..self.index()].iter().map(|it| it.parts()).sum();
        total * parts / Self::PARTS
    }

    /// The phase at a time of a demonstration that takes `total`.
    pub(crate) fn at(elapsed: Duration, total: Duration) -> Self {
        let began = Self::ALL.into_iter().rev().find(|phase| phase.begins(total) <= elapsed);
        began.unwrap_or(Self::Healthy)
    }

    /// What happens to a request, chosen by a uniformly random percentage, 0 to 99.
    pub(crate) const fn act(self, percentage: u8) -> Act {
        match self {
            Self::Errors if percentage < 20 => Act::Fail,
            Self::RateLimited if percentage < 25 => Act::RefuseForNow,
            Self::Hangs if percentage < 30 => Act::Hang,
            Self::Resets if percentage < 30 => Act::Reset,
            Self::Outage => Act::Hang,
            _ => Act::Answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_fill_the_time_in_order() {
        let total = Duration::from_secs(15);
        let parts: u32 = Phase::ALL.into_iter().map(Phase::parts).sum();
        assert_eq!(parts, Phase::PARTS);
        for (second, phase) in
            [(0, Phase::Healthy), (1, Phase::Healthy), (2, Phase::Errors), (11, Phase::Outage), (12, Phase::Recovery)]
        {
            assert_eq!(Phase::at(Duration::from_secs(second), total), phase, "{second}");
        }
        assert_eq!(Phase::Outage.begins(total), Duration::from_secs(10));
        assert_eq!(Phase::at(Duration::from_secs(99), total), Phase::Recovery);
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase.index(), index);
        }
    }

    #[test]
    fn faults_have_the_share_that_the_name_says() {
        for (phase, faults) in [
            (Phase::Healthy, 0),
            (Phase::Errors, 20),
            (Phase::RateLimited, 25),
            (Phase::Hangs, 30),
            (Phase::Resets, 30),
            (Phase::Outage, 100),
            (Phase::Recovery, 0),
        ] {
            let count = (0..100).filter(|percentage| phase.act(*percentage) != Act::Answer).count();
            assert_eq!(count, faults, "{}", phase.name());
        }
    }
}
