//! How a process carries out a named step: it traces it, lets the fault tests break it, and gives its error the step's name.

use crate::failure::{Cause, Failure};
use crate::handshake::{FromInit, InitSide};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use wolffia_plan::Step;

/// One carried-out step, for `--debug`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceLine {
    pub step: Step,
    pub object: String,
    pub microseconds: u64,
}

/// Where trace lines go.
pub enum Trace<'a> {
    Off,
    /// The runtime's own log.
    Log(&'a dyn Fn(TraceLine)),
    /// From init to the runtime, which logs them.
    Channel(&'a InitSide),
}

impl std::fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Trace::Off => "Off",
            Trace::Log(_) => "Log",
            Trace::Channel(_) => "Channel",
        })
    }
}

/// The steps of one process.
#[derive(Debug)]
pub struct Stage<'a> {
    pub trace: Trace<'a>,
}

impl Stage<'_> {
    /// Carries out one step. `object` is only built for a trace or an error.
    pub fn act<T, E: Into<Cause>>(
        &self,
        step: Step,
        object: impl Fn() -> String,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure> {
        self.act_where(step, object, |_| true, work)
    }

    /// The same for work that returns in two processes: only the one where `here` holds tells of it.
    pub fn act_where<T, E: Into<Cause>>(
        &self,
        step: Step,
        object: impl Fn() -> String,
        here: impl FnOnce(&T) -> bool,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure> {
        let begun = match self.trace {
            Trace::Off => None,
            _ => Some(Instant::now()),
        };
        let done = work().map_err(|error| Failure::new(step, object(), error))?;
        if !here(&done) {
            return Ok(done);
        }
        if let Some(begun) = begun {
            self.report(TraceLine { step, object: object(), microseconds: begun.elapsed().as_micros() as u64 })?;
        }
        #[cfg(feature = "faults")]
        crate::fault::after(step, &self.trace).map_err(|cause| Failure::new(step, object(), cause))?;
        Ok(done)
    }

    fn report(&self, line: TraceLine) -> Result<(), Failure> {
        match self.trace {
            Trace::Off => Ok(()),
            Trace::Log(log) => {
                log(line);
                Ok(())
            }
            Trace::Channel(channel) => {
                let step = line.step;
                channel.send(&FromInit::Trace(line)).map_err(|error| Failure::new(step, "trace", error))
            }
        }
    }
}
