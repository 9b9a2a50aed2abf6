//! End-to-end tests of the wolffia binary.
