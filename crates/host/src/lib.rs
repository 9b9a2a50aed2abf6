//! wolffia-host
