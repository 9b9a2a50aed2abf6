//! What security modules call the program: written to the calling thread's own files of /proc, through a handle that nothing in the
//! container can redirect (CVE-2019-16884, CVE-2023-28642).

use crate::failure::{Cause, Failure};
use crate::stage::Stage;
use wolffia_plan::{Labels, Step};
use wolffia_sys::Errno;
use wolffia_sys::procfs::ProcHandle;

/// Names profile and label of the next program that this thread executes.
pub fn name_program(stage: &Stage<'_>, proc: &ProcHandle, labels: &Labels) -> Result<(), Failure> {
    if let Some(profile) = &labels.apparmor {
        stage.act(Step::Apparmor, || profile.clone(), || set_apparmor(proc, profile))?;
    }
    if let Some(label) = &labels.selinux {
        stage.act(Step::Selinux, || label.clone(), || write(proc, "attr/exec", label))?;
    }
    Ok(())
}

/// Makes a key while new ones get the label of the program, as runc does, so that the program may use it.
pub fn with_key_label<T>(proc: &ProcHandle, labels: &Labels, make: impl FnOnce() -> Result<T, Cause>) -> Result<T, Cause> {
    const FILE: &str = "attr/keycreate";
    let Some(label) = &labels.selinux else { return make() };
    write(proc, FILE, label)?;
    let made = make();
    // A lone line break takes it back.
    write(proc, FILE, "\n")?;
    made
}

/// The file of AppArmor's own is there since 5.8; before, all modules shared one.
fn set_apparmor(proc: &ProcHandle, profile: &str) -> Result<(), Cause> {
    let command = format!("exec {profile}");
    let written = match write(proc, "attr/apparmor/exec", &command) {
        Err(cause) if cause.errno == Errno::ENOENT.0 => write(proc, "attr/exec", &command),
        other => other,
    };
    // runc's words, which its callers match.
    written.map_err(|cause| cause.context("unable to apply apparmor profile"))
}

fn write(proc: &ProcHandle, file: &str, text: &str) -> Result<(), Cause> {
    let path = proc.self_path(file)?;
    Ok(proc.write(&path, text.as_bytes())?)
}
