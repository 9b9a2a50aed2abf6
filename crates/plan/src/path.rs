//! Two kinds of path that must never be mixed up: one is resolved by the host, the other only
//! inside the container's root, through the root's file descriptor.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// An absolute path on the host, as the runtime sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostPath(PathBuf);

impl HostPath {
    /// `path` must be absolute; anything else is a bug of the caller, which joins it to the bundle first.
    /// Returns `None` for a relative path or one that holds a NUL byte.
    pub fn new(path: impl Into<PathBuf>) -> Option<Self> {
        let path = path.into();
        let clean = !path.as_os_str().as_encoded_bytes().contains(&0);
        (path.is_absolute() && clean).then_some(Self(path))
    }

    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Whether this is a way to write "/".
    pub fn is_root(&self) -> bool {
        self.0.components().count() == 1
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A path inside the container: absolute, lexically clean, without `.` and `..`.
///
/// It is an intent. Symbolic links in it are resolved at execution, inside the container's root
/// (`openat2` with `RESOLVE_IN_ROOT`), because resolving it earlier would be a race by design.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerPath(String);

impl ContainerPath {
    /// Cleans `path` lexically as Go's `filepath.Clean("/" + path)` does, which is what callers of
    /// runc expect. Returns `None` if it holds a NUL byte.
    pub fn new(path: &str) -> Option<Self> {
        if path.as_bytes().contains(&0) {
            return None;
        }
        let mut clean = String::with_capacity(path.len() + 1);
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => clean.truncate(clean.rfind('/').unwrap_or(0)),
                name => {
                    clean.push('/');
                    clean.push_str(name);
                }
            }
        }
        Some(if clean.is_empty() { Self::root() } else { Self(clean) })
    }

    /// What `name`, which holds no slash, is below it.
    pub fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0.trim_end_matches('/')))
    }

    /// The container's root directory.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its leading slash: what is handed to `openat2` beside the root's descriptor.
    /// Empty for the root itself.
    pub fn relative(&self) -> &str {
        self.0.trim_start_matches('/')
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_under(&self, other: &ContainerPath) -> bool {
        other.0 == "/" || self.0 == other.0 || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The rest of the path below `above`, which it is under ([`Self::is_under`]), without a leading slash.
    pub fn below<'a>(&'a self, above: &ContainerPath) -> &'a str {
        self.0.strip_prefix(&above.0).unwrap_or(&self.0).trim_start_matches('/')
    }

    /// The directory and the last name; `None` for the root.
    pub fn split(&self) -> Option<(ContainerPath, &str)> {
        let (parent, name) = self.0.rsplit_once('/')?;
        if name.is_empty() {
            return None;
        }
        let parent = if parent.is_empty() { "/" } else { parent };
        Some((ContainerPath(parent.to_owned()), name))
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_paths_are_clean() {
        for (raw, clean) in [("proc", "/proc"), ("/a/./b//c/", "/a/b/c"), ("../../etc", "/etc"), ("/a/../..", "/"), ("", "/")] {
            assert_eq!(ContainerPath::new(raw).unwrap().as_str(), clean);
        }
        assert!(ContainerPath::new("a\0b").is_none());
    }

    #[test]
    fn under_compares_whole_names() {
        let p = |s| ContainerPath::new(s).unwrap();
        assert!(p("/proc/sys").is_under(&p("/proc")));
        assert!(!p("/process").is_under(&p("/proc")));
        assert!(p("/x").is_under(&p("/")));
        for (path, above, rest) in [("/proc/sys", "/proc", "sys"), ("/proc", "/proc", ""), ("/a/b", "/", "a/b")] {
            assert_eq!(p(path).below(&p(above)), rest);
        }
    }
}
