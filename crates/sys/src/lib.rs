//! wolffia-sys
