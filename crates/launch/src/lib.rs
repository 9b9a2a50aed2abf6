//! wolffia-launch
