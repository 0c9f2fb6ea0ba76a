//! What `rate.lua` does to one limit, in the same steps and the same numbers (doubles, as Lua has them). A test on a real server compares both,
//! answer by answer; who asks and how long that takes is in the module above.

/// The largest debt, as in the script.
const MOST: f64 = (1_u64 << 52) as f64;

/// What the server keeps of one limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    at: f64,
    debt: f64,
    scale: f64,
    interval: f64,
    burst: f64,
    full_at: f64,
    /// When the key is forgotten, in microseconds of the server's clock.
    pub(super) expires: u64,
}

/// What is left of a debt; a clock that went back works off nothing.
fn left(debt: f64, since: f64, now: f64, pace: f64) -> f64 {
    (debt - (now - since).max(0.0) * pace).max(0.0)
}

/// Runs the script at this time of the server's clock, in microseconds.
pub(super) fn run(stored: &mut Option<Stored>, arguments: &[u64; 11], now: u64) -> [i64; 5] {
    let [scale, interval, burst, owed, wanted, least, returned, held, seen_at, seen_debt, until] =
        arguments.map(|it| it as f64);
    let micros = now as f64;
    if micros > until {
        return [-1, 0, 0, micros as i64, 0];
    }
    let full = interval * burst;
    let (mut at, mut debt, mut full_at) = (-1.0, 0.0, -1.0);
    if let Some(was) = stored.filter(|it| now < it.expires) {
        (at, debt, full_at) = (was.at, left(was.debt, was.at, micros, was.scale), was.full_at);
        if (was.scale, was.interval, was.burst) != (scale, interval, burst) {
            // Another quota: what was there is there, up to the new burst.
            let tokens = (was.burst - debt / was.interval).min(burst);
            debt = ((burst - tokens) * interval).ceil();
        }
    }
    // What is stored is older than what the asker saw.
    if seen_at > at {
        debt = debt.max(left(seen_debt, seen_at, micros, scale));
    }
    // When nothing was owed last: from then on nothing that came in was lost, and what is returned counts whole.
    if debt == 0.0 || full_at < 0.0 {
        full_at = micros;
    }
    let mut worth = returned * interval;
    if micros - held <= full_at {
        worth = (worth - held * scale).max(0.0);
    }
    debt = (debt - worth).max(0.0);
    debt = (debt + owed * interval).min(MOST);
    let free = ((full - debt) / interval).floor().max(0.0);
    let mut granted = wanted.min(free);
    if granted < least {
        granted = 0.0;
    }
    debt += granted * interval;
    let short = debt + least.max(1.0) * interval - full;
    let lasting = (debt / scale / 1000.0).ceil() + 1000.0;
    let expires = now.saturating_add(lasting as u64 * 1000);
    *stored = Some(Stored { at: micros, debt, scale, interval, burst, full_at, expires });
    [granted, free - granted, (short / scale).ceil().max(0.0), micros, debt].map(|it| it as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// A limit of 100 a second with a burst of 100: what it says of a request for so many, after so much is paid.
    fn ask(stored: &mut Option<Stored>, owed: u64, wanted: u64, now: u64) -> (i64, i64, i64) {
        let [granted, free, wait, ..] =
            run(stored, &[1, 10_000, 100, owed, wanted, 0, 0, 0, 0, 0, 1 << 53], SECOND * 1000 + now);
        (granted, free, wait)
    }

    #[test]
    fn full_bucket_gives_its_burst_and_then_one_an_interval() {
        let mut stored = None;
        assert_eq!(ask(&mut stored, 0, 60, 0), (60, 40, 0));
        assert_eq!(ask(&mut stored, 0, 60, 0), (40, 0, 10_000));
        assert_eq!(ask(&mut stored, 0, 60, 25_000), (2, 0, 5_000));
    }

    #[test]
    fn what_is_owed_is_worked_off_before_anything_is_given() {
        let mut stored = None;
        assert_eq!(ask(&mut stored, 300, 1, 0), (0, 0, 2_010_000));
        assert_eq!(ask(&mut stored, 0, 1, 2 * SECOND), (0, 0, 10_000));
        assert_eq!(ask(&mut stored, 0, 1, 2 * SECOND + 10_000), (1, 0, 10_000));
    }

    #[test]
    fn request_that_came_too_late_changes_nothing() {
        let mut stored = None;
        let late = run(&mut stored, &[1, 10_000, 100, 0, 5, 0, 0, 0, 0, 0, 7], 8);
        assert_eq!((late, stored.is_none()), ([-1, 0, 0, 8, 0], true));
    }
}
