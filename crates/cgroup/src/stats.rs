//! What a container uses: the `data` of `runc events --stats`, with runc's names, units and omissions (types/events.go).

use crate::files::Dir;
use crate::tree::is_gone;
use crate::{Cgroup, CgroupError};
use serde::Serialize;
use std::collections::BTreeMap;
use wolffia_sys as sys;

mod parse;

/// Zeros and absent parts are left out where runc leaves them out.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Stats {
    pub cpu: Cpu,
    pub cpuset: Cpuset,
    pub memory: Memory,
    pub pids: Pids,
    pub blkio: Io,
    /// By page size, for example `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    pub intel_rdt: IntelRdt,
    /// Always null, as in runc for every container of the specification.
    pub network_interfaces: (),
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Cpu {
    #[serde(skip_serializing_if = "is_default")]
    pub usage: CpuUsage,
    #[serde(skip_serializing_if = "is_default")]
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_default")]
    pub total: u64,
    pub kernel: u64,
    pub user: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_default")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub throttled_time: u64,
}

/// runc fills it on cgroup v1 only, and prints its zeros on v2 as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Cpuset {
    cpu_exclusive: u64,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

/// Bytes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Memory {
    #[serde(skip_serializing_if = "is_default")]
    pub cache: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub usage: MemoryEntry,
    /// Memory and swap together, as cgroup v1 counted.
    #[serde(skip_serializing_if = "is_default")]
    pub swap: MemoryEntry,
    /// `memory.stat`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct MemoryEntry {
    /// 2^64−1 is none.
    pub limit: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub max: u64,
    pub failcnt: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_default")]
    pub current: u64,
    /// 0 is none.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Io {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<IoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<IoEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IoEntry {
    #[serde(skip_serializing_if = "is_default")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub minor: u64,
    /// `Read` or `Write`.
    pub op: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    pub value: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Hugetlb {
    /// Bytes; what is reserved counts.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    /// How often the limit was reached.
    pub failcnt: u64,
}

/// Pressure stall information: what part of the time some, or all, processes waited.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Pressure {
    #[serde(skip_serializing_if = "is_default")]
    pub some: Stall,
    #[serde(skip_serializing_if = "is_default")]
    pub full: Stall,
}

/// Averages in percent; the total in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Stall {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

/// Empty: no resource control group is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct IntelRdt {}

impl Cgroup {
    /// What it and all below it use. The part of a controller that is not enabled stays empty.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        let dir = self.as_dir();
        let mut stats = Stats { cpu: cpu(dir)?, memory: memory(dir)?, pids: pids(dir)?, ..Stats::default() };
        if let Some(text) = optional(dir, "io.stat")? {
            parse::io(&text, &mut stats.blkio).ok_or_else(|| content(dir, "io.stat", &text))?;
        }
        stats.blkio.psi = pressure(dir, "io.pressure")?;
        stats.hugetlb = hugetlb(dir)?;
        Ok(stats)
    }

    /// How often the kernel killed a process in it or below it for want of memory.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        Ok(table(self.as_dir(), "memory.events")?.get("oom_kill").copied().unwrap_or(0))
    }
}

fn cpu(dir: Dir<'_>) -> Result<Cpu, CgroupError> {
    let stat = table(dir, "cpu.stat")?;
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    let nanoseconds = |key: &str| value(key).saturating_mul(1000);
    Ok(Cpu {
        usage: CpuUsage { total: nanoseconds("usage_usec"), kernel: nanoseconds("system_usec"), user: nanoseconds("user_usec") },
        throttling: Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: pressure(dir, "cpu.pressure")?,
    })
}

fn memory(dir: Dir<'_>) -> Result<Memory, CgroupError> {
    let raw = table(dir, "memory.stat")?;
    let usage = memory_entry(dir, "memory")?;
    let mut swap = memory_entry(dir, "memory.swap")?;
    // cgroup v1 counted both together, and so do the readers of this.
    swap.usage = swap.usage.saturating_add(usage.usage);
    swap.limit = swap.limit.saturating_add(usage.limit);
    swap.max = 0;
    Ok(Memory { cache: raw.get("file").copied().unwrap_or(0), usage, swap, raw, psi: pressure(dir, "memory.pressure")? })
}

fn memory_entry(dir: Dir<'_>, prefix: &str) -> Result<MemoryEntry, CgroupError> {
    let read = |name: &str| number(dir, &format!("{prefix}.{name}"));
    // memory.peak since Linux 5.19, memory.swap.peak since 6.5.
    Ok(match read("current")? {
        None => MemoryEntry::default(),
        Some(usage) => MemoryEntry { limit: read("max")?.unwrap_or(0), usage, max: read("peak")?.unwrap_or(0), failcnt: 0 },
    })
}

fn pids(dir: Dir<'_>) -> Result<Pids, CgroupError> {
    if let Some(current) = number(dir, "pids.current")? {
        let limit = number(dir, "pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
        return Ok(Pids { current, limit });
    }
    let lines = optional(dir, "cgroup.procs")?.map_or(0, |text| text.lines().count());
    Ok(Pids { current: lines as u64, limit: 0 })
}

fn hugetlb(dir: Dir<'_>) -> Result<BTreeMap<String, Hugetlb>, CgroupError> {
    let mut sizes = BTreeMap::new();
    let names = match sys::fd::read_dir_names(dir.fd) {
        Err(error) if is_gone(&error) => return Ok(sizes),
        other => other.map_err(|source| CgroupError::Failed { act: "list", path: dir.path.to_owned(), source })?,
    };
    for name in names {
        let size = name.to_str().and_then(|name| name.strip_prefix("hugetlb.")?.strip_suffix(".events"));
        if let Some(size) = size.filter(|size| !size.contains('.')) {
            let reserved = number(dir, &format!("hugetlb.{size}.rsvd.current"))?;
            let usage = if reserved.is_some() { reserved } else { number(dir, &format!("hugetlb.{size}.current"))? };
            let failcnt = table(dir, &format!("hugetlb.{size}.events"))?.get("max").copied().unwrap_or(0);
            sizes.insert(size.to_owned(), Hugetlb { usage: usage.unwrap_or(0), failcnt });
        }
    }
    Ok(sizes)
}

/// `None` where the kernel does not count pressure, or was told not to.
fn pressure(dir: Dir<'_>, file: &str) -> Result<Option<Pressure>, CgroupError> {
    let Some(text) = optional(dir, file)? else { return Ok(None) };
    parse::pressure(&text).ok_or_else(|| content(dir, file, &text)).map(Some)
}

/// A file of lines `key value`; empty where there is no such file.
fn table(dir: Dir<'_>, file: &str) -> Result<BTreeMap<String, u64>, CgroupError> {
    let Some(text) = optional(dir, file)? else { return Ok(BTreeMap::new()) };
    parse::table(&text).ok_or_else(|| content(dir, file, &text))
}

/// A file of one number; `max` is 2^64−1.
fn number(dir: Dir<'_>, file: &str) -> Result<Option<u64>, CgroupError> {
    let Some(text) = optional(dir, file)? else { return Ok(None) };
    parse::number(text.trim_end()).ok_or_else(|| content(dir, file, &text)).map(Some)
}

fn optional(dir: Dir<'_>, file: &str) -> Result<Option<String>, CgroupError> {
    match dir.read(file) {
        Ok(text) => Ok(Some(text)),
        // EOPNOTSUPP: pressure that takes `psi=1` at boot, `cgroup.procs` of a threaded cgroup.
        Err(error) if is_gone(&error) || error.is(sys::Errno::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(dir.file_error("read", file, error)),
    }
}

fn content(dir: Dir<'_>, file: &str, text: &str) -> CgroupError {
    CgroupError::Content { file: file.to_owned(), path: dir.path.to_owned(), content: text.to_owned() }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
