//! wolffia-wolffia
