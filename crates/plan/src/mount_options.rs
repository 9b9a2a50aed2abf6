//! The words in `mounts[].options`: every one that the specification and runc know, and what it means to the kernel.

use crate::{FsOption, MountAttributes};
use libc::{
    MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME, MS_PRIVATE, MS_REC, MS_SHARED,
    MS_SLAVE, MS_UNBINDABLE,
};
use std::collections::BTreeSet;

/// Every mount option with a meaning of its own, sorted; all others are parameters of the file system.
pub fn mount_option_names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = OPTIONS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names
}

/// The options of one entry of `mounts`, sorted by what they act on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// `bind` or `rbind`, and whether it is recursive.
    pub bind: Option<bool>,
    pub remount: bool,
    pub propagation: Vec<u64>,
    /// `idmap` or `ridmap`, and whether it is recursive.
    pub id_map: Option<bool>,
    pub copy_up: bool,
    pub source_nofollow: bool,
    pub destination_nofollow: bool,
    /// Parameters of the file system, as written.
    pub data: Vec<String>,
    set: u64,
    clear: u64,
    atime: Option<u64>,
    no_directory_atime: bool,
    superblock: BTreeSet<&'static str>,
    recursive_set: u64,
    recursive_clear: u64,
}

/// Flags of a mount that an option on a bind mount replaces: all but the access times, which stay as they are
/// unless an option sets them (mount(2), "remount").
const REPLACED_BY_BIND: u64 =
    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;

#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// No effect that a caller could see. `iversion`: the file systems that count versions do so unasked, and fsconfig(2) has
    /// no word for it. `silent` and `loud`: only what the kernel logs.
    Nothing,
    Bind(bool),
    Remount,
    /// A flag of the mount.
    Set(u64),
    Clear(u64),
    /// `ro` and `rw` are the mount's and a new superblock's.
    ReadOnly(bool),
    /// One value of the access time enumeration, or the wish not to have it.
    Atime(u64),
    NotAtime(u64),
    NoDirectoryAtime(bool),
    /// A flag of a new superblock that fsconfig(2) knows by name.
    Superblock(&'static str),
    NotSuperblock(&'static str),
    Propagation(u64),
    RecursiveSet(u64),
    RecursiveClear(u64),
    RecursiveAtime(u64),
    IdMap(bool),
    CopyUp,
    SourceNofollow,
    DestinationNofollow,
}

#[rustfmt::skip]
const OPTIONS: &[(&str, Meaning)] = {
    use Meaning::*;
    &[
        ("defaults", Nothing), ("silent", Nothing), ("loud", Nothing), ("iversion", Nothing), ("noiversion", Nothing),
        ("bind", Bind(false)), ("rbind", Bind(true)), ("remount", Remount),
        ("ro", ReadOnly(true)), ("rw", ReadOnly(false)),
        ("nosuid", Set(MOUNT_ATTR_NOSUID)), ("suid", Clear(MOUNT_ATTR_NOSUID)),
        ("nodev", Set(MOUNT_ATTR_NODEV)), ("dev", Clear(MOUNT_ATTR_NODEV)),
        ("noexec", Set(MOUNT_ATTR_NOEXEC)), ("exec", Clear(MOUNT_ATTR_NOEXEC)),
        ("nosymfollow", Set(MOUNT_ATTR_NOSYMFOLLOW)), ("symfollow", Clear(MOUNT_ATTR_NOSYMFOLLOW)),
        ("noatime", Atime(MOUNT_ATTR_NOATIME)), ("atime", NotAtime(MOUNT_ATTR_NOATIME)),
        ("relatime", Atime(MOUNT_ATTR_RELATIME)), ("norelatime", NotAtime(MOUNT_ATTR_RELATIME)),
        ("strictatime", Atime(MOUNT_ATTR_STRICTATIME)), ("nostrictatime", NotAtime(MOUNT_ATTR_STRICTATIME)),
        ("nodiratime", NoDirectoryAtime(true)), ("diratime", NoDirectoryAtime(false)),
        ("sync", Superblock("sync")), ("async", NotSuperblock("sync")), ("dirsync", Superblock("dirsync")),
        ("lazytime", Superblock("lazytime")), ("nolazytime", NotSuperblock("lazytime")),
        ("mand", Superblock("mand")), ("nomand", NotSuperblock("mand")),
        ("private", Propagation(MS_PRIVATE)), ("rprivate", Propagation(MS_PRIVATE | MS_REC)),
        ("shared", Propagation(MS_SHARED)), ("rshared", Propagation(MS_SHARED | MS_REC)),
        ("slave", Propagation(MS_SLAVE)), ("rslave", Propagation(MS_SLAVE | MS_REC)),
        ("unbindable", Propagation(MS_UNBINDABLE)), ("runbindable", Propagation(MS_UNBINDABLE | MS_REC)),
        ("rro", RecursiveSet(MOUNT_ATTR_RDONLY)), ("rrw", RecursiveClear(MOUNT_ATTR_RDONLY)),
        ("rnosuid", RecursiveSet(MOUNT_ATTR_NOSUID)), ("rsuid", RecursiveClear(MOUNT_ATTR_NOSUID)),
        ("rnodev", RecursiveSet(MOUNT_ATTR_NODEV)), ("rdev", RecursiveClear(MOUNT_ATTR_NODEV)),
        ("rnoexec", RecursiveSet(MOUNT_ATTR_NOEXEC)), ("rexec", RecursiveClear(MOUNT_ATTR_NOEXEC)),
        ("rnosymfollow", RecursiveSet(MOUNT_ATTR_NOSYMFOLLOW)), ("rsymfollow", RecursiveClear(MOUNT_ATTR_NOSYMFOLLOW)),
        ("rnodiratime", RecursiveSet(MOUNT_ATTR_NODIRATIME)), ("rdiratime", RecursiveClear(MOUNT_ATTR_NODIRATIME)),
        ("rnoatime", RecursiveAtime(MOUNT_ATTR_NOATIME)), ("ratime", RecursiveAtime(MOUNT_ATTR_RELATIME)),
        ("rrelatime", RecursiveAtime(MOUNT_ATTR_RELATIME)), ("rnorelatime", RecursiveAtime(MOUNT_ATTR_RELATIME)),
        ("rstrictatime", RecursiveAtime(MOUNT_ATTR_STRICTATIME)), ("rnostrictatime", RecursiveAtime(MOUNT_ATTR_RELATIME)),
        ("idmap", IdMap(false)), ("ridmap", IdMap(true)), ("tmpcopyup", CopyUp),
        ("src-nofollow", SourceNofollow), ("dest-nofollow", DestinationNofollow),
    ]
};

impl MountOptions {
    /// Sorts the options; of opposites the last one counts, as in mount(8).
    ///
    /// # Errors
    /// The place of an option that cannot be passed on, what is wrong with it, and the cure.
    pub(crate) fn parse(options: &[String]) -> Result<Self, (usize, String, &'static str)> {
        let mut parsed = Self::default();
        for (index, option) in options.iter().enumerate() {
            match OPTIONS.iter().find(|(name, _)| name == option) {
                Some((_, meaning)) => parsed.apply(*meaning),
                None if option.is_empty() => {}
                None => {
                    check_data(option).map_err(|(reason, cure)| (index, reason, cure))?;
                    parsed.data.push(option.clone());
                }
            }
        }
        Ok(parsed)
    }

    /// Whether `ro` is the last word on it.
    pub(crate) fn is_readonly(&self) -> bool {
        self.set & MOUNT_ATTR_RDONLY != 0
    }

    /// Whether `rw` is the last word on it.
    pub(crate) fn is_writable(&self) -> bool {
        self.clear & MOUNT_ATTR_RDONLY != 0
    }

    /// Whether nothing is asked for but propagation.
    pub(crate) fn is_only_propagation(&self) -> bool {
        let rest = Self { propagation: Vec::new(), ..self.clone() };
        !self.propagation.is_empty() && rest == Self::default()
    }

    /// Attributes of a mount that is new: there is nothing to clear.
    pub(crate) fn for_new_mount(&self) -> MountAttributes {
        MountAttributes { set: self.requested(), ..self.recursive() }
    }

    /// Attributes of a bind mount: untouched without an option for them, else these instead of the source's.
    pub(crate) fn for_bind(&self) -> MountAttributes {
        let touched = self.set | self.clear != 0 || self.sets_atime();
        let implied = if touched { REPLACED_BY_BIND & !(self.set | self.clear) } else { 0 };
        MountAttributes { clear_unless_locked: implied, ..self.for_remount() }
    }

    /// Attributes of a mount that keeps what it has beside them.
    pub(crate) fn for_remount(&self) -> MountAttributes {
        let mut clear = self.clear;
        if self.sets_atime() {
            // mount_setattr(2) takes a new access time setting only together with the whole mask to clear.
            clear |= MOUNT_ATTR__ATIME;
            clear |= if self.no_directory_atime { 0 } else { MOUNT_ATTR_NODIRATIME };
        }
        MountAttributes { set: self.requested(), clear, ..self.recursive() }
    }

    /// What a new file system's superblock gets: its parameters in the order given, then the kernel's own flags.
    pub(crate) fn for_superblock(&self, late_readonly: bool) -> Vec<FsOption> {
        let parameters = self.data.iter().map(|option| match option.split_once('=') {
            Some((key, value)) => FsOption::Value { key: key.to_owned(), value: value.to_owned() },
            None => FsOption::Flag { key: option.clone() },
        });
        let flags = self.superblock.iter().copied().filter(|flag| !(late_readonly && *flag == "ro"));
        parameters.chain(flags.map(|flag| FsOption::Flag { key: flag.to_owned() })).collect()
    }

    fn apply(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::Nothing => {}
            Meaning::Bind(recursive) => self.bind = Some(recursive || self.bind == Some(true)),
            Meaning::Remount => self.remount = true,
            Meaning::Set(flag) => turn(&mut self.set, &mut self.clear, flag),
            Meaning::Clear(flag) => turn(&mut self.clear, &mut self.set, flag),
            Meaning::ReadOnly(true) => {
                turn(&mut self.set, &mut self.clear, MOUNT_ATTR_RDONLY);
                self.superblock.insert("ro");
            }
            Meaning::ReadOnly(false) => {
                turn(&mut self.clear, &mut self.set, MOUNT_ATTR_RDONLY);
                self.superblock.remove("ro");
            }
            Meaning::Atime(value) => self.atime = Some(value),
            // As in mount(8), the wish not to have a setting takes back an earlier word for it and does no more.
            Meaning::NotAtime(value) => self.atime = self.atime.filter(|set| *set != value),
            Meaning::NoDirectoryAtime(wanted) => self.no_directory_atime = wanted,
            Meaning::Superblock(flag) => {
                self.superblock.insert(flag);
            }
            Meaning::NotSuperblock(flag) => {
                self.superblock.remove(flag);
            }
            Meaning::Propagation(flags) => self.propagation.push(flags),
            Meaning::RecursiveSet(flag) => turn(&mut self.recursive_set, &mut self.recursive_clear, flag),
            Meaning::RecursiveClear(flag) => turn(&mut self.recursive_clear, &mut self.recursive_set, flag),
            Meaning::RecursiveAtime(value) => {
                self.recursive_set = self.recursive_set & !MOUNT_ATTR__ATIME | value;
                self.recursive_clear |= MOUNT_ATTR__ATIME;
            }
            Meaning::IdMap(recursive) => self.id_map = Some(recursive),
            Meaning::CopyUp => self.copy_up = true,
            Meaning::SourceNofollow => self.source_nofollow = true,
            Meaning::DestinationNofollow => self.destination_nofollow = true,
        }
    }

    fn sets_atime(&self) -> bool {
        self.atime.is_some() || self.no_directory_atime
    }

    fn requested(&self) -> u64 {
        let directories = if self.no_directory_atime { MOUNT_ATTR_NODIRATIME } else { 0 };
        self.set | self.atime.unwrap_or(MOUNT_ATTR_RELATIME) | directories
    }

    fn recursive(&self) -> MountAttributes {
        MountAttributes { recursive_set: self.recursive_set, recursive_clear: self.recursive_clear, ..MountAttributes::default() }
    }
}

/// Of two opposite sets, puts the flag into the first.
fn turn(into: &mut u64, out_of: &mut u64, flag: u64) {
    *into |= flag;
    *out_of &= !flag;
}

fn check_data(option: &str) -> Result<(), (String, &'static str)> {
    if option == "copy-symlink" {
        return Err(("the mount option `copy-symlink` is crun's and not supported".to_owned(), "bind the link's target"));
    }
    if option.starts_with("idmap=") || option.starts_with("ridmap=") {
        return Err((
            format!("the mount option {option:?} is crun's and not supported"),
            "write uidMappings and gidMappings beside `idmap`",
        ));
    }
    if option.contains(|c: char| c.is_control()) {
        return Err((format!("the mount option {option:?} holds a control character"), "remove it"));
    }
    if option.starts_with('=') {
        return Err((format!("the mount option {option:?} has a value and no name"), "write name=value"));
    }
    Ok(())
}
