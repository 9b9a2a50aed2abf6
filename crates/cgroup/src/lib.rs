//! wolffia-cgroup
