//! Container formats that the backends and the command line share.
//!
//! Every reader here takes bytes of unknown origin that are already in memory and every writer
//! returns bytes; nothing in this module touches a file system. Readers never panic, and what they
//! allocate is bounded by what the input really holds. Writers give the same
//! bytes for the same values: no dates, no host names, no map order.
//!
//! * [`npy`]: one array (`.npy`)

pub mod npy;
