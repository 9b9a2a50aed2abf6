//! Limits and priorities of the container's process: set by init on itself, or by the runtime on init (the plan says).

use crate::failure::Failure;
use crate::stage::Stage;
use wolffia_plan::{Process, Step};
use wolffia_sys::{Pid, sched};

/// `pid` is `None` for the calling process.
pub fn apply(stage: &Stage<'_>, process: &Process, pid: Option<Pid>) -> Result<(), Failure> {
    stage.act(
        Step::CpuAffinity,
        || format!("{:?}", process.cpu_affinity.initial),
        || pin(pid, process.cpu_affinity.initial.as_ref()),
    )?;
    if let Some(scheduler) = &process.scheduler {
        let attributes = sched::SchedAttr {
            policy: scheduler.policy,
            flags: scheduler.flags,
            nice: scheduler.nice,
            priority: scheduler.priority,
            runtime: scheduler.runtime,
            deadline: scheduler.deadline,
            period: scheduler.period,
        };
        stage.act(Step::Scheduler, || format!("{scheduler:?}"), || sched::sched_setattr(pid, &attributes))?;
    }
    if let Some(value) = process.io_priority {
        stage.act(Step::IoPriority, || format!("{value:#x}"), || sched::ioprio_set(pid, value))?;
    }
    for limit in &process.rlimits {
        stage.act(
            Step::Rlimits,
            || format!("resource {} soft {} hard {}", limit.resource, limit.soft, limit.hard),
            || sched::prlimit(pid, limit.resource, limit.soft, limit.hard),
        )?;
    }
    Ok(())
}

/// `execCPUAffinity.final`: last, because from here on the payload runs.
pub fn settle(stage: &Stage<'_>, process: &Process) -> Result<(), Failure> {
    let affinity = &process.cpu_affinity;
    if affinity.initial == affinity.last {
        return Ok(());
    }
    stage.act(Step::CpuAffinity, || format!("{:?}", affinity.last), || pin(None, affinity.last.as_ref()))
}

fn pin(pid: Option<Pid>, cpus: Option<&Vec<usize>>) -> wolffia_sys::Result<()> {
    match cpus {
        Some(cpus) => sched::set_affinity(pid, cpus),
        None => sched::reset_affinity(pid),
    }
}
