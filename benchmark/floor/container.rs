//! The commands of a runtime. All take the same words, so that the benchmark has to know one order only.

use crate::confine::confine;
use crate::kernel::{
    CLOEXEC, Child, DIRECTORY, Fd, HERE, Number, READ_WRITE, WRITE, Words, attach_device_program, become_user, clear_groups,
    clone, execute, exit, join_namespaces, join_new_keyring, make_directory, make_node, new_session, open, open_process, pipe,
    propagate, raise_loopback, read, remove, signal, wait, write,
};
use crate::mounts::Detached;
use core::ffi::CStr;

/// Mount, UTS, IPC, pid and network namespaces.
const NAMESPACES: u64 = 0x2_0000 | 0x400_0000 | 0x800_0000 | 0x2000_0000 | 0x4000_0000;
const USER_NAMESPACE: u64 = 0x1000_0000;
const SLAVE: usize = 0x8_0000;

/// Whose container it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Root,
    /// A user with subordinate ids, by newuidmap and newgidmap.
    Many,
    /// A user with one id.
    Single,
}

struct Setup {
    who: Who,
    with_filter: bool,
    rootfs: &'static CStr,
    /// Where the container's state and its cgroup are, and its name in both; no cgroup where its directory is the empty word.
    state: &'static CStr,
    cgroups: &'static CStr,
    name: &'static CStr,
    /// The user's own id, the first of the subordinate ids and their number.
    ids: [&'static CStr; 3],
    /// What the container runs, a word for it.
    payload: &'static CStr,
}

impl Setup {
    fn take(words: &mut Words) -> Self {
        Self {
            who: match words.take().to_bytes() {
                b"root" => Who::Root,
                b"many" => Who::Many,
                _ => Who::Single,
            },
            with_filter: words.take().to_bytes() == b"filter",
            rootfs: words.take(),
            state: words.take(),
            cgroups: words.take(),
            name: words.take(),
            ids: [words.take(), words.take(), words.take()],
            payload: words.take(),
        }
    }

    /// Of the container. A single id is mapped without leave to set groups.
    fn become_root(&self) {
        if self.who != Who::Single {
            clear_groups();
        }
        become_user(0, 0);
    }

    fn namespaces(&self) -> u64 {
        if self.who == Who::Root { NAMESPACES } else { NAMESPACES | USER_NAMESPACE }
    }

    fn all_cgroups(&self) -> Option<Fd> {
        (!self.cgroups.is_empty()).then(|| open(HERE, self.cgroups, DIRECTORY))
    }

    fn make_cgroup(&self) -> Option<Fd> {
        let all = self.all_cgroups()?;
        make_directory(all, self.name, 0o755);
        let own = open(all, self.name, DIRECTORY);
        if self.who == Who::Root {
            attach_device_program(&DEVICE_RULES, own);
        }
        Some(own)
    }

    fn remove_cgroup(&self) {
        if let Some(all) = self.all_cgroups() {
            remove(all, self.name, true);
        }
    }

    fn state_directory(&self) -> Fd {
        open(open(HERE, self.state, DIRECTORY), self.name, DIRECTORY)
    }

    /// The process id that `create` has written.
    fn process(&self) -> Fd {
        let mut digits = [0; 24];
        let length = read(open(self.state_directory(), c"pid", 0), &mut digits);
        let number =
            digits.iter().take(length).fold(0, |number: usize, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')));
        open_process(number)
    }
}

/// The pipe by which init learns that its ids exist, where they have to be written.
type Mapped = (Fd, Fd);

fn launch(setup: &Setup, before_payload: impl FnOnce()) -> Child {
    let cgroup = setup.make_cgroup();
    let mapped = (setup.who != Who::Root).then(pipe);
    let Some(child) = clone(setup.namespaces(), cgroup) else {
        become_container(setup, mapped);
        before_payload();
        execute(c"/true", &arguments([c"/true", setup.payload]))
    };
    if let Some((_, to)) = mapped {
        map_ids(setup, child);
        write(to, b"m");
    }
    child
}

fn become_container(setup: &Setup, mapped: Option<Mapped>) {
    new_session();
    join_new_keyring();
    crate::kernel::clear_umask();
    raise_loopback();
    propagate(SLAVE);
    let cgroup = setup.all_cgroups().map(|all| (all, setup.name));
    let files = Detached::make(setup.rootfs, cgroup, setup.who != Who::Root);
    if let Some((from, _)) = mapped {
        read(from, &mut [0]);
        setup.become_root();
    }
    files.attach(setup.rootfs, (setup.who != Who::Single).then_some(c"5"));
    confine(setup.with_filter, || setup.become_root());
}

fn map_ids(setup: &Setup, child: Child) {
    let pid = Number::new(child.pid);
    let [own, first, count] = setup.ids;
    if setup.who == Who::Many {
        let words = arguments([c"newidmap", pid.text(), c"0", own, c"1", c"1", first, count]);
        // Side by side: each is a program of its own with nothing to wait for.
        let helpers = [c"/usr/bin/newuidmap", c"/usr/bin/newgidmap"]
            .map(|helper| clone(0, None).unwrap_or_else(|| execute(helper, &words)));
        for helper in helpers {
            let (status, _) = wait(helper);
            if status != 0 {
                crate::fail("newuidmap or newgidmap", status);
            }
        }
        return;
    }
    let process = open(open(HERE, c"/proc", DIRECTORY), pid.text(), DIRECTORY);
    write(open(process, c"setgroups", WRITE), b"deny");
    for file in [c"uid_map", c"gid_map"] {
        let mut line = [b' '; 24];
        let map = b"0 ".iter().chain(own.to_bytes()).chain(b" 1");
        line.iter_mut().zip(map).for_each(|(place, byte)| *place = *byte);
        write(open(process, file, WRITE), &line);
    }
}

fn arguments<const COUNT: usize>(words: [&CStr; COUNT]) -> [Option<&CStr>; 12] {
    let mut all = [None; 12];
    all.iter_mut().zip(words).take(11).for_each(|(place, word)| *place = Some(word));
    all
}

pub fn run(mut words: Words) -> ! {
    let setup = Setup::take(&mut words);
    let (status, _) = wait(launch(&setup, || {}));
    setup.remove_cgroup();
    exit(status)
}

pub fn create(mut words: Words) -> ! {
    const FIFO: usize = 0o10_600;
    let setup = Setup::take(&mut words);
    let all = open(HERE, setup.state, DIRECTORY);
    make_directory(all, setup.name, 0o700);
    let state = open(all, setup.name, DIRECTORY);
    make_node(state, c"start", FIFO, (0, 0));
    let start = open(state, c"start", READ_WRITE);
    let (ready, say_ready) = pipe();
    let child = launch(&setup, || {
        write(say_ready, b"r");
        read(start, &mut [0]);
    });
    read(ready, &mut [0]);
    const CREATE: usize = 0o100;
    write(open(state, c"pid", WRITE | CREATE), Number::new(child.pid).text().to_bytes());
    exit(0)
}

pub fn start(mut words: Words) -> ! {
    let setup = Setup::take(&mut words);
    write(open(setup.state_directory(), c"start", WRITE), b"s");
    exit(0)
}

pub fn state() -> ! {
    write(Fd(1), b"hello\n");
    exit(0)
}

pub fn exec(mut words: Words) -> ! {
    let setup = Setup::take(&mut words);
    let cgroup = setup.all_cgroups().map(|all| open(all, setup.name, DIRECTORY));
    join_namespaces(setup.process(), setup.namespaces());
    let Some(child) = clone(0, cgroup) else {
        new_session();
        confine(setup.with_filter, || setup.become_root());
        execute(c"/true", &arguments([c"/true", c"true"]))
    };
    exit(wait(child).0)
}

pub fn kill(mut words: Words) -> ! {
    const KILL: usize = 9;
    signal(Setup::take(&mut words).process(), KILL);
    exit(0)
}

pub fn delete(mut words: Words) -> ! {
    let setup = Setup::take(&mut words);
    let all = open(HERE, setup.state, DIRECTORY);
    let state = open(all, setup.name, DIRECTORY | CLOEXEC);
    remove(state, c"start", false);
    remove(state, c"pid", false);
    remove(all, setup.name, true);
    setup.remove_cgroup();
    exit(0)
}

/// One instruction of extended BPF.
const fn bpf(code: u64, registers: u64, offset: u64, value: u64) -> u64 {
    code | registers << 8 | offset << 16 | value << 32
}

/// Allows the devices that every container has, terminals, and making any node; nothing else.
static DEVICE_RULES: [u64; 20] = [
    bpf(0x61, 0x12, 0, 0),      // r2 = access << 16 | type
    bpf(0x61, 0x14, 4, 0),      // r4 = major
    bpf(0x61, 0x15, 8, 0),      // r5 = minor
    bpf(0xbf, 0x23, 0, 0),      // r3 = r2
    bpf(0x77, 0x03, 0, 16),     // r3 >>= 16
    bpf(0x57, 0x02, 0, 0xffff), // r2 &= 0xffff
    bpf(0x15, 0x03, 11, 1),     // making a node: allow
    bpf(0x55, 0x02, 8, 2),      // no character device: refuse
    bpf(0x15, 0x04, 9, 136),    // terminals
    bpf(0x15, 0x04, 2, 5),
    bpf(0x15, 0x04, 3, 1),
    bpf(0x05, 0, 4, 0),
    bpf(0xa5, 0x05, 5, 3), // 5:0 to 5:2
    bpf(0x05, 0, 2, 0),
    bpf(0xa5, 0x05, 1, 3),  // below 1:3: refuse
    bpf(0xa5, 0x05, 2, 10), // 1:3 to 1:9
    bpf(0xb7, 0x00, 0, 0),  // r0 = 0
    bpf(0x95, 0, 0, 0),
    bpf(0xb7, 0x00, 0, 1), // r0 = 1
    bpf(0x95, 0, 0, 0),
];
