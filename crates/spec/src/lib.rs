//! wolffia-spec
