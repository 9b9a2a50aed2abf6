//! Where it is measured: a private mount namespace with the view of cgroups that was asked for, a folder that exists only there,
//! and users that exist only there.

use crate::options::{View, Who};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

const CGROUPS: &str = "/sys/fs/cgroup";
/// No account of the machine has these.
const MANY: u32 = 64_220;
const SINGLE: u32 = 64_221;
const FIRST_SUBORDINATE: u32 = 700_000;
const SUBORDINATES: u32 = 65_536;

/// A caller of runtimes.
#[derive(Debug, Clone)]
pub struct Caller {
    pub who: Who,
    pub uid: u32,
    pub gid: u32,
    /// The first subordinate id; they are as many as a container needs.
    pub first: u32,
    pub count: u32,
    /// Whether this program has to become the caller.
    pub switch: bool,
    /// The caller's own folder: state, output, XDG_RUNTIME_DIR.
    pub folder: PathBuf,
    /// Where cgroups can be made, if anywhere.
    pub cgroups: Option<PathBuf>,
}

/// The stage; its folder and cgroup go when it is dropped.
#[derive(Debug)]
pub struct Stage {
    pub folder: PathBuf,
    pub callers: Vec<Caller>,
    cgroup: Option<PathBuf>,
    /// The cgroup that this process came from.
    home: Option<PathBuf>,
}

impl Stage {
    /// Must come before any thread is started.
    pub fn set(view: View, wanted: &[Who]) -> io::Result<Self> {
        let is_root = rustix::process::geteuid().is_root();
        // Always as long, because the length of a path is a part of what a command does.
        let folder = std::env::temp_dir().join(format!("wolffia-benchmark.{:07}", std::process::id()));
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        let mut stage = Self { folder, callers: Vec::new(), cgroup: None, home: None };
        if is_root {
            stage.privately(view)?;
        } else if view != View::AsIs {
            return Err(io::Error::other("--view changes mounts, which takes root: leave it out, or start this as root"));
        }
        nix::sys::prctl::set_child_subreaper(true)?;
        for caller in callers(is_root)? {
            if wanted.is_empty() || wanted.contains(&caller.who) {
                stage.add(caller)?;
            }
        }
        if stage.callers.is_empty() {
            return Err(io::Error::other(
                "--who names nobody whom this user can be: a user is one who has subordinate ids, or not",
            ));
        }
        Ok(stage)
    }

    fn privately(&mut self, view: View) -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        // In memory, so that no disk takes part; it goes with the namespace.
        mount("none", &self.folder, "tmpfs", MountFlags::empty(), Some(c"mode=755"))?;
        match view {
            View::AsIs => {}
            // A hybrid host's unified hierarchy then offers nothing, and a runtime takes the host for one of version 1.
            View::V1 => mount_bind("/dev/null", format!("{CGROUPS}/unified/cgroup.controllers"))?,
            View::V2 => mount("none", CGROUPS, "cgroup2", MountFlags::empty(), None)?,
        }
        self.make_accounts()?;
        self.delegate()
    }

    /// newuidmap wants its caller to have an account, and crun calls it for a single id too.
    fn make_accounts(&self) -> io::Result<()> {
        let subordinate = format!("wolffia-benchmark:{FIRST_SUBORDINATE}:{SUBORDINATES}\n");
        let account = format!("wolffia-benchmark:x:{MANY}:{MANY}::/:/bin/sh\nwolffia-single:x:{SINGLE}:{SINGLE}::/:/bin/sh\n");
        for (file, line) in [("passwd", &account), ("subuid", &subordinate), ("subgid", &subordinate)] {
            let real = Path::new("/etc").join(file);
            let Ok(text) = fs::read_to_string(&real) else { continue };
            let ours = self.folder.join(file);
            fs::write(&ours, format!("{}\n{line}", text.trim_end()))?;
            mount_bind(&ours, &real)?;
        }
        Ok(())
    }

    /// A cgroup that belongs to the users, with this program in a leaf of it, as systemd delegates one to a session.
    fn delegate(&mut self) -> io::Result<()> {
        let Some(top) = unified() else { return Ok(()) };
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        self.home = Some(top.join(own));
        let cgroup = top.join(format!("wolffia-benchmark-{:07}", std::process::id()));
        fs::create_dir(&cgroup)?;
        self.cgroup = Some(cgroup.clone());
        Ok(())
    }

    fn add(&mut self, mut caller: Caller) -> io::Result<()> {
        caller.folder = self.folder.join(caller.who.word());
        fs::create_dir(&caller.folder)?;
        if caller.switch {
            chown(&caller.folder, Some(caller.uid), Some(caller.gid))?;
        }
        if let Some(cgroup) = &self.cgroup {
            let own = cgroup.join(caller.who.word());
            fs::create_dir(&own)?;
            fs::create_dir(own.join("leaf"))?;
            for file in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "leaf", "leaf/cgroup.procs"] {
                chown(own.join(file), Some(caller.uid), Some(caller.gid))?;
            }
            caller.cgroups = Some(own);
        }
        self.callers.push(caller);
        Ok(())
    }

    /// Goes to the caller's cgroup: who makes cgroups starts from its own.
    pub fn enter(&self, caller: &Caller) -> io::Result<()> {
        match &caller.cgroups {
            Some(cgroups) if self.cgroup.is_some() => join(&cgroups.join("leaf")),
            _ => Ok(()),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let left = self.home.as_deref().map_or(Ok(()), join).and_then(|()| match &self.cgroup {
            Some(cgroup) => remove_cgroups(cgroup),
            None => Ok(()),
        });
        // The mount on the folder is seen by nobody else, and goes with the last process in the namespace.
        let unmounted = rustix::mount::unmount(&self.folder, rustix::mount::UnmountFlags::DETACH);
        let removed = fs::remove_dir_all(&self.folder);
        if let Err(error) = left.and(removed) {
            eprintln!("wolffia-benchmark: {} or its cgroup is left: {error} ({unmounted:?})", self.folder.display());
        }
    }
}

fn join(cgroup: &Path) -> io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), std::process::id().to_string())
}

fn remove_cgroups(cgroup: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroups(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

/// Where cgroup2 is mounted: a hybrid host has it one folder deeper.
fn unified() -> Option<PathBuf> {
    [CGROUPS.to_owned(), format!("{CGROUPS}/unified")]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.join("cgroup.procs").exists() && path.join("cgroup.controllers").is_file())
}

fn callers(is_root: bool) -> io::Result<Vec<Caller>> {
    let helpers = ["newuidmap", "newgidmap"].iter().all(|name| Path::new("/usr/bin").join(name).exists());
    let caller = |who, uid, gid, first, count| Caller {
        who,
        uid,
        gid,
        first,
        count,
        switch: is_root && uid != 0,
        folder: PathBuf::new(),
        cgroups: None,
    };
    if !is_root {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        return Ok(match ranges(uid)? {
            Some((first, count)) if helpers => vec![caller(Who::Many, uid, gid, first, count)],
            _ => vec![caller(Who::Single, uid, gid, 0, 0)],
        });
    }
    let mut all = vec![caller(Who::Root, 0, 0, 0, 0)];
    if helpers {
        all.push(caller(Who::Many, MANY, MANY, FIRST_SUBORDINATE, SUBORDINATES));
    } else {
        eprintln!("not measured: rootless with subordinate ids, because newuidmap (Debian: uidmap) is not in /usr/bin");
    }
    all.push(caller(Who::Single, SINGLE, SINGLE, 0, 0));
    Ok(all)
}

/// The first subordinate range of a user, if uids and gids have the same.
fn ranges(uid: u32) -> io::Result<Option<(u32, u32)>> {
    let number = uid.to_string();
    let accounts = fs::read_to_string("/etc/passwd")?;
    let account = accounts.lines().find(|line| line.split(':').nth(2) == Some(&number));
    let Some(name) = account.and_then(|line| line.split(':').next()) else { return Ok(None) };
    let range = |file: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|owner| owner == name || owner == number))?;
        let mut fields = line.split(':').skip(1).map(|field| field.trim().parse::<u32>().ok());
        Some((fields.next()??, fields.next()??.min(SUBORDINATES)))
    };
    Ok(range("/etc/subuid").filter(|range_of_uids| range("/etc/subgid").as_ref() == Some(range_of_uids)))
}
