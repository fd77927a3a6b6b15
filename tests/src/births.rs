//! Who executed which `go` statement, against what the program did.

use crate::build::{self, Variant};
use crate::probed::{Probed, is_left_alone, tell};
use crate::roster::Roster;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use watcher::source::kernel::ledger::{Bounds, Kind};
use watcher::vocabulary::frame::Frame;
use watcher::vocabulary::origin::CreatingGoroutine;

const CALLED: u64 = 1203;

fn start(toolchain: &Toolchain, variant: Variant) -> Result<(Roster, Probed)> {
    let roster = Roster::start(&build::build("roster", toolchain, variant)?)?;
    let probed = Probed::to(roster.pid())?;
    Ok((roster, probed))
}

/// Every goroutine that the program starts is counted, and each that stays is told apart by who called whoever started
/// it, although one line starts them all.
pub fn births_equal_the_programs_count(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let (mut roster, mut probed) = start(toolchain, variant)?;
    roster.call(17)?;
    probed.watch_births(Bounds::DEFAULT)?;
    roster.call(CALLED)?;
    roster.pass(500)?;
    let raw = probed.ledgers.births(probed.id).context("births are watched")?;
    let creators = probed.creators()?;
    let attendants: Vec<CreatingGoroutine> = creators
        .living()
        .filter(|it| creators.started_by(it, None).first().is_some_and(|stack| calls(stack, "main.call")))
        .collect();
    ensure!(attendants.len() as u64 == CALLED + 17, "{} goroutines stay", attendants.len());
    // The two statements of the program; the runtime has others of its own.
    let statement = attendants.first().context("there are some")?.created_at;
    let called: u64 = raw.things.iter().filter(|it| it.created_at == statement).map(|it| it.count).sum();
    ensure!(called == CALLED, "{called} births by the statement, not {CALLED}");
    let probing = probed.ledgers.probing(probed.id, Kind::Births).context("there are probes")?;
    let all: u64 = raw.things.iter().map(|it| it.count).sum();
    tell!("{all} births, {} hits, {} entries, {} stacks", probing.hits, raw.things.len(), raw.sites.len());
    ensure!(all == probing.hits && (CALLED + 500..CALLED + 540).contains(&all), "{all} births, {probing:?}");
    let stacks: u64 = raw.sites.values().map(|site| site.created).sum();
    ensure!(stacks == all, "{stacks} of {all} have a stack");
    // Stacks of the statement: 40 depths from one side, 10 from the other, each complete.
    let mut sides: BTreeMap<bool, u64> = BTreeMap::new();
    for births in raw.things.iter().filter(|it| it.created_at == statement) {
        ensure!(births.stacks.len() == 4, "of many stacks the last four are kept");
        for stack in &births.stacks {
            let id = stack.stack.context("it has a stack")?;
            let site = raw.sites.get(&id).context("it is known")?;
            let depth = site.stack.walked.len() + site.stack.resumed.len();
            ensure!(depth > 5, "a stack of {depth}");
            *sides.entry(depth > 45).or_default() += stack.count;
        }
    }
    tell!("{sides:?}");
    Ok(())
}

fn calls(stack: &[Frame], function: &str) -> bool {
    stack.first().is_some_and(|frame| &*frame.function == function)
}

/// What net/http does in goroutines of its own is led back to the line that asked for it.
pub fn the_chain_leads_to_who_asked(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let (mut roster, mut probed) = start(toolchain, variant)?;
    probed.watch_births(Bounds::DEFAULT)?;
    roster.ask(7)?;
    let creators = probed.creators()?;
    let reach = |it: &CreatingGoroutine| {
        let chain = creators.started_by(it, None);
        let first = chain.first()?.first()?.function.to_string();
        let last = chain.last()?.iter().find(|frame| frame.function.starts_with("main."))?;
        let outermost = chain.last()?.last()?.function.to_string();
        Some((first, last.function.to_string(), outermost))
    };
    let mut found: BTreeMap<_, u32> = BTreeMap::new();
    for goroutine in creators.living() {
        if let Some(chain) = reach(&goroutine) {
            *found.entry(chain).or_default() += 1;
        }
    }
    tell!("{found:?}");
    let loops = found.iter().filter(|((first, main, outermost), _)| {
        first.contains("net/http.(*Transport).dialConn")
            && main == "main.ask"
            && outermost == "runtime.goexit"
    });
    let loops: u32 = loops.map(|(_, count)| count).sum();
    ensure!(loops == 14, "a reader and a writer for each of 7 connections: {found:?}");
    Ok(())
}

/// The program works on while probes come and go, under births and growing stacks.
pub fn the_program_survives(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let (mut roster, mut probed) = start(toolchain, variant)?;
    let mut births = 0;
    for _ in 0..25 {
        probed.watch_births(Bounds::DEFAULT)?;
        roster.pass(4_000)?;
        let raw = probed.ledgers.births(probed.id).context("births are watched")?;
        let now: u64 = raw.things.iter().map(|it| it.count).sum();
        ensure!((4_000..4_060).contains(&now), "{now} births");
        births += now;
        probed.ledgers.unwatch(probed.id);
        ensure!(is_left_alone(&probed), "a probe stays");
        roster.pass(500)?;
    }
    tell!("{births} births in 25 turns");
    Ok(())
}
