//! The filter of system calls: loaded at the moment that the plan has chosen, its listener handed to the agent.

use crate::failure::{Cause, Failure};
use crate::handshake::{FromInit, InitSide};
use crate::hooks::HookState;
use crate::stage::Stage;
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};
use wolffia_plan::{Process, SeccompFilter, SeccompInstruction, SeccompListener, SeccompMoment};
use wolffia_sys::Pid;
use wolffia_sys::seccomp::{Filter, Instruction};
use wolffia_sys::socket::{self, Kind};

/// Loads the process's filter if `moment` is when. A listener is with the agent when this returns.
pub fn load(stage: &Stage<'_>, channel: &InitSide, payload: &Process, moment: SeccompMoment) -> Result<(), Failure> {
    let Some(seccomp) = payload.seccomp.as_ref().filter(|seccomp| seccomp.moment == moment) else { return Ok(()) };
    stage.act(
        moment.step(),
        || words(&seccomp.filter),
        || -> Result<(), Cause> {
            let Some(listener) = filter(&seccomp.filter)?.load()? else { return Ok(()) };
            channel.send(&FromInit::SeccompListener(listener))?;
            channel.expect("ListenerTaken").map(drop)
        },
    )
}

/// The filter that is loaded when nothing is left but execve, ready for it.
pub fn last(stage: &Stage<'_>, payload: &Process) -> Result<Option<Filter>, Failure> {
    let moment = SeccompMoment::BeforeExec;
    let Some(seccomp) = payload.seccomp.as_ref().filter(|seccomp| seccomp.moment == moment) else { return Ok(None) };
    stage.act(moment.step(), || words(&seccomp.filter), || filter(&seccomp.filter)).map(Some)
}

fn filter(planned: &SeccompFilter) -> wolffia_sys::Result<Filter> {
    let instruction = |&SeccompInstruction { code, jt, jf, k }: &SeccompInstruction| Instruction { code, jt, jf, k };
    Filter::new(planned.program.0.iter().map(instruction).collect(), planned.flags)
}

fn words(filter: &SeccompFilter) -> String {
    format!("{} instructions, flags {:#x}", filter.program.0.len(), filter.flags)
}

/// What the agent is told (runtime.md, "Container Process State").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a HookState,
}

/// Hands the listener of the process `pid` to its agent: one connection, one message.
pub fn inform_agent(agent: &SeccompListener, listener: OwnedFd, pid: Pid, state: &HookState) -> Result<(), Cause> {
    let told = ContainerProcessState {
        oci_version: &state.oci_version,
        fds: ["seccompFd"],
        pid: pid.get(),
        metadata: agent.metadata.as_deref(),
        state,
    };
    let text = serde_json::to_vec(&told).map_err(|error| Cause::from(error.to_string()))?;
    // runc's words, which callers match.
    let agent = socket::connect_path(agent.path.as_path(), Kind::Stream)
        .map_err(|error| Cause::from(error).context("failed to connect with seccomp agent specified in the seccomp profile"))?;
    socket::send(agent.as_fd(), &text, &[listener.as_fd()])
        .map_err(|error| Cause::from(error).context("cannot send the seccomp state to the agent"))
}
