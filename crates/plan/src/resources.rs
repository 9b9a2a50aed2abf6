//! `linux.resources` as writes to the files of a cgroup v2, and as device rules.
//!
//! The specification was written for cgroup v1. Where the two differ, this does what runc does, unless a comment says why not.

use crate::{Host, Recorded, Refusal};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use wolffia_spec::oci;

mod devices;
mod legacy;

pub use devices::{DeviceAccess, DeviceRule, DeviceType};

const FIELD: &str = "/linux/resources";
/// The kernel refuses a weight then. Begins as runc's warning does.
const IDLE_HAS_NO_WEIGHT: &str = "unable to apply both cpu.weight and cpu.idle: an idle cgroup has the lowest weight of all";

/// Everything that limits a container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Looked at before the first write.
    pub checks: Vec<UsageCheck>,
    /// In this order.
    pub writes: Vec<CgroupWrite>,
    /// The same for controllers that are bound to cgroup v1 hierarchies; a write that the kernel refuses as not fitting
    /// the others is tried once more after them.
    pub legacy: Vec<CgroupWrite>,
    /// The device program's rules; a later one overrules an earlier one. `None`: no program can be attached here.
    pub devices: Option<Vec<DeviceRule>>,
    /// What cgroup v2 has no file for, and runc passes over too.
    pub recorded: Vec<Recorded>,
}

/// One write to a file of the container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupWrite {
    /// The field of the configuration that asks for it, for example `/linux/resources/memory/limit`.
    pub field: String,
    /// The controller that must be enabled; `cgroup` for the core's own files.
    pub controller: String,
    /// A file name, without any slash.
    pub file: String,
    pub value: String,
    pub if_absent: IfAbsent,
}

/// What it means when the file is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IfAbsent {
    /// The limit cannot be set.
    Fail,
    /// There is nothing to limit.
    Skip,
    /// Another file does it.
    Instead { file: String, value: String },
}

/// `memory.checkBeforeUpdate`: the write is rejected when so much is in use already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageCheck {
    pub field: String,
    /// What the limit is called in runc's error: `memory` or `memory+swap`.
    pub limit_name: String,
    /// Bytes.
    pub limit: u64,
    /// The file that holds the usage.
    pub usage_file: String,
}

/// Converts `linux.resources`; without it there still are the device rules that every container has.
///
/// # Errors
/// A [`Refusal`] for what no kernel accepts, and for limits that cgroup v2 cannot express.
pub fn plan_resources(given: Option<&oci::LinuxResources>, host: &Host) -> Result<Resources, Refusal> {
    match given {
        Some(config) => resources(config, host),
        None => resources(&oci::LinuxResources::default(), host),
    }
}

fn resources(config: &oci::LinuxResources, host: &Host) -> Result<Resources, Refusal> {
    let mut out = Resources::default();
    let v1 = |controller: &str| host.cgroups.legacy(controller).is_some();
    if let Some(pids) = config.pids() {
        out.pids(pids, v1("pids"))?;
    }
    if let Some(memory) = config.memory() {
        if v1("memory") { out.legacy_memory(memory)? } else { out.memory(memory)? }
    }
    if let Some(io) = config.block_io() {
        if v1("blkio") { out.legacy_io(io)? } else { out.io(io)? }
    }
    if let Some(cpu) = config.cpu() {
        if v1("cpu") {
            out.legacy_cpu(cpu)?
        } else {
            out.cpu(cpu)?
        }
        out.cpuset(cpu, v1("cpuset"));
    }
    for (index, limit) in config.hugepage_limits().iter().flatten().enumerate() {
        out.hugetlb(index, limit, v1("hugetlb"))?;
    }
    out.rdma(config, v1("rdma"))?;
    out.network(config, host)?;
    out.unified(config, host)?;
    out.devices(config, host)?;
    Ok(out)
}

impl Resources {
    /// Whether anything is to be set in the container's cgroup.
    pub fn limits(&self) -> bool {
        !self.writes.is_empty() || !self.legacy.is_empty() || self.devices.is_some()
    }

    /// The same for a container without a cgroup of its own: every limit that was asked for is recorded as missing.
    pub(crate) fn unlimited(self, because: &str) -> Self {
        let mut fields: Vec<String> = self.writes.into_iter().chain(self.legacy).map(|write| write.field).collect();
        fields.dedup();
        let missing = fields.into_iter().map(|field| Recorded { field, reason: format!("not limited: {because}") });
        let unbounded = self.devices.map(|_| Recorded {
            field: at("devices"),
            reason: format!("access to device nodes that are in its file systems is bounded by their modes alone: {because}"),
        });
        let recorded = self.recorded.into_iter().chain(missing).chain(unbounded).collect();
        Self { recorded, ..Self::default() }
    }

    fn write(&mut self, field: &str, file: impl Into<String>, value: impl ToString) {
        self.write_either(false, field, file, value);
    }

    fn write_or(&mut self, field: &str, file: impl Into<String>, value: impl ToString, if_absent: IfAbsent) {
        self.writes.push(cgroup_write(field, file, value, if_absent));
    }

    /// To the controller's file in cgroup v1 if `legacy`: where both kinds have the same. Where a controller is missing there is
    /// no limit, so to ask for none is no failure.
    fn write_either(&mut self, legacy: bool, field: &str, file: impl Into<String>, value: impl ToString) {
        let value = value.to_string();
        let if_absent = if value == "max" { IfAbsent::Skip } else { IfAbsent::Fail };
        let writes = if legacy { &mut self.legacy } else { &mut self.writes };
        writes.push(cgroup_write(field, file, value, if_absent));
    }

    fn record(&mut self, field: &str, reason: &str) {
        self.recorded.push(Recorded { field: at(field), reason: reason.to_owned() });
    }

    fn pids(&mut self, pids: &oci::LinuxPids, legacy: bool) -> Result<(), Refusal> {
        let value = match pids.limit() {
            // Version 1.3 makes 0 a limit. runc writes 1, which systemd can express, and which forbids a second process as well.
            0 => "1".to_owned(),
            limit => max_or_number("pids/limit", limit)?,
        };
        self.write_either(legacy, "pids/limit", "pids.max", value);
        Ok(())
    }

    fn memory(&mut self, memory: &oci::LinuxMemory) -> Result<(), Refusal> {
        // For runc, 0 is "not set" in each of the three.
        let limit = memory.limit().unwrap_or(0);
        let swap = memory.swap().unwrap_or(0);
        let reservation = memory.reservation().unwrap_or(0);
        if memory.check_before_update() == Some(true) {
            self.check("memory/swap", "memory+swap", swap);
            self.check("memory/limit", "memory", limit);
        }
        if let Some(value) = swap_max(limit, swap)? {
            // Without swap accounting there is no file: nothing to forbid, and nothing to allow.
            let if_absent = if value == "0" || value == "max" { IfAbsent::Skip } else { IfAbsent::Fail };
            self.write_or("memory/swap", "memory.swap.max", value, if_absent);
        }
        if limit != 0 {
            self.write("memory/limit", "memory.max", max_or_number("memory/limit", limit)?);
        }
        if reservation != 0 {
            self.write("memory/reservation", "memory.low", max_or_number("memory/reservation", reservation)?);
        }
        if memory.swappiness().is_some() {
            self.record("memory/swappiness", "cgroup v2 has no swappiness of its own for a cgroup");
        }
        if memory.disable_oom_killer() == Some(true) {
            self.record("memory/disableOOMKiller", "cgroup v2 cannot turn the out-of-memory killer off");
        }
        Ok(())
    }

    fn check(&mut self, field: &str, limit_name: &str, limit: i64) {
        if let Ok(limit @ 1..) = u64::try_from(limit) {
            let (limit_name, usage_file) = (limit_name.to_owned(), "memory.current".to_owned());
            self.checks.push(UsageCheck { field: at(field), limit_name, limit, usage_file });
        }
    }

    fn cpu(&mut self, cpu: &oci::LinuxCpu) -> Result<(), Refusal> {
        for (field, set) in [
            ("cpu/realtimeRuntime", cpu.realtime_runtime().unwrap_or(0) != 0),
            ("cpu/realtimePeriod", cpu.realtime_period().unwrap_or(0) != 0),
        ] {
            if set {
                let reason = "cgroup v2 cannot limit real-time scheduling";
                return Err(refuse(field, reason, "leave it out; process.scheduler can make the process a real-time one"));
            }
        }
        let idle = cpu.idle();
        if let Some(idle) = idle {
            if !(0..=1).contains(&idle) {
                return Err(refuse("cpu/idle", format!("{idle} is neither 0 nor 1"), "0 or 1"));
            }
            self.write("cpu/idle", "cpu.idle", idle);
        }
        match cpu_weight(cpu.shares().unwrap_or(0)) {
            Some(_) if idle == Some(1) => self.record("cpu/shares", IDLE_HAS_NO_WEIGHT),
            Some(weight) => self.write("cpu/shares", "cpu.weight", weight),
            None => {}
        }
        self.cpu_bandwidth(cpu)
    }

    fn cpuset(&mut self, cpu: &oci::LinuxCpu, legacy: bool) {
        for (field, file, set) in [("cpu/cpus", "cpuset.cpus", cpu.cpus()), ("cpu/mems", "cpuset.mems", cpu.mems())] {
            if let Some(list) = set.as_deref().filter(|list| !list.is_empty()) {
                self.write_either(legacy, field, file, list);
            }
        }
    }

    fn cpu_bandwidth(&mut self, cpu: &oci::LinuxCpu) -> Result<(), Refusal> {
        let quota = cpu.quota().unwrap_or(0);
        let period = cpu.period().unwrap_or(0);
        let max = (quota != 0 || period != 0).then(|| {
            let quota = u64::try_from(quota).ok().filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
            // cgroup-v2.rst, "cpu.max": the default period.
            format!("{quota} {}", if period == 0 { 100_000 } else { period })
        });
        let Some(burst) = cpu.burst() else {
            if let Some(max) = max {
                self.write("cpu/quota", "cpu.max", max);
            }
            return Ok(());
        };
        if u64::try_from(quota).is_ok_and(|quota| quota > 0 && burst > quota) {
            return Err(refuse("cpu/burst", format!("{burst} is more than the quota {quota}"), "at most the quota"));
        }
        if let Some(max) = max {
            // The kernel compares each of the two with the other's old value, which may not fit: out of the way first.
            self.write("cpu/burst", "cpu.max.burst", 0);
            self.write("cpu/quota", "cpu.max", max);
        }
        self.write("cpu/burst", "cpu.max.burst", burst);
        Ok(())
    }

    fn io(&mut self, io: &oci::LinuxBlockIo) -> Result<(), Refusal> {
        if io.leaf_weight().is_some_and(|weight| weight != 0) {
            return Err(refuse("blockIO/leafWeight", "cgroup v2 has no leaf weights", "weight"));
        }
        if let Some(weight) = io.weight().filter(|weight| *weight != 0) {
            let weight = io_weight("blockIO/weight", weight)?;
            self.write_or("blockIO/weight", "io.bfq.weight", weight, instead("io.weight", spread(weight)));
        }
        for (index, device) in io.weight_device().iter().flatten().enumerate() {
            let field = format!("blockIO/weightDevice/{index}");
            let number = device_number(&field, device.major(), device.minor())?;
            if device.leaf_weight().is_some_and(|weight| weight != 0) {
                return Err(refuse(&format!("{field}/leafWeight"), "cgroup v2 has no leaf weights", "weight"));
            }
            let Some(weight) = device.weight() else {
                return Err(refuse(&field, "it has neither weight nor leafWeight", "a weight of 10 to 1000"));
            };
            let weight = io_weight(&field, weight)?;
            let otherwise = instead("io.weight", format!("{number} {}", spread(weight)));
            self.write_or(&field, "io.bfq.weight", format!("{number} {weight}"), otherwise);
        }
        for (name, key, devices) in [
            ("throttleReadBpsDevice", "rbps", io.throttle_read_bps_device()),
            ("throttleWriteBpsDevice", "wbps", io.throttle_write_bps_device()),
            ("throttleReadIOPSDevice", "riops", io.throttle_read_iops_device()),
            ("throttleWriteIOPSDevice", "wiops", io.throttle_write_iops_device()),
        ] {
            for (index, device) in devices.iter().flatten().enumerate() {
                let field = format!("blockIO/{name}/{index}");
                let number = device_number(&field, device.major(), device.minor())?;
                // 0 took the limit away in cgroup v1; v2 refuses it and says "max".
                let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
                self.write(&field, "io.max", format!("{number} {key}={rate}"));
            }
        }
        Ok(())
    }

    fn hugetlb(&mut self, index: usize, limit: &oci::LinuxHugepageLimit, legacy: bool) -> Result<(), Refusal> {
        let field = format!("hugepageLimits/{index}");
        let size = limit.page_size();
        let digits = size.strip_suffix("KB").or(size.strip_suffix("MB")).or(size.strip_suffix("GB"));
        if !digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(refuse(&field, format!("page size {size:?} is not one"), "<number>KB, <number>MB or <number>GB"));
        }
        let bytes = u64::try_from(limit.limit()).map_err(|_| refuse(&field, "the limit is negative", "0 or more bytes"))?;
        let (writes, file) = match legacy {
            true => (&mut self.legacy, "limit_in_bytes"),
            false => (&mut self.writes, "max"),
        };
        writes.push(cgroup_write(&field, format!("hugetlb.{size}.{file}"), bytes, IfAbsent::Fail));
        // Linux 5.7: counts what is reserved, so that it is refused at mmap(2) instead of killing the process later.
        writes.push(cgroup_write(&field, format!("hugetlb.{size}.rsvd.{file}"), bytes, IfAbsent::Skip));
        Ok(())
    }

    fn rdma(&mut self, config: &oci::LinuxResources, legacy: bool) -> Result<(), Refusal> {
        let mut devices: Vec<_> = config.rdma().iter().flatten().collect();
        devices.sort_unstable_by_key(|(name, _)| *name);
        for (name, limit) in devices {
            let field = format!("rdma/{}", escape(name));
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(refuse(&field, format!("{name:?} is not a device's name"), "a name as `rdma dev` shows it"));
            }
            let handles = limit.hca_handles().map(|count| format!(" hca_handle={count}"));
            let objects = limit.hca_objects().map(|count| format!(" hca_object={count}"));
            if handles.is_none() && objects.is_none() {
                return Err(refuse(&field, "it limits nothing", "hcaHandles, hcaObjects or both"));
            }
            let limits = format!("{name}{}{}", handles.unwrap_or_default(), objects.unwrap_or_default());
            self.write_either(legacy, &field, "rdma.max", limits);
        }
        Ok(())
    }

    /// Last of all: they overrule the fields above (config-linux.md, "unified").
    fn unified(&mut self, config: &oci::LinuxResources, host: &Host) -> Result<(), Refusal> {
        let mut files: Vec<_> = config.unified().iter().flatten().collect();
        files.sort_unstable_by_key(|(name, _)| *name);
        let idle = files.iter().any(|(name, value)| *name == "cpu.idle" && value.trim() == "1");
        for (name, value) in files {
            let field = format!("unified/{}", escape(name));
            if name.contains('/') {
                let reason = format!("unified resource {name:?} must be a file name (no slashes)");
                return Err(refuse(&field, reason, "a file of the container's own cgroup"));
            }
            if !name.split_once('.').is_some_and(|(controller, parameter)| !controller.is_empty() && !parameter.is_empty()) {
                let reason = format!("unified resource {name:?} must be in the form CONTROLLER.PARAMETER");
                return Err(refuse(&field, reason, "for example memory.high"));
            }
            if ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type"].contains(&name.as_str()) {
                return Err(refuse(&field, format!("{name} acts on processes and limits nothing"), "leave it out"));
            }
            if let Some(hierarchy) = name.split_once('.').and_then(|(controller, _)| host.cgroups.legacy(controller)) {
                let reason = format!(
                    "invalid configuration: the host's controller is bound to cgroup v1 at {}, which has no such file",
                    hierarchy.mount
                );
                return Err(refuse(&field, reason, "leave it out, or boot with systemd.unified_cgroup_hierarchy=1"));
            }
            if name.starts_with("cpu.weight") && idle {
                self.record(&field, IDLE_HAS_NO_WEIGHT);
                continue;
            }
            // The kernel takes each write as one line.
            for line in value.lines().filter(|line| !line.is_empty()) {
                self.write(&field, name, line);
            }
        }
        Ok(())
    }
}

fn cgroup_write(field: &str, file: impl Into<String>, value: impl ToString, if_absent: IfAbsent) -> CgroupWrite {
    let file = file.into();
    let controller = file.split('.').next().unwrap_or_default().to_owned();
    CgroupWrite { field: at(field), controller, file, value: value.to_string(), if_absent }
}

fn at(field: &str) -> String {
    format!("{FIELD}/{field}")
}

/// A name as one segment of a JSON pointer (RFC 6901).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn refuse(field: &str, reason: impl Into<String>, cure: &str) -> Refusal {
    Refusal::new(at(field), reason, cure)
}

fn instead(file: &str, value: impl ToString) -> IfAbsent {
    IfAbsent::Instead { file: file.to_owned(), value: value.to_string() }
}

/// −1 is how the specification says "no limit".
fn max_or_number(field: &str, limit: i64) -> Result<String, Refusal> {
    match limit {
        -1 => Ok("max".to_owned()),
        0.. => Ok(limit.to_string()),
        _ => Err(refuse(field, format!("{limit} is less than -1"), "-1 for no limit, or a number")),
    }
}

/// The specification counts memory and swap together, cgroup v2 counts swap alone. `None`: leave it as it is.
fn swap_max(limit: i64, swap: i64) -> Result<Option<String>, Refusal> {
    match (limit, swap) {
        // cgroup v1 knew no memory without limit whose swap has one: "both", said once.
        (-1, 0) => Ok(Some("max".to_owned())),
        (_, 0) => Ok(None),
        (_, -1) | (-1, _) => max_or_number("memory/swap", swap).map(Some),
        (0, _) => Err(refuse("memory/swap", "unable to set swap limit without memory limit", "set memory.limit as well")),
        _ if swap < limit => {
            let cure = "swap counts memory and swap together: at least memory.limit, or -1";
            Err(refuse("memory/swap", "memory+swap limit should be >= memory limit", cure))
        }
        _ => max_or_number("memory/swap", swap - limit.max(0)).map(Some),
    }
}

/// cpu.weight (1 to 10000, default 100) for cpu.shares (2 to 262144, default 1024); `None` for 0, "not set".
///
/// The curve goes through both ends and the default (runc 1.4, crun 1.23, Kubernetes KEP-2254). The line of before
/// made 1024 shares a weight of 39, less than half of what a process outside any container has.
fn cpu_weight(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1..=2 => Some(1),
        3..262_144 => {
            let log = (shares as f64).log2();
            Some(10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64)
        }
        _ => Some(10_000),
    }
}

fn io_weight(field: &str, weight: u16) -> Result<u64, Refusal> {
    const RANGE: RangeInclusive<u16> = 10..=1000;
    if RANGE.contains(&weight) {
        return Ok(weight.into());
    }
    Err(refuse(field, format!("weight {weight} is out of range"), "10 to 1000"))
}

/// io.weight has 1 to 10000 where blkio.weight had 10 to 1000.
fn spread(weight: u64) -> u64 {
    1 + (weight - 10) * 9999 / 990
}

fn device_number(field: &str, major: i64, minor: i64) -> Result<String, Refusal> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(format!("{major}:{minor}")),
        _ => Err(refuse(field, format!("{major}:{minor} is not a device number"), "major and minor, 0 or more")),
    }
}

#[cfg(test)]
mod tests;
