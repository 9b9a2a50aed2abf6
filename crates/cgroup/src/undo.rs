//! What limits were before an update, to be put back when the update fails on its way.

use crate::files::Dir;
use crate::{Cgroup, LegacyPlace};
use wolffia_plan::resources::{CgroupWrite, IfAbsent};

/// The files that an update writes, as they were.
#[derive(Debug, Default)]
pub struct Earlier(Vec<Before>);

#[derive(Debug)]
struct Before {
    /// What it takes to put one value back; with the field that asked for the change. `None`: that is not known.
    back: Option<CgroupWrite>,
    controller: String,
    file: String,
    /// All of the file, if it was there and can be read.
    text: Option<String>,
}

impl Earlier {
    /// The writes that put back what is known, in the order of the update's own.
    pub fn writes(&self) -> Vec<CgroupWrite> {
        self.0.iter().filter_map(|before| before.back.clone()).collect()
    }

    fn of(files: &impl Files, writes: &[CgroupWrite]) -> Self {
        Self(writes.iter().map(|write| before(files, write)).collect())
    }

    /// Last first. Twice, because of limits that must not be above each other. Returns the names of those that stay changed.
    fn put_back(&self, files: &impl Files) -> Vec<String> {
        let mut left: Vec<&Before> = self.0.iter().rev().collect();
        left.retain(|before| files.text(&before.controller, &before.file) != before.text);
        for _ in 0..2 {
            left.retain(|before| !before.back.as_ref().is_some_and(|back| files.put(back)));
        }
        left.iter().rev().map(|before| before.file.clone()).collect()
    }
}

impl Cgroup {
    /// What `writes` would change, before they do.
    pub fn earlier(&self, writes: &[CgroupWrite]) -> Earlier {
        Earlier::of(&self.as_dir(), writes)
    }

    /// Undoes what was written since. Returns the files that could not be set back.
    pub fn put_back(&self, earlier: &Earlier) -> Vec<String> {
        earlier.put_back(&self.as_dir())
    }
}

impl LegacyPlace {
    /// What `writes` would change, before they do.
    pub fn earlier(&self, writes: &[CgroupWrite]) -> Earlier {
        Earlier::of(self, writes)
    }

    /// Undoes what was written since. Returns the files that could not be set back.
    pub fn put_back(&self, earlier: &Earlier) -> Vec<String> {
        earlier.put_back(self)
    }
}

/// A cgroup's files, in one hierarchy or in many.
trait Files {
    fn text(&self, controller: &str, file: &str) -> Option<String>;
    fn put(&self, write: &CgroupWrite) -> bool;
}

impl Files for Dir<'_> {
    fn text(&self, _: &str, file: &str) -> Option<String> {
        self.read(file).ok()
    }

    fn put(&self, write: &CgroupWrite) -> bool {
        self.write(&write.file, &write.value).is_ok()
    }
}

impl Files for LegacyPlace {
    fn text(&self, controller: &str, file: &str) -> Option<String> {
        self.read(controller, file)
    }

    fn put(&self, write: &CgroupWrite) -> bool {
        self.write(write).is_ok()
    }
}

fn before(files: &impl Files, write: &CgroupWrite) -> Before {
    let controller = write.controller.clone();
    let instead = match &write.if_absent {
        IfAbsent::Instead { file, value } => Some((file, value)),
        IfAbsent::Fail | IfAbsent::Skip => None,
    };
    for (file, value) in std::iter::once((&write.file, &write.value)).chain(instead) {
        if let Some(text) = files.text(&controller, file) {
            let back = value_back(file, value, &text);
            let back = back.map(|value| CgroupWrite { file: file.clone(), value, if_absent: IfAbsent::Fail, ..write.clone() });
            return Before { back, controller, file: file.clone(), text: Some(text) };
        }
    }
    Before { back: None, controller, file: write.file.clone(), text: None }
}

/// What undoes writing `value` to a file that holds `text`. A file with a line for each key, a device mostly, takes one line at a
/// time, and shows none for a key that has the default.
fn value_back(file: &str, value: &str, text: &str) -> Option<String> {
    let line_of = |key: &str| text.lines().find(|line| line.split(' ').next() == Some(key)).map(str::to_owned);
    if file == "memory.oom_control" {
        return line_of("oom_kill_disable")?.split(' ').nth(1).map(str::to_owned);
    }
    match value.split_once(' ') {
        Some((key, _)) if key != "max" && key.parse::<i64>().is_err() => line_of(key).or_else(|| default_of(file, key)),
        // `default 100` in a file that takes `100` for it.
        _ => {
            line_of("default").or_else(|| Some(if text.trim().is_empty() { "\n".to_owned() } else { text.trim_end().to_owned() }))
        }
    }
}

fn default_of(file: &str, key: &str) -> Option<String> {
    let value = match file {
        "io.max" => "rbps=max wbps=max riops=max wiops=max",
        "io.weight" | "io.bfq.weight" => "default",
        "rdma.max" => "hca_handle=max hca_object=max",
        _ if file.starts_with("blkio.") => "0",
        _ => return None,
    };
    Some(format!("{key} {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_is_undone_in_its_own_way() {
        let cases = [
            ("memory.max", "4096", "max\n", Some("max")),
            ("cpu.max", "20000 100000", "max 100000\n", Some("max 100000")),
            ("cpu.max", "max 50000", "20000 100000\n", Some("20000 100000")),
            ("cpuset.cpus", "0", "\n", Some("\n")),
            (
                "io.max",
                "8:0 rbps=1",
                "7:0 rbps=3\n8:0 rbps=max wbps=2 riops=max wiops=max\n",
                Some("8:0 rbps=max wbps=2 riops=max wiops=max"),
            ),
            ("io.max", "8:0 rbps=1", "", Some("8:0 rbps=max wbps=max riops=max wiops=max")),
            ("io.weight", "50", "default 100\n8:0 200\n", Some("default 100")),
            ("io.weight", "default 50", "default 100\n", Some("default 100")),
            ("io.weight", "8:0 50", "default 100\n", Some("8:0 default")),
            (
                "rdma.max",
                "mlx4_0 hca_handle=2",
                "mlx4_0 hca_handle=max hca_object=2000\n",
                Some("mlx4_0 hca_handle=max hca_object=2000"),
            ),
            ("blkio.throttle.read_bps_device", "8:0 4096", "", Some("8:0 0")),
            ("net_prio.ifpriomap", "lo 3", "lo 0\neth0 1\n", Some("lo 0")),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", Some("0")),
            ("io.latency", "8:0 target=5", "", None),
        ];
        for (file, value, text, back) in cases {
            assert_eq!(value_back(file, value, text).as_deref(), back, "{file} {value}");
        }
    }
}
