//! wolffia-seccomp
