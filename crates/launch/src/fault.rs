//! Test builds only (feature `faults`): breaking at a named step, to see that nothing is left behind.
//!
//! `WOLFFIA_FAULT=STEP:KIND`, where KIND is `error` (the step reports a failure after it was carried out), `kill` (the process that
//! carried it out is killed) or `kill-runtime` (the runtime is killed, whoever carried the step out).

use crate::failure::Cause;
use crate::handshake::FromInit;
use crate::stage::Trace;
use wolffia_plan::Step;
use wolffia_sys::process;

/// The variable that asks for a fault.
pub const VARIABLE: &str = "WOLFFIA_FAULT";

/// Called after `step` was carried out.
pub fn after(step: Step, trace: &Trace<'_>) -> Result<(), Cause> {
    let Ok(wanted) = std::env::var(VARIABLE) else { return Ok(()) };
    let Some((name, kind)) = wanted.split_once(':') else { return Err(format!("{VARIABLE} is STEP:KIND").into()) };
    if name != step.name() {
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
