//! The files in which a process keeps data, at one moment.

use crate::vocabulary::reading::Moment;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The data files at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFiles {
    /// When they were looked at.
    pub at: Moment,
    /// Each file once.
    pub files: Vec<DataFile>,
}

/// A file that is open for writing and is no log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Device and inode.
    pub identity: (u32, u32, u64),
    /// Where the next write goes, in bytes; 0 where each write names its place.
    pub position: u64,
    /// Length in bytes. A file that is made as long as it will ever be does not grow.
    pub size: u64,
    /// Its name without directories, printable.
    pub name: Arc<str>,
}
