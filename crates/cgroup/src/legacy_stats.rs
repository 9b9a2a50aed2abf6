//! What a container uses on a host whose controllers are bound to cgroup v1, read by cgroups-rs.

use crate::legacy::LegacyPlace;
use crate::stats::{Cpu, CpuUsage, Io, IoEntry, Memory, MemoryEntry, Pids, Stats, Throttling};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::blkio::{BlkIoController, IoService};
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuacct::CpuAcctController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use std::collections::BTreeMap;

impl LegacyPlace {
    /// Fills in what version 2 does not count on this host. What cannot be read stays as it is: the crate gives zeros for it.
    pub fn add_stats(&self, stats: &mut Stats) {
        let place = self.hierarchies();
        if let Some(accounts) = place.controller_of::<CpuAcctController>() {
            let usage = accounts.cpuacct();
            stats.cpu.usage = CpuUsage { total: usage.usage, kernel: usage.usage_sys, user: usage.usage_user };
        }
        if let Some(cpu) = place.controller_of::<CpuController>() {
            stats.cpu = Cpu { throttling: throttling(&cpu.cpu().stat), ..stats.cpu.clone() };
        }
        if let Some(memory) = place.controller_of::<MemController>() {
            stats.memory = self::memory(memory);
        }
        if let Some(pids) = place.controller_of::<PidController>() {
            let limit = match pids.get_pid_max() {
                Ok(MaxValue::Value(limit)) => limit.unsigned_abs(),
                Ok(MaxValue::Max) | Err(_) => 0,
            };
            stats.pids = Pids { current: pids.get_pid_current().unwrap_or(0), limit };
        }
        if let Some(io) = place.controller_of::<BlkIoController>() {
            let io = io.blkio();
            let recursive = |throttled: &[IoService], own: &[IoService]| entries(if own.is_empty() { throttled } else { own });
            stats.blkio = Io {
                io_service_bytes_recursive: recursive(&io.throttle.io_service_bytes_recursive, &io.io_service_bytes_recursive),
                io_serviced_recursive: recursive(&io.throttle.io_serviced_recursive, &io.io_serviced_recursive),
                psi: stats.blkio.psi,
            };
        }
    }
}

/// `cpu.stat`
fn throttling(text: &str) -> Throttling {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0);
    Throttling {
        periods: value("nr_periods "),
        throttled_periods: value("nr_throttled "),
        throttled_time: value("throttled_time "),
    }
}

fn memory(controller: &MemController) -> Memory {
    let (memory, swap) = (controller.memory_stat(), controller.memswap());
    let entry = |limit: i64, usage, max, failcnt| MemoryEntry { limit: limit.unsigned_abs(), usage, max, failcnt };
    Memory {
        cache: memory.stat.cache,
        usage: entry(memory.limit_in_bytes, memory.usage_in_bytes, memory.max_usage_in_bytes, memory.fail_cnt),
        swap: entry(swap.limit_in_bytes, swap.usage_in_bytes, swap.max_usage_in_bytes, swap.fail_cnt),
        raw: memory.stat.raw.iter().map(|(name, value)| (name.clone(), *value)).collect::<BTreeMap<_, _>>(),
        psi: None,
    }
}

fn entries(services: &[IoService]) -> Vec<IoEntry> {
    let pair = |service: &IoService| {
        let (major, minor) = (service.major.unsigned_abs().into(), service.minor.unsigned_abs().into());
        [("Read", service.read), ("Write", service.write)].map(|(op, value)| IoEntry { major, minor, op, value })
    };
    services.iter().flat_map(pair).collect()
}
