//! When and where the payload runs: CPU scheduler, I/O priority, CPUs, memory nodes, execution domain.

use crate::{CpuAffinity, MemoryPolicy, Refusal, Scheduler};
use oci::{
    LinuxSchedulerFlag as Flag, LinuxSchedulerPolicy as Policy, MemoryPolicyFlagType as NodeFlag, MemoryPolicyModeType as Mode,
};
use wolffia_spec::oci;

/// Highest number of a CPU or memory node that a list may name: runc's limit, above every kernel's.
const LARGEST_NUMBER: usize = 64 * 1024;

/// Reads `process.scheduler`; what it leaves out is 0 (config.md).
///
/// # Errors
/// Attributes that the policy does not have, and values out of its range (sched(7)).
pub(crate) fn plan_scheduler(field: &str, given: &oci::Scheduler) -> Result<Scheduler, Refusal> {
    let refuse = |name: &str, reason: String, cure: &str| Err(Refusal::new(format!("{field}/scheduler/{name}"), reason, cure));
    let policy = *given.policy();
    let (nice, priority) = (given.nice().unwrap_or(0), given.priority().unwrap_or(0));
    let (runtime, deadline, period) = (given.runtime().unwrap_or(0), given.deadline().unwrap_or(0), given.period().unwrap_or(0));
    let is_realtime = matches!(policy, Policy::SchedFifo | Policy::SchedRr);
    if policy == Policy::SchedIso {
        return refuse("policy", "SCHED_ISO is reserved: Linux has no such scheduler".to_owned(), "use SCHED_OTHER");
    }
    if matches!(policy, Policy::SchedOther | Policy::SchedBatch) && !(-20..=19).contains(&nice) {
        return refuse("nice", format!("invalid scheduler.nice: {nice} when scheduler.policy is {policy}"), "use -20 to 19");
    }
    if priority != 0 && !is_realtime {
        return refuse(
            "priority",
            "scheduler.priority can only be specified for SchedFIFO or SchedRR policy".to_owned(),
            "remove it",
        );
    }
    if is_realtime && !(1..=99).contains(&priority) {
        return refuse(
            "priority",
            format!("invalid scheduler.priority: {priority} when scheduler.policy is {policy}"),
            "use 1 to 99",
        );
    }
    if policy != Policy::SchedDeadline && (runtime, deadline, period) != (0, 0, 0) {
        let reason = "scheduler runtime/deadline/period can only be specified for SchedDeadline policy";
        return refuse("runtime", reason.to_owned(), "remove them");
    }
    let in_order = runtime > 0 && runtime <= deadline && (period == 0 || deadline <= period);
    if policy == Policy::SchedDeadline && !in_order {
        return refuse(
            "deadline",
            "SCHED_DEADLINE needs 0 < runtime <= deadline <= period".to_owned(),
            "give all three in nanoseconds",
        );
    }
    let flags = given.flags().iter().flatten().fold(0, |flags, flag| flags | scheduler_flag(*flag));
    Ok(Scheduler { policy: policy_number(policy), flags, nice, priority: priority.unsigned_abs(), runtime, deadline, period })
}

/// Reads `process.ioPriority` into the argument of ioprio_set(2).
///
/// # Errors
/// A priority that is not 0 to 7.
pub(crate) fn plan_io_priority(field: &str, given: &oci::LinuxIOPriority) -> Result<u32, Refusal> {
    let class = match given.class() {
        oci::IOPriorityClass::IoprioClassRt => 1,
        oci::IOPriorityClass::IoprioClassBe => 2,
        oci::IOPriorityClass::IoprioClassIdle => 3,
    };
    match u32::try_from(given.priority()) {
        Ok(priority @ 0..=7) => Ok(class << 13 | priority),
        _ => Err(Refusal::new(
            format!("{field}/ioPriority/priority"),
            format!("invalid ioPriority.Priority: {}", given.priority()),
            "use 0 to 7",
        )),
    }
}

/// Reads `process.execCPUAffinity`.
///
/// # Errors
/// A list that is none.
pub(crate) fn plan_affinity(field: &str, given: Option<&oci::ExecCPUAffinity>) -> Result<CpuAffinity, Refusal> {
    let list = |name: &str, label: &str, given: Option<&String>| match given.map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => parse_list(text).map(Some).map_err(|reason| {
            Refusal::new(
                format!("{field}/execCPUAffinity/{name}"),
                format!("bad CPUAffinity.{label}: {reason}"),
                "for example 0-3,7",
            )
        }),
    };
    let Some(given) = given else {
        return Ok(CpuAffinity::default());
    };
    Ok(CpuAffinity {
        initial: list("initial", "Initial", given.initial().as_ref())?,
        last: list("final", "Final", given.cpu_affinity_final().as_ref())?,
    })
}

/// Reads `linux.memoryPolicy`.
///
/// # Errors
/// Nodes that the mode does not take or lacks, and flags that exclude each other (set_mempolicy(2)).
pub(crate) fn plan_memory_policy(given: &oci::LinuxMemoryPolicy) -> Result<MemoryPolicy, Refusal> {
    let refuse = |name: &str, reason: String, cure: &str| Refusal::new(format!("/linux/memoryPolicy/{name}"), reason, cure);
    let nodes = match given.nodes().as_deref() {
        None | Some("") => Vec::new(),
        Some(text) => parse_list(text)
            .map_err(|reason| refuse("nodes", format!("invalid memory policy nodes {text:?}: {reason}"), "for example 0-1"))?,
    };
    match given.mode() {
        Mode::MpolDefault | Mode::MpolLocal if !nodes.is_empty() => {
            return Err(refuse(
                "nodes",
                format!("invalid memory policy: memory policy mode requires 0 nodes but got {}", nodes.len()),
                "remove `nodes`",
            ));
        }
        Mode::MpolBind | Mode::MpolInterleave | Mode::MpolWeightedInterleave | Mode::MpolPreferredMany if nodes.is_empty() => {
            let reason = "invalid memory policy: memory policy mode requires at least one node but got 0".to_owned();
            return Err(refuse("nodes", reason, r#"for example "nodes":"0""#));
        }
        _ => {}
    }
    let flags: Vec<NodeFlag> = given.flags().clone().unwrap_or_default();
    if flags.contains(&NodeFlag::MpolFStaticNodes) && flags.contains(&NodeFlag::MpolFRelativeNodes) {
        return Err(refuse(
            "flags",
            "invalid memory policy flag: nodes cannot be static and relative".to_owned(),
            "keep one of the two",
        ));
    }
    let flags = flags.into_iter().fold(0, |all, flag| all | node_flag(flag));
    Ok(MemoryPolicy {
        mode: mode_number(given.mode()) | flags,
        nodes: nodes.into_iter().filter_map(|node| u32::try_from(node).ok()).collect(),
    })
}

/// Reads `linux.personality` into the argument of personality(2).
///
/// # Errors
/// Flags: the specification defines none.
pub(crate) fn plan_personality(given: &oci::LinuxPersonality) -> Result<u32, Refusal> {
    if let Some(flag) = given.flags().iter().flatten().next() {
        return Err(Refusal::new(
            "/linux/personality/flags",
            format!("the personality flag {flag:?} is not supported"),
            "remove linux.personality.flags",
        ));
    }
    Ok(match given.domain() {
        oci::LinuxPersonalityDomain::PerLinux => 0x0000,
        oci::LinuxPersonalityDomain::PerLinux32 => 0x0008,
    })
}

/// Numbers and ranges between commas (cpuset(7), "List format"), in order and each once.
fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    let number = |text: &str| match text.parse::<usize>() {
        Ok(number) if number <= LARGEST_NUMBER && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        Ok(_) => Err(format!("values larger than {LARGEST_NUMBER} are not supported")),
        Err(_) => Err(format!("{text:?} is not a number")),
    };
    let mut members = std::collections::BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("invalid range: {part}"));
        }
        members.extend(first..=last);
    }
    if members.is_empty() { Err(format!("no members found in set {text:?}")) } else { Ok(members.into_iter().collect()) }
}

fn policy_number(policy: Policy) -> u32 {
    match policy {
        Policy::SchedOther => 0,
        Policy::SchedFifo => 1,
        Policy::SchedRr => 2,
        Policy::SchedBatch => 3,
        Policy::SchedIso => 4,
        Policy::SchedIdle => 5,
        Policy::SchedDeadline => 6,
    }
}

fn scheduler_flag(flag: Flag) -> u64 {
    match flag {
        Flag::SchedResetOnFork => 0x01,
        Flag::SchedFlagReclaim => 0x02,
        Flag::SchedFlagDLOverrun => 0x04,
        Flag::SchedFlagKeepPolicy => 0x08,
        Flag::SchedFlagKeepParams => 0x10,
        Flag::SchedFlagUtilClampMin => 0x20,
        Flag::SchedFlagUtilClampMax => 0x40,
    }
}

fn mode_number(mode: Mode) -> u32 {
    match mode {
        Mode::MpolDefault => 0,
        Mode::MpolPreferred => 1,
        Mode::MpolBind => 2,
        Mode::MpolInterleave => 3,
        Mode::MpolLocal => 4,
        Mode::MpolPreferredMany => 5,
        Mode::MpolWeightedInterleave => 6,
    }
}

fn node_flag(flag: NodeFlag) -> u32 {
    match flag {
        NodeFlag::MpolFStaticNodes => 1 << 15,
        NodeFlag::MpolFRelativeNodes => 1 << 14,
        NodeFlag::MpolFNumaBalancing => 1 << 13,
    }
}
