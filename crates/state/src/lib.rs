//! wolffia-state
