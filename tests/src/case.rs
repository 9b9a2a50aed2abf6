//! A scenario from inside: the identity, its directories, and the runtime under test.

use crate::bundle::Bundle;
use crate::call::{Call, Outcome, Process};
use crate::identity::{Identity, own_ranges};
use crate::leftovers::Leftovers;
use crate::processes;
use crate::rootfs::Rootfs;
use crate::scenario::SKIPPED;
use crate::scratch;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One run of a scenario.
#[derive(Debug)]
pub struct Case {
    pub identity: Identity,
    scratch: PathBuf,
    count: Cell<u32>,
    ids: RefCell<Vec<String>>,
}

impl Case {
    /// Runs `body` and asserts that it leaves nothing behind. Does not return if it was skipped.
    pub(crate) fn conduct(identity: Identity, scratch: PathBuf, body: impl FnOnce(&Case)) {
        processes::adopt_orphans();
        for (name, mode) in [("calls", 0o755), ("run", 0o700)] {
            scratch::make(&scratch.join(name), mode);
        }
        let before = Leftovers::before();
        let case = Case { identity, scratch, count: Cell::new(0), ids: RefCell::default() };
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&case)));
        for id in case.ids.borrow().iter() {
            let deleted = case.wolffia().args(["delete", "--force", id]).run();
            assert!(deleted.status.success() || outcome.is_err(), "{deleted}");
        }
        let left = before.since(&case.scratch, &case.root(), &case.ids.borrow());
        if !left.is_empty() {
            processes::kill_descendants(std::process::id().cast_signed());
        }
        match outcome {
            Err(panic) => resume_unwind(panic),
            Ok(()) => assert!(left.is_empty(), "left behind:\n{}", left.join("\n")),
        }
    }

    /// Ends this run as skipped.
    pub fn skip(&self, reason: &str) -> ! {
        println!("skipped: {reason}");
        std::process::exit(SKIPPED)
    }

    /// A directory that is empty at first and removed with the scenario.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.scratch.join(name);
        scratch::make(&path, 0o755);
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// The directory of the runtime's state.
    pub fn root(&self) -> PathBuf {
        self.scratch.join("run/wolffia")
    }

    /// An id for a container, which is deleted with force at the end.
    pub fn id(&self) -> String {
        let id = format!("wt{}-{}", std::process::id(), self.next());
        self.ids.borrow_mut().push(id.clone());
        id
    }

    /// Uid and gid of this process.
    pub fn own_id(&self) -> u32 {
        self.identity.id()
    }

    /// The binary under test.
    pub fn binary(&self) -> PathBuf {
        PathBuf::from(std::env::var_os("WOLFFIA_BIN").unwrap())
    }

    /// A call of the runtime, with this scenario's directory of containers.
    pub fn wolffia(&self) -> Call {
        self.program(self.binary()).arg("--root").arg(self.root())
    }

    /// A call of some program, in the scenario's environment.
    pub fn program(&self, program: impl AsRef<Path>) -> Call {
        let call = Call::new(program.as_ref(), self.scratch.join(format!("calls/{}", self.next())));
        call.env("XDG_RUNTIME_DIR", self.scratch.join("run")).env("HOME", &self.scratch).in_directory(&self.scratch)
    }

    /// A bundle with the configuration that `spec` writes, without a terminal.
    pub fn bundle(&self, rootfs: Rootfs) -> Bundle {
        let directory = self.scratch.join(format!("bundle{}", self.next()));
        scratch::make(&directory, 0o755);
        rootfs.make(self, &directory.join("rootfs"));
        let rootless: &[&str] = if self.identity.is_root() { &[] } else { &["--rootless"] };
        self.wolffia().arg("spec").arg("--bundle").arg(&directory).args(rootless).run().succeeds();
        let bundle = Bundle::new(directory);
        bundle.edit(|config| {
            config["process"]["terminal"] = json!(false);
            if let Some((uids, gids)) = self.mappings() {
                config["linux"]["uidMappings"] = uids;
                config["linux"]["gidMappings"] = gids;
            }
        });
        bundle
    }

    /// A busybox bundle that runs this script.
    pub fn shell(&self, script: &str) -> Bundle {
        let bundle = self.bundle(Rootfs::Busybox);
        bundle.args(&["sh", "-c", script]);
        bundle
    }

    /// `wolffia run` of the bundle, as it was edited, with a new id.
    pub fn run(&self, bundle: &Bundle) -> Outcome {
        self.call_on("run", bundle, &self.id()).run()
    }

    /// Runs this script in a busybox root file system with the configuration changed by `edit`.
    pub fn run_shell(&self, script: &str, edit: impl FnOnce(&mut Value)) -> Outcome {
        let bundle = self.shell(script);
        bundle.edit(edit);
        self.run(&bundle)
    }

    /// A container of `bundle` that runs detached; its id.
    pub fn started(&self, bundle: &Bundle) -> String {
        let id = self.id();
        self.call_on("run", bundle, &id).arg("--detach").run().succeeds();
        id
    }

    /// `wolffia SUBCOMMAND --bundle BUNDLE ID`.
    pub fn call_on(&self, subcommand: &str, bundle: &Bundle, id: &str) -> Call {
        self.wolffia().arg(subcommand).arg("--bundle").arg(bundle.path()).arg(id)
    }

    /// `wolffia run` in the foreground, while the test goes on.
    pub fn running(&self, bundle: &Bundle) -> (String, Process) {
        let id = self.id();
        let process = self.call_on("run", bundle, &id).spawn();
        (id, process)
    }

    /// The document of `wolffia state`.
    pub fn state(&self, id: &str) -> Value {
        let text = self.wolffia().args(["state", id]).run().succeeds();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Waits until `state` says this status.
    #[track_caller]
    pub fn wait_for_status(&self, id: &str, status: &str) {
        let reached = processes::wait_until(Duration::from_secs(10), || {
            let outcome = self.wolffia().args(["state", id]).run();
            outcome.status.success() && outcome.stdout.contains(&format!("\"status\": \"{status}\""))
        });
        assert!(reached, "not {status}: {}", self.wolffia().args(["state", id]).run());
    }

    /// Waits until the file is there and not empty; its text.
    #[track_caller]
    pub fn wait_for_file(&self, path: &Path) -> String {
        let read = || std::fs::read_to_string(path).unwrap_or_default();
        assert!(processes::wait_until(Duration::from_secs(10), || !read().is_empty()), "{} does not appear", path.display());
        read()
    }

    /// Whether the process's user has ranges, also where the scenario makes no use of them.
    pub fn has_subordinate_ids(&self) -> bool {
        own_ranges().is_some() && Identity::User { subordinate: true }.obstacle().is_none()
    }

    /// Lines of uid and gid maps for a user who has more than one id.
    pub fn mappings(&self) -> Option<(Value, Value)> {
        if self.identity != (Identity::User { subordinate: true }) {
            return None;
        }
        let (uid, gid) = own_ranges()?;
        let own = self.own_id();
        let map = |first: u32| {
            json!([
                { "containerID": 0, "hostID": own, "size": 1 },
                { "containerID": 1, "hostID": first, "size": 65_535 },
            ])
        };
        Some((map(uid), map(gid)))
    }

    fn next(&self) -> u32 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }
}
