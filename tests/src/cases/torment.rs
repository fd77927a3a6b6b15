//! A minute of what `cargo xtask torment` does for half an hour.

use crate::case::Case;
use crate::need::Need;
use crate::torment::{Plan, torment};
use anyhow::{Result, ensure};
use std::time::Duration;

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("torment::a_minute", [Need::Root, Need::Go], a_minute)]
}

/// A small crowd, and nobody else's processes: other cases run beside it.
fn a_minute() -> Result<()> {
    let plan =
        Plan { life: Duration::from_secs(55), calm: Duration::from_secs(15), crowd: 60, whole_host: false };
    let report = torment(&plan)?;
    let objections = report.objections();
    ensure!(objections.is_empty(), "{objections:?}: {report:#?}");
    Ok(())
}
