//! Where pulls are kept, when others can write there.

use super::{directory, guesthouse, pull};
use crate::case::Case;
use crate::need::Need;
use crate::posing::STRANGER;
use crate::running::Running;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("pulls::nothing_is_kept_where_others_write", [Need::Root, Need::Go], refused),
        Case::new("pulls::what_is_not_ours_is_left_alone", [Need::Root, Need::Go], left_alone),
    ]
}

fn answering() -> Result<Running> {
    let mut house = guesthouse(&[])?;
    house.address()?;
    Ok(house)
}

/// Where the pull was kept, or why it was not.
fn kept(house: &Running, directory: &Path, settings: &str) -> Result<Result<String, String>> {
    let outcome = pull(house.pid(), "heap", directory, settings)?;
    ensure!(outcome.status == Some(0), "no profile: {outcome:?}");
    let told: Value = outcome.json()?;
    match (told["file"].as_str(), told["not_kept"].as_str()) {
        (Some(file), None) => Ok(Ok(file.to_owned())),
        (None, Some(why)) => Ok(Err(why.to_owned())),
        _ => anyhow::bail!("want one of both: {told:#}"),
    }
}

fn refused() -> Result<()> {
    let house = answering()?;
    let place = directory()?;
    let own = place.path().join("kept");
    fs::create_dir(&own).context("make a directory")?;
    let precious = place.path().join("precious");
    fs::create_dir(&precious).context("make a directory")?;

    fs::set_permissions(&own, fs::Permissions::from_mode(0o777))?;
    let why = kept(&house, place.path(), "")?.err().context("others may write there")?;
    ensure!(why.contains("others may write there"), "{why}");
    ensure!(fs::read_dir(&own)?.next().is_none(), "something was written");

    fs::set_permissions(&own, fs::Permissions::from_mode(0o755))?;
    chown(&own, Some(STRANGER), None).context("give it away")?;
    let why = kept(&house, place.path(), "")?.err().context("it belongs to another")?;
    ensure!(why.contains("it belongs to another user (4242)"), "{why}");

    fs::remove_dir(&own)?;
    symlink(&precious, &own).context("plant a link")?;
    lchown(&own, Some(STRANGER), None).context("give it away")?;
    let why = kept(&house, place.path(), "")?.err().context("it is a link")?;
    ensure!(why.contains("it is a symbolic link"), "{why}");
    ensure!(fs::read_dir(&precious)?.next().is_none(), "the link was followed");

    fs::remove_file(&own)?;
    let file = kept(&house, place.path(), "")?.map_err(anyhow::Error::msg)?;
    ensure!(fs::metadata(&own)?.permissions().mode() & 0o777 == 0o700, "it is ours alone");
    ensure!(fs::metadata(file)?.permissions().mode() & 0o777 == 0o600, "and so is what is in it");
    Ok(())
}

fn left_alone() -> Result<()> {
    let house = answering()?;
    let place = directory()?;
    let own = place.path().join("kept");
    fs::create_dir(&own).context("make a directory")?;
    let foreign = ["baseline.pb.gz", "release-2026-heap.pb.gz", "notes.txt"];
    for name in foreign {
        fs::write(own.join(name), vec![7; 200_000]).context("write a file")?;
    }
    // An old one of ours, beside which there is no room for another.
    let old = own.join("guesthouse-7-20200101000000-heap.pb.gz");
    fs::write(&old, vec![7; 200_000]).context("write a file")?;
    let new = kept(&house, place.path(), "kept_bytes = 200010\n")?.map_err(anyhow::Error::msg)?;
    ensure!(!old.exists() && Path::new(&new).exists(), "the older one of ours makes room");
    for name in foreign {
        ensure!(fs::metadata(own.join(name))?.len() == 200_000, "{name} is not ours");
    }
    Ok(())
}
