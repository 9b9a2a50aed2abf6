//! What differs in cgroup v1: other files, and limits that cgroup v2 has given up.

use super::{
    CgroupWrite, DeviceAccess, DeviceRule, DeviceType, IfAbsent, Resources, cgroup_write, device_number, instead, refuse,
};
use crate::Refusal;
use crate::host::Host;
use wolffia_spec::oci;

impl Resources {
    pub(super) fn legacy_memory(&mut self, memory: &oci::LinuxMemory) -> Result<(), Refusal> {
        let limit = memory.limit().unwrap_or(0);
        // A memory without limit whose swap has one is none: "both", said once, as runc reads it.
        let swap = memory.swap().filter(|swap| *swap != 0).or((limit == -1).then_some(-1)).unwrap_or(0);
        if swap > 0 && limit > swap {
            let cure = "swap counts memory and swap together: at least memory.limit, or -1";
            return Err(refuse("memory/swap", "memory+swap limit should be >= memory limit", cure));
        }
        for (field, file, value) in [
            ("memory/limit", "memory.limit_in_bytes", limit),
            ("memory/swap", "memory.memsw.limit_in_bytes", swap),
            ("memory/reservation", "memory.soft_limit_in_bytes", memory.reservation().unwrap_or(0)),
        ] {
            match value {
                0 => {}
                // A kernel without swap accounting has no file: there is nothing to set free.
                -1 => self.legacy_write(field, file, -1, IfAbsent::Skip),
                1.. => self.legacy_write(field, file, value, IfAbsent::Fail),
                _ => return Err(refuse(field, format!("{value} is less than -1"), "-1 for no limit, or a number")),
            }
        }
        if let Some(swappiness) = memory.swappiness() {
            if swappiness > 100 {
                return Err(refuse("memory/swappiness", format!("{swappiness} is more than 100"), "0 to 100"));
            }
            self.legacy_write("memory/swappiness", "memory.swappiness", swappiness, IfAbsent::Fail);
        }
        if memory.disable_oom_killer() == Some(true) {
            self.legacy_write("memory/disableOOMKiller", "memory.oom_control", 1, IfAbsent::Fail);
        }
        Ok(())
    }

    pub(super) fn legacy_cpu(&mut self, cpu: &oci::LinuxCpu) -> Result<(), Refusal> {
        if let Some(idle) = cpu.idle() {
            if !(0..=1).contains(&idle) {
                return Err(refuse("cpu/idle", format!("{idle} is neither 0 nor 1"), "0 or 1"));
            }
            self.legacy_write("cpu/idle", "cpu.idle", idle, IfAbsent::Fail);
        }
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
            self.legacy_write("cpu/shares", "cpu.shares", shares, IfAbsent::Fail);
        }
        // The period before the quota, because a quota is measured against it.
        let values = [
            ("cpu/period", "cpu.cfs_period_us", cpu.period().map(i128::from)),
            ("cpu/quota", "cpu.cfs_quota_us", cpu.quota().map(i128::from)),
            ("cpu/burst", "cpu.cfs_burst_us", cpu.burst().map(i128::from)),
            ("cpu/realtimePeriod", "cpu.rt_period_us", cpu.realtime_period().map(i128::from)),
            ("cpu/realtimeRuntime", "cpu.rt_runtime_us", cpu.realtime_runtime().map(i128::from)),
        ];
        for (field, file, value) in values {
            // For runc, 0 is "not set"; of a burst it is a value.
            if let Some(value) = value.filter(|value| *value != 0 || field == "cpu/burst") {
                self.legacy_write(field, file, value, IfAbsent::Fail);
            }
        }
        Ok(())
    }

    pub(super) fn legacy_io(&mut self, io: &oci::LinuxBlockIo) -> Result<(), Refusal> {
        for (field, name, weight) in
            [("blockIO/weight", "weight", io.weight()), ("blockIO/leafWeight", "leaf_weight", io.leaf_weight())]
        {
            if let Some(weight) = weight.filter(|weight| *weight != 0) {
                self.legacy_weight(field, name, weight.to_string());
            }
        }
        for (index, device) in io.weight_device().iter().flatten().enumerate() {
            let field = format!("blockIO/weightDevice/{index}");
            let number = device_number(&field, device.major(), device.minor())?;
            for (name, weight) in [("weight_device", device.weight()), ("leaf_weight_device", device.leaf_weight())] {
                if let Some(weight) = weight {
                    self.legacy_weight(&field, name, format!("{number} {weight}"));
                }
            }
        }
        for (name, file, devices) in [
            ("throttleReadBpsDevice", "read_bps_device", io.throttle_read_bps_device()),
            ("throttleWriteBpsDevice", "write_bps_device", io.throttle_write_bps_device()),
            ("throttleReadIOPSDevice", "read_iops_device", io.throttle_read_iops_device()),
            ("throttleWriteIOPSDevice", "write_iops_device", io.throttle_write_iops_device()),
        ] {
            for (index, device) in devices.iter().flatten().enumerate() {
                let field = format!("blockIO/{name}/{index}");
                let number = device_number(&field, device.major(), device.minor())?;
                let value = format!("{number} {}", device.rate());
                self.legacy_write(&field, &format!("blkio.throttle.{file}"), value, IfAbsent::Fail);
            }
        }
        Ok(())
    }

    pub(super) fn network(&mut self, config: &oci::LinuxResources, host: &Host) -> Result<(), Refusal> {
        let Some(network) = config.network() else { return Ok(()) };
        let lacking = |controller: &str| host.cgroups.legacy(controller).is_none();
        let refused = |part: &str| {
            let cure = "leave it out and mark the traffic by cgroup path instead (nftables: socket cgroupv2)";
            refuse(&format!("network/{part}"), "cgroup v2 has no network controllers", cure)
        };
        if let Some(class) = network.class_id() {
            if lacking("net_cls") {
                return Err(refused("classID"));
            }
            self.legacy_write("network/classID", "net_cls.classid", class, IfAbsent::Fail);
        }
        for (index, priority) in network.priorities().iter().flatten().enumerate() {
            if lacking("net_prio") {
                return Err(refused("priorities"));
            }
            let value = format!("{} {}", priority.name(), priority.priority());
            self.legacy_write(&format!("network/priorities/{index}"), "net_prio.ifpriomap", value, IfAbsent::Fail);
        }
        Ok(())
    }

    /// The device rules as writes, for a host without cgroup v2: everything is denied first.
    pub(crate) fn legacy_devices(&mut self) {
        let Some(rules) = self.devices.take() else { return };
        self.legacy_write("devices", "devices.deny", "a", IfAbsent::Fail);
        for rule in rules {
            let file = if rule.allow { "devices.allow" } else { "devices.deny" };
            self.legacy_write("devices", file, rule_line(rule), IfAbsent::Fail);
        }
    }

    fn legacy_write(&mut self, field: &str, file: &str, value: impl ToString, if_absent: IfAbsent) {
        self.legacy.push(cgroup_write(field, file, value, if_absent));
    }

    /// The scheduler of Linux 5.0 and later, or the one before it.
    fn legacy_weight(&mut self, field: &str, name: &str, value: String) {
        let before = instead(&format!("blkio.{name}"), &value);
        let write =
            CgroupWrite { controller: "blkio".to_owned(), ..cgroup_write(field, format!("blkio.bfq.{name}"), value, before) };
        self.legacy.push(write);
    }
}

/// A line as cgroup-v1/devices.rst has it: `c 1:3 rwm`.
fn rule_line(rule: DeviceRule) -> String {
    let kind = match rule.kind {
        None => 'a',
        Some(DeviceType::Block) => 'b',
        Some(DeviceType::Char) => 'c',
    };
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let DeviceAccess { read, write, make } = rule.access;
    let access: String =
        [(read, 'r'), (write, 'w'), (make, 'm')].iter().filter(|(set, _)| *set).map(|(_, letter)| letter).collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}
