//! Which command is allowed when: one table, with runc's words for every refusal (runtime.md, "Operations").

use crate::{ContainerId, Status};

/// What somebody wants of a container that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Start,
    Kill,
    Delete,
    DeleteForce,
    Exec,
    ExecIgnorePaused,
    Pause,
    Resume,
    Update,
    Events,
    Checkpoint,
    Ps,
    State,
}

/// An operation that the container's status does not allow. Callers of runc match on these texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("cannot start a container that has stopped")]
    StartStopped,
    #[error("cannot start an already running container")]
    StartRunning,
    #[error("cannot start a container in the {status} state")]
    Start { status: Status },
    #[error("cannot exec in a stopped container")]
    ExecStopped,
    #[error("cannot exec in a paused container (use --ignore-paused to override)")]
    ExecPaused,
    #[error("cannot exec in a container in the {status} state")]
    Exec { status: Status },
    #[error("cannot delete container {id} that is not stopped: {status}")]
    Delete { id: ContainerId, status: Status },
    #[error("container with id {id} is not running")]
    EventsNotRunning { id: ContainerId },
    /// runc's text.
    #[error("Container cannot be checkpointed in {status} state")]
    Checkpoint { status: Status },
    #[error("container not running")]
    NotRunning,
    #[error("container not paused")]
    NotPaused,
}

/// Whether `operation` may be done to the container `id` while it is in `status`.
///
/// # Errors
/// It may not; the container stays as it is.
pub fn allowed(operation: Operation, id: &ContainerId, status: Status) -> Result<(), Forbidden> {
    use Operation as O;
    use Status::{Created, Creating, Paused, Running, Stopped};
    match (operation, status) {
        (O::Start, Created) => Ok(()),
        (O::Start, Stopped) => Err(Forbidden::StartStopped),
        (O::Start, Running) => Err(Forbidden::StartRunning),
        (O::Start, Creating | Paused) => Err(Forbidden::Start { status }),

        (O::Kill, Created | Running | Paused) => Ok(()),
        (O::Kill, Creating | Stopped) => Err(Forbidden::NotRunning),

        // Stricter than runc, which kills a created container here: runtime.md says error and no effect.
        (O::Delete, Stopped) => Ok(()),
        (O::Delete, Creating | Created | Running | Paused) => Err(Forbidden::Delete { id: id.clone(), status }),
        (O::DeleteForce, Creating | Created | Running | Paused | Stopped) => Ok(()),

        (O::Exec | O::ExecIgnorePaused, Created | Running) => Ok(()),
        (O::Exec, Paused) => Err(Forbidden::ExecPaused),
        (O::ExecIgnorePaused, Paused) => Ok(()),
        (O::Exec | O::ExecIgnorePaused, Stopped) => Err(Forbidden::ExecStopped),
        (O::Exec | O::ExecIgnorePaused, Creating) => Err(Forbidden::Exec { status }),

        (O::Pause, Created | Running) => Ok(()),
        (O::Pause, Creating | Paused | Stopped) => Err(Forbidden::NotRunning),
        (O::Resume, Paused) => Ok(()),
        (O::Resume, Creating | Created | Running | Stopped) => Err(Forbidden::NotPaused),

        (O::Update, Created | Running | Paused) => Ok(()),
        (O::Update, Creating | Stopped) => Err(Forbidden::NotRunning),
        (O::Events, Created | Running | Paused) => Ok(()),
        (O::Events, Creating | Stopped) => Err(Forbidden::EventsNotRunning { id: id.clone() }),

        (O::Checkpoint, Running | Paused) => Ok(()),
        (O::Checkpoint, Creating | Created | Stopped) => Err(Forbidden::Checkpoint { status }),

        (O::Ps | O::State, Creating | Created | Running | Paused | Stopped) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row per operation; columns in the order of [`Status::ALL`]; an empty cell is allowed.
    const TABLE: [(Operation, [&str; 5]); 13] = [
        (
            Operation::Start,
            [
                "cannot start a container in the creating state",
                "",
                "cannot start an already running container",
                "cannot start a container in the paused state",
                "cannot start a container that has stopped",
            ],
        ),
        (Operation::Kill, ["container not running", "", "", "", "container not running"]),
        (
            Operation::Delete,
            [
                "cannot delete container c1 that is not stopped: creating",
                "cannot delete container c1 that is not stopped: created",
                "cannot delete container c1 that is not stopped: running",
                "cannot delete container c1 that is not stopped: paused",
                "",
            ],
        ),
        (Operation::DeleteForce, ["", "", "", "", ""]),
        (
            Operation::Exec,
            [
                "cannot exec in a container in the creating state",
                "",
                "",
                "cannot exec in a paused container (use --ignore-paused to override)",
                "cannot exec in a stopped container",
            ],
        ),
        (
            Operation::ExecIgnorePaused,
            ["cannot exec in a container in the creating state", "", "", "", "cannot exec in a stopped container"],
        ),
        (Operation::Pause, ["container not running", "", "", "container not running", "container not running"]),
        (Operation::Resume, ["container not paused", "container not paused", "container not paused", "", "container not paused"]),
        (Operation::Update, ["container not running", "", "", "", "container not running"]),
        (Operation::Events, ["container with id c1 is not running", "", "", "", "container with id c1 is not running"]),
        (
            Operation::Checkpoint,
            [
                "Container cannot be checkpointed in creating state",
                "Container cannot be checkpointed in created state",
                "",
                "",
                "Container cannot be checkpointed in stopped state",
            ],
        ),
        (Operation::Ps, ["", "", "", "", ""]),
        (Operation::State, ["", "", "", "", ""]),
    ];

    #[test]
    fn every_operation_in_every_status() {
        let id = ContainerId::parse("c1").unwrap();
        for (operation, row) in TABLE {
            for (status, expected) in Status::ALL.into_iter().zip(row) {
                let answer = allowed(operation, &id, status).map_or_else(|refused| refused.to_string(), |()| String::new());
                assert_eq!(answer, expected, "{operation:?} of a container that is {status}");
            }
        }
    }
}
