//! What variables of Go programs hold, and what they are called, read from stripped executables.

use crate::attached::Attached;
use crate::build::{self, Variant};
use crate::case::Case;
use crate::estate::Estate;
use crate::need::{C_COMPILER, Need};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use watcher::golang::graph::globals::Globals;
use watcher::golang::graph::types::{TypeId, Types};

/// Variable, the type of what its first word points to, and the functions that may name it where it has no name.
const VARIABLES: [(&str, &str, &[&str]); 12] = [
    ("byNumber", "map[int]*main.Guest", &["main.number"]),
    ("letters", "[]*main.Letter", &["main.write"]),
    ("slips", "[][]uint8", &["main.cut"]),
    ("queue", "list.List", &["main.enqueue"]),
    ("first", "main.Link", &["main.link"]),
    ("bells", "map[string]func() int", &["main.ring"]),
    ("boxes", "map[string]interface {}", &["main.box"]),
    ("line", "chan *main.Task", &["main.send"]),
    ("wide", "map[main.Host]main.Wide", &["main.widen"]),
    ("stack.guests", "map[string]*main.Guest", &["main.main", "main.(*Hall).Enter"]),
    ("hall.guests", "map[string]*main.Guest", &["main.main"]),
    ("chain", "", &["main.pass"]),
];

/// From a type by an offset: field and type of what the pointer leads to.
const STEPS: [(&str, u64, &str, &str); 7] = [
    ("main.Guest", 32, ".Luggage", "[]uint8"),
    ("main.Guest", 72, ".Since.loc", "time.Location"),
    ("main.Guest", 80, ".Host", "main.Host"),
    ("main.Link", 8, ".host", "main.Host"),
    ("main.Token", 80, ".Notes", "map[string]string"),
    ("main.Wide", 24 * 3, ".Rows[].Address", "string data"),
    ("main.Wide", 24 * 40, ".Tail", "main.Task"),
];

const ROWS: [(u32, Variant); 12] = [
    (21, Variant::STRIPPED),
    (21, Variant::PIE),
    (22, Variant::STRIPPED),
    (23, Variant::STRIPPED),
    (24, Variant::STRIPPED),
    (24, Variant::CGO),
    (25, Variant::STRIPPED),
    (26, Variant::STRIPPED),
    (26, Variant::PLAIN),
    (27, Variant::STRIPPED),
    (27, Variant::PIE),
    (27, Variant::CGO),
];

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    ROWS.into_iter().filter_map(|(minor, variant)| Some(("estate", Toolchain::minor(minor)?, variant)))
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let case = |(minor, variant): (u32, Variant)| {
        let needs = [Need::GoMinor(minor)].into_iter().chain(variant.cgo.then_some(C_COMPILER));
        Case::new(format!("graph_types::go1_{minor}_{}", variant.name()), needs, move || {
            check(Toolchain::minor(minor).context("the toolchain is here")?, variant)
        })
    };
    ROWS.into_iter().map(case).collect()
}

fn check(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let mut estate = Estate::start(&build::build("estate", toolchain, variant)?)?;
    estate.put("hall", 10)?;
    let mut attached = Attached::to(estate.pid())?;
    let (minor, places) = (attached.runtime.minor(), *attached.runtime.places());
    let (symbols, loaded) = attached.runtime.symbols(&attached.file, &attached.memory);
    let modules: Vec<_> = symbols.modules().cloned().collect();
    let mut types = Types::open(&loaded, &modules, minor);
    let globals = Globals::find(&loaded, symbols, &mut types, &places);
    let mut wrong = Vec::new();
    for (variable, expected, users) in VARIABLES {
        let address = *estate.books.places.get(variable).context("it says where the variable is")?;
        let id = globals.type_at(&mut types, address);
        let name = if id == TypeId::UNKNOWN { "" } else { &*types.info(id).name }.to_owned();
        let (called, field) = globals.name_at(&mut types, address);
        let is_named = if variant.stripped {
            users.iter().any(|user| called.contains(user))
        } else {
            called == format!("package variable main.{}", variable.split('.').next().unwrap_or_default())
        };
        let is_field = field.is_empty() != variable.contains('.');
        if name != expected || !is_named || !is_field {
            wrong.push(format!("{variable}: {name:?} in {called:?}{field}"));
        }
    }
    for (from, offset, field, to) in STEPS {
        let id = types.known().find(|(_, info)| &*info.name == from).map(|(id, _)| id);
        let step = id.and_then(|id| types.step(id, offset));
        let step = step.map(|(field, id)| (field, types.info(id).name.to_string()));
        if step.as_ref().map(|(field, to)| (&**field, &**to)) != Some((field, to)) {
            wrong.push(format!("{from}+{offset}: {step:?} instead of {field} to {to}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
