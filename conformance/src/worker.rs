//! One case in a process of its own: what hangs or is left behind there ends with it.

use crate::bench::{Bench, ids_of};
use crate::case::{Case, Stop};
use crate::cases;
use crate::identity::Identity;
use crate::options::Options;
use crate::processes::{become_subreaper, end_descendants};
use crate::report::Outcome;
use crate::runtime::Runtime;
use crate::view::{Delegated, remove_cgroups_named};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Pid;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The folder of the case that a worker judges; the runner removes it when the worker could not.
pub fn folder_of(worker: Pid) -> PathBuf {
    std::env::temp_dir().join(format!("wolffia-conformance.{}", worker.as_raw_nonzero()))
}

/// Judges one case and prints its outcome as one JSON line.
pub fn judge(options: &Options, name: &str) -> io::Result<()> {
    become_subreaper()?;
    let case = cases::all().into_iter().find(|case| case.name == name).ok_or_else(|| io::Error::other("no such case"))?;
    let folder = folder_of(rustix::process::getpid());
    let outcome = judge_in(options, &case, &folder);
    end_descendants(&[])?;
    remove_cgroups_named(&ids_of(std::process::id()))?;
    unmount_below(&folder)?;
    fs::remove_dir_all(&folder)?;
    println!("{}", outcome?.to_json());
    Ok(())
}

fn judge_in(options: &Options, case: &Case, folder: &Path) -> io::Result<Outcome> {
    let bench = prepare(options, folder)?;
    let verdict = (case.judge)(&bench);
    // What a case leaves is deleted here; whether the runtime deletes rightly is judged by cases of its own.
    if let Err(Stop::Fail(why)) = bench.runtime.delete_all() {
        eprintln!("{}: {why}", case.name);
    }
    Ok(Outcome::of(verdict))
}

/// Cases mount in a namespace of their own, which would end with this process; the folder has to go before.
fn unmount_below(folder: &Path) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| Path::new(point).starts_with(folder));
    for point in points.collect::<Vec<_>>().into_iter().rev() {
        unmount(point, UnmountFlags::DETACH)?;
    }
    Ok(())
}

fn prepare(options: &Options, folder: &Path) -> io::Result<Bench> {
    let who = Identity::resolve(options.as_user)?;
    fs::create_dir(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    if who.switch {
        std::os::unix::fs::chown(folder, Some(who.uid), Some(who.gid))?;
    }
    let payload = folder.join("payload");
    fs::copy(payload_of(options)?, &payload)?;
    fs::set_permissions(&payload, Permissions::from_mode(0o755))?;
    let name = options.runtime.as_deref().unwrap_or_default();
    let runtime = Runtime::new(name, &options.runtime_arg, who.clone(), folder)?;
    let has_cgroup = who.is_root() || Delegated::fits(options.view, &who);
    Ok(Bench::new(runtime, who, has_cgroup, folder.to_owned(), payload))
}

/// Deletes what a worker that had to be killed has left: containers by their runtime, then its folder.
pub fn clean_up_after(options: &Options, worker: Pid) -> io::Result<()> {
    let folder = folder_of(worker);
    let who = Identity::resolve(options.as_user)?;
    let name = options.runtime.as_deref().unwrap_or_default();
    if let Err(Stop::Fail(why)) = Runtime::new(name, &options.runtime_arg, who, &folder)?.delete_all() {
        eprintln!("{}: {why}", folder.display());
    }
    remove_cgroups_named(&ids_of(worker.as_raw_nonzero().get().unsigned_abs()))?;
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The payload binary: named by the caller, or beside this program.
pub fn payload_of(options: &Options) -> io::Result<PathBuf> {
    let path = match &options.payload {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("wolffia-payload"),
    };
    match fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(error) => {
            Err(io::Error::other(format!("the payload {}: {error}; build it or name it with --payload", path.display())))
        }
    }
}
