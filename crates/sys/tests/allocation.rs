//! The calls on the way to the payload do not allocate when they succeed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it goes wrong")]
#![allow(unsafe_code, reason = "a global allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use wolffia_sys::fd::{self, OFlags};
use wolffia_sys::root::Root;
use wolffia_sys::{caps, ids, pidfd, poll, prctl, process, sched, signals, socket};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is handed on to the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T, E: std::fmt::Debug>(act: impl FnOnce() -> Result<T, E>) -> usize {
    let before = COUNT.get();
    let outcome = act();
    let count = COUNT.get() - before;
    outcome.unwrap();
    count
}

#[test]
fn success_is_free_of_allocations() {
    let dir = fd::open("/", OFlags::PATH | OFlags::DIRECTORY, 0).unwrap();
    let root = Root::from(fd::open("/", OFlags::PATH | OFlags::DIRECTORY, 0).unwrap());
    let null = fd::open("/dev/null", OFlags::RDWR, 0).unwrap();
    let own = pidfd::open(process::getpid()).unwrap();
    let (one, _other) = socket::seqpacket_pair().unwrap();
    let sets = caps::get().unwrap();
    let counts = [
        ("open", allocations(|| fd::open("/dev/null", OFlags::RDONLY, 0))),
        ("openat", allocations(|| fd::openat(&dir, "dev/null", OFlags::RDONLY, 0))),
        ("stat", allocations(|| fd::stat(&null))),
        ("fs_magic", allocations(|| fd::fs_magic(&null))),
        ("write_all", allocations(|| fd::write_all(&null, b"x"))),
        ("set_cloexec", allocations(|| fd::set_cloexec(&null, true))),
        ("close_range_cloexec", allocations(|| fd::close_range_cloexec(1 << 20))),
        ("resolve", allocations(|| root.resolve("proc/self/status", OFlags::empty()))),
        ("open_file", allocations(|| root.open_file("etc/passwd", OFlags::RDONLY))),
        ("make_dirs, all there", allocations(|| root.make_dirs("proc/sys/kernel", 0o755))),
        ("send", allocations(|| socket::send(&one, b"x", &[]))),
        ("wait_readable", allocations(|| poll::wait_readable(&one, Some(std::time::Duration::ZERO)))),
        ("send_signal", allocations(|| pidfd::send_signal(&own, 0))),
        ("reap, nothing there", allocations(pidfd::reap_any_children)),
        ("block_all", allocations(|| signals::block_all().and_then(|old| signals::restore(&old)))),
        ("umask", allocations(|| Ok::<_, ()>(process::umask(0o022)))),
        ("getresuid", allocations(ids::getresuid)),
        ("capset", allocations(|| caps::set(sets.effective, sets.permitted, sets.inheritable))),
        ("known", allocations(caps::known)),
        ("drop nothing", allocations(|| caps::drop_bounding(u64::MAX))),
        ("set_name", allocations(|| prctl::set_name(c"allocation"))),
        ("personality", allocations(|| sched::personality(0))),
        ("getrlimit", allocations(|| sched::getrlimit(libc::RLIMIT_NOFILE))),
    ];
    let dear: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
    assert!(dear.is_empty(), "{dear:?}");
    assert!(
        allocations(|| Ok::<_, ()>(fd::open("/nowhere", OFlags::RDONLY, 0).is_err())) > 0,
        "a failure is rendered, and counted"
    );
}
