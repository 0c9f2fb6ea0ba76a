//! The families about state by key: sums alone. No key is a label: keys are as many as callers like, and as secret as what they are made of.

use super::{Encoder, Reading};
use crate::{
    Stage, Timestamp,
    keyed::{KeyCounts, KeyMap},
    registry::parts::Parts,
};

/// What is printed about the keys of one stage.
pub(super) struct Keys {
    stage: Stage,
    counts: KeyCounts,
    refusing: Option<u64>,
}

impl Keys {
    /// Those of all stages that keep their state by key. Where machines have to be asked, all are, few of them under one lock.
    pub(super) fn of(parts: &Parts, now: Timestamp) -> Vec<Self> {
        let of = |map: &KeyMap| Self { stage: map.stage(), counts: map.counts(), refusing: map.refusing(now) };
        parts.keys().map(of).collect()
    }
}

impl Encoder {
    pub(super) fn keys(&mut self, readings: &[Reading]) {
        self.gauge("rampart_keys", "Keys that have a state of their own.");
        self.each_stage(readings, "rampart_keys", |it| Some(it.counts.keys));
        self.gauge("rampart_keys_max", "Keys that may have a state of their own.");
        self.each_stage(readings, "rampart_keys_max", |it| Some(it.counts.max_keys));
        self.gauge("rampart_keys_refusing", "Keys that would refuse a call now, let it probe or let it wait.");
        self.each_stage(readings, "rampart_keys_refusing", |it| it.refusing);
        self.counter("rampart_keys_evicted_total", "Keys that were forgotten because they were idle.");
        self.each_stage(readings, "rampart_keys_evicted_total", |it| Some(it.counts.evicted));
        self.counter("rampart_keys_overflowed_total", "Calls of keys without a place, which share one state.");
        self.each_stage(readings, "rampart_keys_overflowed_total", |it| Some(it.counts.overflowed));
    }

    /// One sample for each stage that has the value.
    fn each_stage(&mut self, readings: &[Reading], name: &str, value: impl Fn(&Keys) -> Option<u64>) {
        for it in readings {
            for keys in &it.keys {
                if let Some(value) = value(keys) {
                    self.sample(name, &[("operation", &*it.operation), ("stage", keys.stage.as_str())], value);
                }
            }
        }
    }
}
