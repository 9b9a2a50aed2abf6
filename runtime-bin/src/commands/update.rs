//! `wolffia update`: new limits for a container that runs.

use super::Subcommand;
use crate::cli::Global;
use crate::report::ExitCode;
use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use wolffia::oci::LinuxResources;

/// Longest document; as for a configuration.
const LIMIT: u64 = 16 << 20;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Update {
    /// JSON of linux.resources; - for standard input. All other options are ignored then
    #[arg(long, short, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Weight of input and output, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// CPU period, in microseconds
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,
    /// CPU time in each period, in microseconds; -1 for no limit
    #[arg(long, value_name = "US")]
    cpu_quota: Option<i64>,
    /// CPU time beyond the quota that may be saved up, in microseconds
    #[arg(long, value_name = "US")]
    cpu_burst: Option<u64>,
    /// CPU shares, relative to other containers
    #[arg(long, value_name = "N", alias = "cpu-shares")]
    cpu_share: Option<u64>,
    /// Realtime period, in microseconds (cgroup 1)
    #[arg(long, value_name = "US")]
    cpu_rt_period: Option<u64>,
    /// Realtime in each period, in microseconds (cgroup 1)
    #[arg(long, value_name = "US")]
    cpu_rt_runtime: Option<i64>,
    /// 1: run only when nobody else wants to
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// Processors, for example 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory, in bytes or as 512k, 100M, 2G; -1 for no limit
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<i64>,
    /// Memory that is taken from the container last
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_reservation: Option<i64>,
    /// Memory and swap together
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_swap: Option<i64>,
    /// No longer a limit of any kernel
    #[arg(long, value_name = "SIZE", hide = true)]
    kernel_memory: Option<String>,
    /// No longer a limit of any kernel
    #[arg(long, value_name = "SIZE", hide = true)]
    kernel_memory_tcp: Option<String>,
    /// Processes; -1 for no limit
    #[arg(long, value_name = "N")]
    pids_limit: Option<i64>,
    /// L3 cache of the container's class of service (Intel RDT), for example L3:0=ff
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Memory bandwidth of it, for example MB:0=20
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
    /// Id of the container
    #[arg(value_name = "ID")]
    id: String,
}

impl Subcommand for Update {
    const NAME: &'static str = "update";
    const ABOUT: &'static str = "Change the limits of a container";

    fn act(self, global: &Global) -> anyhow::Result<ExitCode> {
        let container = global.runtime()?.container(&self.id)?;
        if self.l3_cache_schema.is_some() || self.mem_bw_schema.is_some() {
            let schemata = json!({ "l3CacheSchema": self.l3_cache_schema, "memBwSchema": self.mem_bw_schema });
            container.update_rdt(&serde_json::from_value(schemata)?)?;
        }
        let change = match &self.resources {
            Some(path) => read(path)?,
            None => self.flags()?,
        };
        container.update(&change)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Update {
    fn flags(&self) -> anyhow::Result<LinuxResources> {
        let mut change = json!({
            "cpu": {
                "period": self.cpu_period,
                "quota": self.cpu_quota,
                "burst": self.cpu_burst,
                "shares": self.cpu_share,
                "realtimePeriod": self.cpu_rt_period,
                "realtimeRuntime": self.cpu_rt_runtime,
                "idle": self.cpu_idle,
                "cpus": self.cpuset_cpus,
                "mems": self.cpuset_mems,
            },
            "memory": { "limit": self.memory, "reservation": self.memory_reservation, "swap": self.memory_swap },
        });
        if let Some(weight) = self.blkio_weight {
            change["blockIO"] = json!({ "weight": weight });
        }
        if let Some(limit) = self.pids_limit {
            change["pids"] = json!({ "limit": limit });
        }
        resources(change)
    }
}

fn read(path: &Path) -> anyhow::Result<LinuxResources> {
    let mut text = Vec::new();
    let what = || format!("cannot read the resources from {}", path.display());
    if path == Path::new("-") {
        std::io::stdin().take(LIMIT).read_to_end(&mut text).with_context(what)?;
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut text)).with_context(what)?;
    }
    resources(serde_json::from_slice(&text).with_context(what)?)
}

fn resources(value: Value) -> anyhow::Result<LinuxResources> {
    serde_json::from_value(value).context("these are not linux.resources")
}

/// Bytes, as docker's units: powers of 1024, whatever the case.
fn size(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a size: bytes, or a number with k, m, g or t; -1 for no limit");
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(wrong()),
    };
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    match number {
        -1 if shift == 0 => Ok(-1),
        0.. => number.checked_mul(1 << shift).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let sizes = [("0", 0), ("512", 512), ("4k", 4096), ("1M", 1 << 20), ("2GiB", 2 << 30), ("3kb", 3072), ("-1", -1)];
        for (text, bytes) in sizes {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "k", "-2", "1x", "-1k", "99999999p"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
