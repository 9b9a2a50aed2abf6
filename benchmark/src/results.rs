//! All figures of one run, and what they come to.

use crate::contestant::{Act, Contestant};
use crate::counts::Count;
use crate::growth::Level;
use crate::options::Who;
use crate::rounds::{Key, Samples};
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Results {
    pub machine: Machine,
    pub contestants: Vec<Contestant>,
    pub samples: Samples,
    pub counts: Vec<Count>,
    pub levels: Vec<Level>,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
}

/// What a reader needs in order to judge or to repeat it.
#[derive(Debug)]
pub struct Machine {
    pub date: String,
    pub kernel: String,
    pub processors: usize,
    pub view: &'static str,
    pub priority: bool,
    pub rounds: usize,
}

/// What a series of samples comes to. Times in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Summary {
    pub samples: usize,
    pub minimum: u64,
    pub median: u64,
    pub ninth_decile: u64,
    pub peak_kib: u64,
    pub minor_faults: u64,
    pub processor_us: u64,
}

impl Results {
    pub fn summary(&self, who: Who, filter: bool, act: Act, contestant: usize) -> Option<Summary> {
        let samples = self.samples.get(&Key { who, filter, act, contestant })?;
        let sorted = |value: fn(&crate::launcher::Sample) -> u64| {
            let mut values: Vec<u64> = samples.iter().map(value).collect();
            values.sort_unstable();
            values
        };
        let times = sorted(|sample| sample.nanoseconds);
        Some(Summary {
            samples: times.len(),
            minimum: *times.first()?,
            median: quantile(&times, 5, 10)?,
            ninth_decile: quantile(&times, 9, 10)?,
            peak_kib: quantile(&sorted(|sample| sample.peak_kib), 5, 10)?,
            minor_faults: quantile(&sorted(|sample| sample.minor_faults), 5, 10)?,
            processor_us: quantile(&sorted(|sample| sample.processor_us), 5, 10)?,
        })
    }

    pub fn count(&self, filter: bool, act: Act, contestant: usize) -> Option<&Count> {
        self.counts.iter().find(|count| count.filter == filter && count.act == act && count.contestant == contestant)
    }

    /// Who was measured, with and without seccomp, in order.
    pub fn scenarios(&self) -> Vec<(Who, bool)> {
        let mut scenarios: Vec<(Who, bool)> = self.samples.keys().map(|key| (key.who, key.filter)).collect();
        scenarios.dedup();
        scenarios.sort();
        scenarios.dedup();
        scenarios
    }

    pub fn json(&self) -> Value {
        let name = |place: usize| self.contestants[place].name.as_str();
        let times = self.samples.keys().filter_map(|key| {
            let summary = self.summary(key.who, key.filter, key.act, key.contestant)?;
            Some(json!({
                "who": key.who.word(), "seccomp": key.filter, "command": key.act.word(), "runtime": name(key.contestant),
                "samples": summary.samples, "min_ns": summary.minimum, "median_ns": summary.median, "p90_ns": summary.ninth_decile,
                "maxrss_kib": summary.peak_kib, "minor_faults": summary.minor_faults, "processor_us": summary.processor_us,
            }))
        });
        let counts = self.counts.iter().map(|count| {
            json!({ "seccomp": count.filter, "command": count.act.word(), "runtime": name(count.contestant),
                "system_calls": count.traced.count, "peak_kib": count.traced.peak_kib })
        });
        let growth = self.levels.iter().map(|level| {
            json!({ "runtime": name(level.contestant), "alive": level.alive, "create_ns": level.create_ns,
                "create_maxrss_kib": level.peak_kib, "held_pss_kib": level.held_kib })
        });
        let machine = &self.machine;
        json!({
            "date": machine.date, "kernel": machine.kernel, "processors": machine.processors, "view": machine.view,
            "priority": machine.priority, "rounds": machine.rounds,
            "runtimes": self.contestants.iter().map(|one| {
                json!({ "name": one.name, "version": one.version, "program": one.program })
            }).collect::<Vec<_>>(),
            "times": times.collect::<Vec<_>>(),
            "counts": counts.collect::<Vec<_>>(),
            "growth": growth.collect::<Vec<_>>(),
            "failures": self.failures,
        })
    }
}

/// Of sorted values.
fn quantile(values: &[u64], part: usize, of: usize) -> Option<u64> {
    values.get((values.len() * part / of).min(values.len().saturating_sub(1))).copied()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(quantile(&[], 5, 10), None);
        assert_eq!(quantile(&[7], 9, 10), Some(7));
        assert_eq!(quantile(&[1, 2, 3, 4, 5], 5, 10), Some(3));
        assert_eq!(quantile(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 9, 10), Some(10));
    }
}
