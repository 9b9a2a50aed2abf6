//! Looking at restored processes while CRIU holds them: the facts for the comparison with the plan.

use crate::checkpoint::{mounts_of, system};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use wolffia_launch::restage;
use wolffia_plan::{
    Capabilities, ContainerPath, NamespaceKind, OutsideNamespaces, Plan, Refusal, RestoredTask, SeenMount, SeenPath,
    judge_mounts, judge_paths, judge_tasks,
};
use wolffia_sys::fd::{self, FileKind, OFlags};
use wolffia_sys::root::Root;
use wolffia_sys::{Errno, Pid, mount, process};

/// Compares the processes of the restored container with its plan. `criu` still has what it was given mounted below `stage`.
///
/// # Errors
/// The first difference that gives the container more than the plan.
pub(crate) fn compare(plan: &Plan, init: Pid, criu: Pid, stage: &Path) -> Result<()> {
    let tasks = tasks_of(init)?;
    let outside = OutsideNamespaces { own: namespaces("self")?, joined: joined(plan)? };
    judge_tasks(plan, &outside, &tasks)?;
    let hosts = mounts_of(process::getpid().get())?;
    let given = given(plan, criu, stage)?;
    let mut looked_at: Vec<u64> = Vec::new();
    for task in &tasks {
        let namespace = task.namespaces.get(&NamespaceKind::Mount).copied().unwrap_or_default();
        if !looked_at.contains(&namespace) {
            looked_at.push(namespace);
            judge_mounts(&given, &hosts, &mounts_of(task.pid)?)?;
        }
    }
    let path = format!("/proc/{init}/root");
    let root = fd::open(&path, OFlags::PATH | OFlags::DIRECTORY, 0).map_err(system("open the restored root"))?;
    let root = Root::from(root);
    Ok(judge_paths(plan, &|path| look(&root, path))?)
}

/// Sends SIGKILL to every process of the container, each by itself: they are stopped, so none can hide or end meanwhile. Then to
/// CRIU, which would wait for the first of them to be gone, as that waits for CRIU to let go of the others.
pub(crate) fn kill_stopped(init: Pid, criu: Pid) -> Result<()> {
    for pid in crate::processes::of_pid_namespace(init.get())?.into_iter().chain([criu]) {
        match process::kill(pid, libc::SIGKILL) {
            Err(error) if !error.is(Errno::ESRCH) => return Err(system("kill a restored process")(error)),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a process is in another time namespace than this one.
pub(crate) fn has_own_clocks(pid: Pid) -> Result<bool> {
    let kind = &NamespaceKind::Time;
    Ok(namespaces(&pid.to_string())?.get(kind) != namespaces("self")?.get(kind))
}

/// The cgroup of a process in each hierarchy, by controllers.
pub(crate) fn cgroups_of(pid: Pid) -> Result<Vec<(String, String)>> {
    let text = read(format!("/proc/{pid}/cgroup"))?;
    let fields = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        Some((controllers.to_owned(), path.to_owned()))
    };
    Ok(text.lines().filter_map(fields).collect())
}

/// What is below the stage, with the root as the plan has it in the end.
fn given(plan: &Plan, criu: Pid, stage: &Path) -> Result<Vec<SeenMount>> {
    let (below, root) = (format!("{}/", stage.display()), restage::root_of(stage).display().to_string());
    let mut given = mounts_of(criu.get())?;
    given.retain(|mount| mount.point.starts_with(&below));
    for mount in given.iter_mut().filter(|mount| mount.point == root) {
        mount.readonly |= plan.root.readonly;
    }
    // Only there for the others' sake: the root without the plan's word on writing.
    given.retain(|mount| mount.point != format!("{below}whole"));
    Ok(given)
}

fn tasks_of(init: Pid) -> Result<Vec<RestoredTask>> {
    let mut tasks = Vec::new();
    for process in crate::processes::of_pid_namespace(init.get())? {
        let directory = PathBuf::from(format!("/proc/{process}/task"));
        let failed = |source| Error::File { act: "list", path: directory.clone(), source };
        // Each thread has rights of its own.
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            tasks.push(task(pid)?);
        }
    }
    Ok(tasks)
}

fn task(pid: i32) -> Result<RestoredTask> {
    let path = format!("/proc/{pid}/status");
    let text = read(path.clone())?;
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let malformed = |key: &str| Error::Usage { reason: format!("{path} has no {key}"), cure: "" };
    let set = |key: &str| line(key).and_then(|word| u64::from_str_radix(word, 16).ok()).ok_or_else(|| malformed(key));
    Ok(RestoredTask {
        pid,
        capabilities: Capabilities {
            bounding: set("CapBnd")?,
            effective: set("CapEff")?,
            inheritable: set("CapInh")?,
            permitted: set("CapPrm")?,
            ambient: set("CapAmb")?,
        },
        no_new_privileges: line("NoNewPrivs") == Some("1"),
        filtered: line("Seccomp") == Some("2"),
        namespaces: namespaces(&pid.to_string())?,
        label: fs::read_to_string(format!("/proc/{pid}/attr/current"))
            .ok()
            .map(|label| label.trim_end_matches(['\0', '\n']).to_owned()),
    })
}

fn namespaces(process: &str) -> Result<BTreeMap<NamespaceKind, u64>> {
    let inode = |kind: NamespaceKind| match fd::path_stat(format!("/proc/{process}/ns/{}", kind.file_name())) {
        Ok(stat) => Some(Ok((kind, stat.ino))),
        // A kind that this kernel does not have.
        Err(error) if error.is(Errno::ENOENT) => None,
        Err(source) => Some(Err(system("look at a namespace")(source))),
    };
    NamespaceKind::ALL.into_iter().filter_map(inode).collect()
}

fn joined(plan: &Plan) -> Result<BTreeMap<NamespaceKind, u64>> {
    let inode = |path: &Path| fd::path_stat(path).map(|stat| stat.ino).map_err(system("look at a namespace"));
    plan.namespaces.join.iter().map(|join| Ok((join.kind, inode(join.path.as_path())?))).collect()
}

fn look(root: &Root, path: &ContainerPath) -> std::result::Result<Option<SeenPath>, Refusal> {
    let unseen = |error: wolffia_sys::Error| Refusal::new("", format!("{path} of the restored container: {error}"), "");
    let place = match root.resolve(path.relative(), OFlags::empty()) {
        Err(error) if error.is(Errno::ENOENT) || error.is(Errno::ENOTDIR) => return Ok(None),
        other => other.map_err(unseen)?,
    };
    let stat = fd::stat(&place).map_err(unseen)?;
    let is_cover = match stat.kind {
        FileKind::Directory => {
            let directory = fd::openat(&place, ".", OFlags::RDONLY | OFlags::DIRECTORY, 0).map_err(unseen)?;
            fd::read_dir_names(directory).map_err(unseen)?.is_empty()
        }
        kind => kind == FileKind::Char && stat.rdev == (1, 3),
    };
    let attributes = mount::attributes(&place).map_err(unseen)?;
    Ok(Some(SeenPath { path: path.clone(), attributes, is_mount_root: stat.is_mount_root, is_cover }))
}

fn read(path: String) -> Result<String> {
    fs::read_to_string(&path).map_err(|source| Error::File { act: "read", path: path.into(), source })
}
