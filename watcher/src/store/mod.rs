//! What was seen, kept for as long as it can matter: a bounded window of samples per process.

pub mod window;

pub use window::{Series, Window};
