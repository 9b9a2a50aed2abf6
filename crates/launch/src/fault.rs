//! Test builds only (feature `faults`): breaking at a named step, to see that nothing is left behind.
//!
//! `WOLFFIA_FAULT=STEP:KIND`, or `STEP#N:KIND` for the N-th act of that step in a process (a forked one counts on from its parent's
//! number). KIND is `error` (the step reports a failure after it was carried out), `kill` (the process that carried it out is killed)
//! or `kill-runtime` (the runtime is killed, whoever carried the step out).

use crate::failure::Cause;
use crate::handshake::FromInit;
use crate::stage::Trace;
use std::sync::atomic::{AtomicU32, Ordering};
use wolffia_plan::Step;
use wolffia_sys::process;

/// The variable that asks for a fault.
pub const VARIABLE: &str = "WOLFFIA_FAULT";

/// How often the step to break at was carried out.
static ACTS: AtomicU32 = AtomicU32::new(0);

/// Called after `step` was carried out.
pub fn after(step: Step, trace: &Trace<'_>) -> Result<(), Cause> {
    let Ok(wanted) = std::env::var(VARIABLE) else { return Ok(()) };
    let Some((place, kind)) = wanted.split_once(':') else { return Err(format!("{VARIABLE} is STEP[#N]:KIND").into()) };
    let (name, number) = match place.split_once('#') {
        None => (place, 1),
        Some((name, number)) => (name, number.parse().map_err(|_| Cause::from(format!("{VARIABLE}: {number} is no number")))?),
    };
    if name != step.name() || ACTS.fetch_add(1, Ordering::Relaxed) + 1 != number {
        return Ok(());
    }
    match kind {
        "error" => Err(format!("fault injected after {step}").into()),
        "kill" => die(),
        "kill-runtime" => match trace {
            Trace::Channel(channel) => {
                channel.send(&FromInit::KillRuntime)?;
                // The end of file of the killed runtime ends this process as it would any init.
                channel.receive().map(drop)
            }
            _ => die(),
        },
        other => Err(format!("{VARIABLE}: unknown kind {other}").into()),
    }
}

/// As if somebody had sent SIGKILL.
pub fn die() -> ! {
    let killed = process::kill(process::getpid(), libc::SIGKILL);
    process::exit(if killed.is_ok() { 137 } else { 138 })
}
