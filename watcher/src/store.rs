//! What was seen, kept for as long as it can matter: a bounded window of samples per process, its captures, and the
//! history of its totals over weeks.

pub mod captures;
mod compact;
pub mod history;
pub mod lives;
pub mod place;
pub mod pulls;
pub mod recording;
pub mod window;

pub use captures::{Captures, Pulls};
pub use history::History;
pub use pulls::{FileName, PullDirectory};
pub use window::{Series, Window};
