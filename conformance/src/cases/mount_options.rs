//! config.md, Linux mount options: one case for each option string.

use crate::bench::{Bench, has, mount_at};
use crate::bundle::Bundle;
use crate::case::{Case, Clause, Verdict, ensure, expect};
use crate::view::private_mounts;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};
use serde_json::{Value, json};

const MUST: Clause = Clause::must(
    "config.md, Linux mount options",
    "Runtimes MUST/SHOULD/MAY implement the following option strings for Linux: […] MUST […]. The \"MUST\" options correspond to mount(8).",
);
const SHOULD: Clause = Clause::should(
    "config.md, Linux mount options",
    "Runtimes MUST/SHOULD/MAY implement the following option strings for Linux: […] SHOULD […].",
);

const LATER_WINS: Clause = Clause::contract(
    "mount(8), option user",
    "implies the options noexec, nosuid, and nodev (unless overridden by subsequent options, as in the option line user,exec,dev,suid).",
);

/// What mountinfo shows when an option was applied.
#[derive(Debug, Clone, Copy)]
enum Shows {
    Word(&'static str),
    Without(&'static [&'static str]),
    /// The kernel shows nothing: that the mount succeeds is all that can be seen.
    Nothing,
}

use Shows::{Nothing, Without, Word};

/// An option of a new tmpfs, and the option that it takes back when it stands after it.
type Plain = (&'static str, Option<&'static str>, Shows);

const PLAIN: [Plain; 28] = [
    ("async", Some("sync"), Without(&["sync"])),
    ("atime", Some("noatime"), Without(&["noatime"])),
    ("defaults", None, Nothing),
    ("dev", Some("nodev"), Without(&["nodev"])),
    ("diratime", Some("nodiratime"), Without(&["nodiratime"])),
    ("dirsync", None, Word("dirsync")),
    ("exec", Some("noexec"), Without(&["noexec"])),
    ("iversion", None, Nothing),
    ("lazytime", None, Word("lazytime")),
    ("loud", None, Nothing),
    ("noatime", None, Word("noatime")),
    ("nodev", None, Word("nodev")),
    ("nodiratime", None, Word("nodiratime")),
    ("noexec", None, Word("noexec")),
    ("noiversion", None, Nothing),
    ("nolazytime", Some("lazytime"), Without(&["lazytime"])),
    ("norelatime", None, Nothing),
    ("nostrictatime", Some("strictatime"), Word("relatime")),
    ("nosuid", None, Word("nosuid")),
    ("relatime", None, Word("relatime")),
    ("ro", None, Word("ro")),
    ("rw", Some("ro"), Without(&["ro"])),
    ("silent", None, Nothing),
    ("strictatime", None, Without(&["relatime", "noatime"])),
    ("suid", Some("nosuid"), Without(&["nosuid"])),
    ("sync", None, Word("sync")),
    ("nosymfollow", None, Word("nosymfollow")),
    ("symfollow", Some("nosymfollow"), Without(&["nosymfollow"])),
];

/// An option of a bind mount; the last column says that the kernel locks the flag for unprivileged users.
const BOUND: [(&str, Shows, bool); 7] = [
    ("ro", Word("ro"), false),
    ("nosuid", Word("nosuid"), false),
    ("nodev", Word("nodev"), false),
    ("noexec", Word("noexec"), false),
    ("noatime", Word("noatime"), true),
    ("nodiratime", Word("nodiratime"), true),
    ("nosymfollow", Word("nosymfollow"), false),
];

/// A recursive option, the flags that its source mounts have, what both shall show, and whether users are locked out.
type Recursive = (&'static str, MountFlags, Shows, bool);

const RECURSIVE: [Recursive; 18] = [
    ("rro", MountFlags::empty(), Word("ro"), false),
    ("rrw", MountFlags::RDONLY, Without(&["ro"]), true),
    ("rnosuid", MountFlags::empty(), Word("nosuid"), false),
    ("rsuid", MountFlags::NOSUID, Without(&["nosuid"]), true),
    ("rnodev", MountFlags::empty(), Word("nodev"), false),
    ("rdev", MountFlags::NODEV, Without(&["nodev"]), true),
    ("rnoexec", MountFlags::empty(), Word("noexec"), false),
    ("rexec", MountFlags::NOEXEC, Without(&["noexec"]), true),
    ("rnoatime", MountFlags::empty(), Word("noatime"), true),
    ("ratime", MountFlags::NOATIME, Without(&["noatime"]), true),
    ("rnodiratime", MountFlags::empty(), Word("nodiratime"), true),
    ("rdiratime", MountFlags::NODIRATIME, Without(&["nodiratime"]), true),
    ("rrelatime", MountFlags::NOATIME, Word("relatime"), true),
    ("rnorelatime", MountFlags::empty(), Nothing, true),
    ("rstrictatime", MountFlags::empty(), Without(&["relatime", "noatime"]), true),
    ("rnostrictatime", MountFlags::STRICTATIME, Word("relatime"), true),
    ("rnosymfollow", MountFlags::empty(), Word("nosymfollow"), false),
    // The flag cannot be given to mount(2) portably, so the option shall at least be known.
    ("rsymfollow", MountFlags::empty(), Without(&["nosymfollow"]), false),
];

const PROPAGATION: [(&str, &str); 6] = [
    ("private", ""),
    ("rprivate", ""),
    ("shared", "shared:"),
    ("rshared", "shared:"),
    ("unbindable", "unbindable"),
    ("runbindable", "unbindable"),
];

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = PLAIN.iter().map(plain_case).chain(PLAIN.iter().filter_map(undoing_case)).collect();
    cases.extend(BOUND.map(|(option, shows, locked)| {
        let (clause, minor) = if option == "nosymfollow" { (SHOULD, 1) } else { (MUST, 0) };
        clause.since(minor, format!("mounts.options.bind.{option}"), bound(option, shows, locked))
    }));
    cases.extend(RECURSIVE.iter().map(|(option, flags, shows, locked)| {
        SHOULD.since(1, format!("mounts.options.{option}"), |bench| recursive(bench, option, *flags, *shows, *locked))
    }));
    cases.extend(
        PROPAGATION
            .iter()
            .map(|(option, shown)| MUST.case(format!("mounts.options.{option}"), |bench| propagation(bench, option, shown))),
    );
    for option in ["slave", "rslave"] {
        cases.push(MUST.case(format!("mounts.options.{option}"), |bench| of_shared_source(bench, option, "slave", "master:")));
    }
    for option in ["shared", "rshared"] {
        let name = format!("mounts.options.{option}.with-shared-root");
        cases.push(MUST.case(name, |bench| of_shared_source(bench, option, "shared", "shared:")));
    }
    cases.extend([
        MUST.case("mounts.options.bind", |bench| {
            bench.needs_root("the kernel does not uncover what a mount of the host covers")?;
            bind_depth(bench, "bind", false)
        }),
        MUST.case("mounts.options.rbind", |bench| bind_depth(bench, "rbind", true)),
        MUST.case("mounts.options.remount", remount),
    ]);
    cases
}

fn plain_case(row: &'static Plain) -> Case {
    let (option, _, shows) = *row;
    let clause = if option.ends_with("symfollow") { SHOULD } else { MUST };
    let minor = u32::from(option.ends_with("symfollow"));
    clause.since(minor, format!("mounts.options.{option}"), move |bench| plain(bench, &[option], shows))
}

fn undoing_case(row: &'static Plain) -> Option<Case> {
    let (option, before, shows) = *row;
    let before = before?;
    let minor = u32::from(option.ends_with("symfollow"));
    let name = format!("mounts.options.{option}.after-{before}");
    Some(LATER_WINS.since(minor, name, move |bench| plain(bench, &[before, option], shows)))
}

fn plain(bench: &Bench, options: &[&str], shows: Shows) -> Verdict {
    let mut bundle = bench.bundle()?;
    bundle.mount("/data", "tmpfs", "tmpfs", options);
    shown(mount_at(&bench.report(&mut bundle)?, "/data")?, shows)
}

fn shown(mount: &Value, shows: Shows) -> Verdict {
    let holds = |word: &str| has(&mount["options"], word) || has(&mount["super"], word);
    let right = match shows {
        Word("ro") => has(&mount["options"], "ro"),
        Word(word) => holds(word),
        Without(words) => !words.iter().any(|word| holds(word)),
        Nothing => true,
    };
    ensure(right, || format!("{shows:?} is due, the mount is options {} super {}", mount["options"], mount["super"]))
}

fn bound(option: &'static str, shows: Shows, locked: bool) -> impl Fn(&Bench) -> Verdict + Send + Sync + 'static {
    move |bench: &Bench| {
        if locked {
            bench.needs_root("the kernel locks access-time flags of the host's mounts")?;
        }
        let mut bundle = bench.bundle()?;
        let source = bundle.source("source")?;
        bundle.mount("/data", "none", &source.to_string_lossy(), &["bind", option]);
        shown(mount_at(&bench.report(&mut bundle)?, "/data")?, shows)
    }
}

/// A bundle whose `source` is a tmpfs with another one in its `sub`, in a mount namespace of this case.
fn nested_source(bench: &Bench, flags: MountFlags) -> Verdict<(Bundle, String)> {
    bench.needs_root_suite("a source with a mount below it must be mounted")?;
    private_mounts()?;
    let bundle = bench.bundle()?;
    let source = bundle.source("source")?;
    let sub = source.join("sub");
    mount("tmpfs", &source, "tmpfs", MountFlags::empty(), None)?;
    std::fs::create_dir(&sub)?;
    mount("tmpfs", &sub, "tmpfs", MountFlags::empty(), None)?;
    for path in [&sub, &source] {
        // Flags of the mount alone, as a host's bind mounts have them: the file system itself stays writable.
        mount_remount(path, flags | MountFlags::BIND, c"")?;
    }
    Ok((bundle, source.to_string_lossy().into_owned()))
}

fn recursive(bench: &Bench, option: &str, flags: MountFlags, shows: Shows, locked: bool) -> Verdict {
    if locked {
        bench.needs_root("the kernel locks these flags of the host's mounts")?;
    }
    let (mut bundle, source) = nested_source(bench, flags)?;
    bundle.mount("/data", "none", &source, &["rbind", option]);
    let report = bench.report(&mut bundle)?;
    shown(mount_at(&report, "/data")?, shows)?;
    shown(mount_at(&report, "/data/sub")?, shows)
}

fn bind_depth(bench: &Bench, option: &str, deep: bool) -> Verdict {
    let (mut bundle, source) = nested_source(bench, MountFlags::empty())?;
    bundle.mount("/data", "none", &source, &[option]);
    let report = bench.report(&mut bundle)?;
    mount_at(&report, "/data")?;
    expect("whether the mount below the source is there", &json!(mount_at(&report, "/data/sub").is_ok()), &json!(deep))
}

fn remount(bench: &Bench) -> Verdict {
    let mut bundle = bench.bundle()?;
    let source = bundle.source("source")?.to_string_lossy().into_owned();
    bundle.mount("/data", "none", &source, &["bind"]);
    bundle.mount("/data", "none", &source, &["bind", "remount", "ro"]);
    let answers = bench.ask(&mut bundle, &["write /data/file text"])?;
    expect("writing to the remounted mount", &answers[0]["err"], &json!("EROFS"))
}

fn propagation(bench: &Bench, option: &str, shown: &str) -> Verdict {
    let mut bundle = bench.bundle()?;
    let source = bundle.source("source")?;
    bundle.mount("/data", "none", &source.to_string_lossy(), &["bind", option]);
    propagates(bench, &mut bundle, shown)
}

/// A slave needs a master: the source is shared here, and the root's propagation does not cut the tie.
fn of_shared_source(bench: &Bench, option: &str, root: &str, shown: &str) -> Verdict {
    bench.needs_root_suite("a shared source must be mounted")?;
    private_mounts()?;
    let mut bundle = bench.bundle()?;
    let source = bundle.source("source")?;
    mount("tmpfs", &source, "tmpfs", MountFlags::empty(), None)?;
    mount_change(&source, MountPropagationFlags::SHARED)?;
    bundle.config["linux"]["rootfsPropagation"] = json!(root);
    bundle.mount("/data", "none", &source.to_string_lossy(), &["rbind", option]);
    propagates(bench, &mut bundle, shown)
}

fn propagates(bench: &Bench, bundle: &mut Bundle, shown: &str) -> Verdict {
    let report = bench.report(bundle)?;
    let fields = &mount_at(&report, "/data")?["propagation"];
    let seen: Vec<&str> = fields.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let right = if shown.is_empty() { seen.is_empty() } else { seen.iter().any(|field| field.starts_with(shown)) };
    ensure(right, || format!("the propagation of the mount is {seen:?}, due is {shown:?}"))
}
