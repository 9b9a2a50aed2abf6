//! `wolffia events`: what a container uses, and what happens to it.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::time::Duration;
use wolffia::Event;

#[derive(Debug, Args)]
pub struct Events {
    /// Time between two statistics: 500ms, 5s, 1m
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// Show the statistics once, and end
    #[arg(long)]
    stats: bool,
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for Events {
    const NAME: &'static str = "events";
    const ABOUT: &'static str = "Show what a container uses, and when it runs out of memory";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        if self.interval.is_zero() {
            bail!("duration interval must be greater than 0");
        }
        let container = global.runtime()?.container(&self.id)?;
        if self.stats {
            self.tell(Event::Stats(Box::new(container.stats()?)))?;
        } else {
            container.events(self.interval, |event| self.tell(event))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Events {
    /// A line of runc's events: callers parse it.
    fn tell(&self, event: Event) -> anyhow::Result<()> {
        let (kind, data) = match event {
            Event::Stats(stats) => ("stats", Some(stats)),
            Event::OutOfMemory => ("oom", None),
        };
        let line = serde_json::to_string(&Line { kind, id: &self.id, data })?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write to standard output")
    }
}

/// In this order: callers match the beginning.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<wolffia::Stats>>,
}

/// As Go writes durations, one unit at a time: `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: for example 500ms, 5s or 1m30s");
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = rest.split_at(end);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let stop = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, further) = unit.split_at(stop);
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        sum = sum.saturating_add(Duration::from_millis(number.saturating_mul(milliseconds)));
        rest = further;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("0s").unwrap(), Duration::ZERO);
        for wrong in ["", "5", "s", "5 s", "-5s", "5d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
