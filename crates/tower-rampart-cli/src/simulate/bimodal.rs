//! A service whose calls take one of two times: what hedging is for. What calls meet otherwise is in `backend`.

use std::{str::FromStr, time::Duration};

use tower_rampart_core::retry::Seeds;

/// The longest latency in milliseconds: a day, as in a trace.
const MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// Two latencies, and the share of the slow one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bimodal {
    fast: Duration,
    slow: Duration,
    share: f64,
}

impl FromStr for Bimodal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [fast, slow, share] = parts[..] else {
            return Err("say two latencies in milliseconds and a share: 10,500,0.02".to_owned());
        };
        let latency = |text: &str| match text.parse() {
            Ok(millis) if millis <= MAX_MS => Ok(Duration::from_millis(millis)),
            _ => Err(format!("a latency is a whole number of milliseconds up to a day (got {text})")),
        };
        let share = share.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        let share = share.ok_or("the share of slow calls lies between 0 and 1")?;
        Ok(Self { fast: latency(fast)?, slow: latency(slow)?, share })
    }
}

impl Bimodal {
    /// The latency of one copy of the call of a line: by chance, and the same for the same seed.
    pub(crate) fn latency(&self, seed: u64, line: u64, copy: u32) -> Duration {
        let of_line = Seeds::new(seed ^ Seeds::new(line).next());
        let drawn = Seeds::new(of_line.next() ^ u64::from(copy)).next();
        let unit = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
        if unit < self.share { self.slow } else { self.fast }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_has_the_share_that_was_asked_for_and_copies_are_of_their_own() {
        let bimodal: Bimodal = "10, 500, 0.05".parse().expect("a bimodal service");
        let slow = |copy| (0..20_000).filter(|line| bimodal.latency(7, *line, copy) == bimodal.slow).count();
        assert!((900..1100).contains(&slow(0)) && (900..1100).contains(&slow(1)));
        let both =
            (0..20_000).filter(|line| (0..2).all(|copy| bimodal.latency(7, *line, copy) == bimodal.slow)).count();
        assert!((20..85).contains(&both), "{both} of 20 000 are slow twice, where chance says 50");
    }

    #[test]
    fn what_is_no_bimodal_service_is_refused() {
        for text in
            ["", "10", "10,500", "10,500,2", "a,500,0.1", "10,-1,0.1", "10,500,0.1,3", "10,86400001,0.1", "1,2,NaN"]
        {
            assert!(text.parse::<Bimodal>().is_err(), "{text}");
        }
    }
}
