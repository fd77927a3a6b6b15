//! What was seen, kept for as long as it can matter: a bounded window of samples per process, and its captures.

pub mod captures;
pub mod lives;
pub mod pulls;
pub mod recording;
pub mod window;

pub use captures::{Captures, Pulls};
pub use pulls::{FileName, PullDirectory};
pub use window::{Series, Window};
