//! The metrics of attempts: retries, copies, and what was injected into them. Those of calls and limits are in `prometheus`.

use super::{Encoder, Reading, finite, seconds};
use crate::{ProviderClass, clock::nanos, hedge, retry::StopReason};

impl Encoder {
    pub(super) fn retries(&mut self, readings: &[Reading]) {
        self.counter("rampart_attempts_total", "Attempts that were sent, those that chaos struck included.");
        self.each(readings, "rampart_attempts_total", |it| Some(it.totals.attempts()));
        self.counter("rampart_retries_total", "Attempts that retry made beyond the first of a call.");
        self.each(readings, "rampart_retries_total", |it| Some(it.totals.retries));
        self.counter("rampart_retry_stops_total", "Calls that retry gave up on, by reason.");
        for it in readings {
            for reason in StopReason::ALL {
                let labels = [("operation", &*it.operation), ("reason", reason.as_str())];
                self.sample("rampart_retry_stops_total", &labels, it.totals.stops[reason as usize]);
            }
        }
        self.counter("rampart_provider_errors_total", "Errors that a model API answered attempts with, by class.");
        for it in readings {
            let happened =
                ProviderClass::ALL.into_iter().map(|class| (class, it.totals.provider_errors[class as usize]));
            for (class, count) in happened.filter(|(_, count)| *count > 0) {
                let labels = [("operation", &*it.operation), ("class", class.as_str())];
                self.sample("rampart_provider_errors_total", &labels, count);
            }
        }
        self.gauge("rampart_retry_budget", "Retries that the budget would pay for.");
        self.each(readings, "rampart_retry_budget", |it| it.budget.map(finite));
    }

    pub(super) fn hedges(&mut self, readings: &[Reading]) {
        self.counter("rampart_hedges_total", "Copies of attempts that hedging sent.");
        self.each(readings, "rampart_hedges_total", |it| Some(it.totals.hedges.begun));
        self.counter("rampart_hedge_ends_total", "Copies that hedging sent, by how they ended.");
        for it in readings {
            for end in hedge::End::ALL {
                let labels = [("operation", &*it.operation), ("end", end.as_str())];
                self.sample("rampart_hedge_ends_total", &labels, it.totals.hedges.ended(end));
            }
        }
        self.counter("rampart_hedges_unpaid_total", "Copies that were due and that the retry budget did not pay.");
        self.each(readings, "rampart_hedges_unpaid_total", |it| Some(it.totals.hedges.unpaid));
        self.gauge("rampart_hedge_delay_seconds", "Time that an attempt may take before a copy of it begins.");
        self.each(readings, "rampart_hedge_delay_seconds", |it| it.hedge_delay.map(|delay| seconds(nanos(delay))));
    }

    pub(super) fn chaos(&mut self, readings: &[Reading]) {
        self.gauge("rampart_chaos_enabled", "1 while faults and latency are injected on purpose, else 0.");
        self.each(readings, "rampart_chaos_enabled", |it| Some(u8::from(it.is_chaotic)));
        self.counter("rampart_chaos_injections_total", "What was injected into attempts on purpose, by kind.");
        for it in readings {
            let counts = it.totals.chaos;
            for (kind, count) in [("latency", counts.latencies), ("fault", counts.faults)] {
                let labels = [("operation", &*it.operation), ("kind", kind)];
                self.sample("rampart_chaos_injections_total", &labels, count);
            }
        }
    }
}
