//! Containers that several targets share.
