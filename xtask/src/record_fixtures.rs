//! `cargo xtask record-fixtures`: records programs at work into `tests/recordings`, as its table says.

use crate::workspace::{cargo, prepare_to_watch, succeed};
use anyhow::Result;

/// `cargo xtask record-fixtures`.
#[derive(clap::Args)]
pub struct RecordFixtures {
    /// Only those whose names contain this.
    filter: Option<String>,
}

impl RecordFixtures {
    /// Needs root and Go. `cargo test --test recordings` says afterwards what the judge makes of them.
    pub fn carry_out(self) -> Result<()> {
        let watcher = prepare_to_watch()?;
        let mut record = cargo()?;
        record
            .args(["run", "--quiet", "--package", "tests", "--bin", "record_fixtures", "--"])
            .args(self.filter);
        succeed(record.env("WATCHER_BIN", watcher))
    }
}
