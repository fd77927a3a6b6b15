//! Names, lines and inlined calls as we read them from executables alone, held against another reader of the same
//! tables.

use crate::build::{Variant, build};
use crate::case::Case;
use crate::linker_tables::{Compared, compare};
use crate::need::{C_COMPILER, Need, find_program};
use crate::servers::Debian;
use crate::toolchain::{MINORS, Toolchain};
use anyhow::{Context, Result, bail};
use std::io::{self, Write};

/// One that is built for the views in all of these ways.
const PROGRAM: &str = "harbour";
const VARIANTS: [Variant; 3] = [Variant::STRIPPED, Variant::PIE, Variant::CGO];
/// Of so many functions one is looked into.
const EVERY: usize = 16;
/// The servers have ten times the functions.
const EVERY_OF_SERVERS: usize = 200;

/// The cases.
pub fn cases() -> Vec<Case> {
    let programs = MINORS.iter().map(|minor| {
        let needs = [Need::GoMinor(*minor), C_COMPILER];
        Case::new(format!("symbols::go1_{minor}_equals_another_reader"), needs, move || row(*minor)).busy()
    });
    let servers = Debian::ALL.into_iter().map(|server| {
        let name = format!("symbols::of_{}_equal_another_reader", server.name());
        Case::new(name, [server.need()], move || of_server(server)).busy()
    });
    programs.chain(servers).collect()
}

fn row(minor: u32) -> Result<()> {
    let toolchain = Toolchain::minor(minor).context("the toolchain is gone")?;
    for variant in VARIANTS {
        let name = format!("{} {}", toolchain.version, variant.name());
        let compared = compare(&build(PROGRAM, toolchain, variant)?, EVERY).with_context(|| name.clone())?;
        tell(&name, compared)?;
    }
    Ok(())
}

fn of_server(server: Debian) -> Result<()> {
    let Need::Program { program, .. } = server.need() else { bail!("a server is a program") };
    let path = find_program(program).with_context(|| format!("{program} is missing"))?;
    tell(program, compare(&path, EVERY_OF_SERVERS)?)
}

fn tell(name: &str, compared: Compared) -> Result<()> {
    let Compared { functions, addresses, inlined } = compared;
    let line =
        format!("{name}: {functions} functions and {addresses} addresses with {inlined} inlined calls equal");
    writeln!(io::stdout(), "{line}").context("print a row")
}
