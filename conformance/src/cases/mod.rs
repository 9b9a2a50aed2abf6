//! The cases, one file for each subject.

mod cgroups;
mod cli;
mod cli_start;
mod config;
mod devices;
mod escapes;
mod exec;
mod features;
mod hooks;
mod hooks_failing;
mod lifecycle;
mod mount_options;
mod mounts;
mod namespaces;
mod netdevices;
mod paths;
mod process;
mod process_caps;
mod process_sched;
mod sysctl;
mod terminal;
mod time;

use crate::case::Case;

/// Every case of the suite, in the order in which they run.
pub fn all() -> Vec<Case> {
    [
        config::cases(),
        mounts::cases(),
        mount_options::cases(),
        process::cases(),
        process_caps::cases(),
        process_sched::cases(),
        terminal::cases(),
        hooks::cases(),
        hooks_failing::cases(),
        lifecycle::cases(),
        namespaces::cases(),
        devices::cases(),
        netdevices::cases(),
        paths::cases(),
        sysctl::cases(),
        time::cases(),
        cgroups::cases(),
        features::cases(),
        cli::cases(),
        cli_start::cases(),
        exec::cases(),
        escapes::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::all;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_speak() {
        let mut seen = HashSet::new();
        for case in all() {
            assert!(seen.insert(case.name.clone()), "{} stands twice", case.name);
            let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || ".-_".contains(letter);
            assert!(case.name.chars().all(plain) && case.name.contains('.'), "{} is no name", case.name);
            assert!(!case.clause.is_empty() && case.sentence.len() > 20, "{} quotes nothing", case.name);
        }
    }
}
