use super::{Holders, Reading, folded, json, text};
use crate::report::stack::fixture::process;
use crate::vocabulary::holders::{Amount, Held, HolderKind, Step, What};
use std::time::{Duration, SystemTime};

fn amount(objects: u64, bytes: u64) -> Amount {
    Amount { objects, bytes }
}

fn step(field: &str, what: What, own: Amount, steps: Vec<Step>) -> Step {
    let mut below = own;
    steps.iter().for_each(|step| below += step.below);
    Step { field: field.to_owned(), what, own, below, steps }
}

fn named(name: &str) -> What {
    What::Type(name.into())
}

fn holders() -> Holders {
    let body = step(".Body", named("[]uint8"), amount(100, 8 << 20), Vec::new());
    let extra = step(".Extra", What::Unknown(48), amount(10, 480), Vec::new());
    let session = step("", named("main.Session"), amount(100, 6400), vec![body, extra]);
    let map = step(".all", named("map[string]*main.Session"), amount(3, 4096), vec![session]);
    let below = map.below;
    let small = step("", named("struct { a int; b *int }"), amount(1, 16), Vec::new());
    let held = |kind, name: &str, step: Step| Held {
        kind,
        name: name.to_owned(),
        below: step.below,
        steps: vec![step],
    };
    Holders {
        process: process(),
        taken: SystemTime::UNIX_EPOCH,
        reached: amount(below.objects + 1, below.bytes + 16),
        typed: amount(204, below.bytes - 480),
        unreached: amount(7, 700),
        holders: vec![
            held(HolderKind::Variable, "package variable main.sessions", map),
            held(HolderKind::Goroutine, "the main goroutine", small),
        ],
        reading: Reading {
            took: Duration::from_millis(40),
            places: 5000,
            own_bytes: 80_000,
            ..Reading::default()
        },
        remarks: Vec::new(),
    }
}

#[test]
fn the_way_to_most_of_it_is_told() {
    let text = text(&holders(), 1);
    let expected = "\n8.01 MiB of its heap are held, in 214 objects.\n\n\
        100 %  8.01 MiB  package variable main.sessions: 213 objects\n\
        \u{20}                  -> .all map[string]*main.Session: 3 objects, 4 KiB\n\
        \u{20}                  -> main.Session: 100 objects, 6.25 KiB\n\
        \u{20}                  -> .Body []uint8: 100 objects, 8 MiB\n\n\
        not shown: 1 smaller holder with 16 B (-n 2 shows all)\n\n\
        Read once in 40 ms, without stopping it: 5,000 places for objects, and 78.1 KiB of memory here. The type of \
        100 % of the bytes is known.\n\
        700 B more, in 7 objects, are held by nobody";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn all_ways_are_folded_and_add_up() {
    let folded = folded(&holders());
    let sum: u64 = folded.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum();
    assert_eq!(sum, holders().reached.bytes, "{folded}");
    assert!(folded.contains(
        "package variable main.sessions;.all map[string]*main.Session;main.Session;.Extra 48-byte objects of unknown \
         type 480\n"
    ));
    assert!(folded.contains("the main goroutine;struct { a int, b *int } 16\n"), "{folded}");
}

#[test]
fn programs_get_the_same_numbers() {
    let json: serde_json::Value = serde_json::from_str(&json(&holders()).unwrap()).unwrap();
    assert_eq!(json["schema"], "watcher.holders/1");
    assert_eq!(json["unreached_bytes"], 700);
    let chain = json["holders"][0]["chain"].as_array().unwrap();
    let types: Vec<_> = chain.iter().map(|step| step["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["map[string]*main.Session", "main.Session", "[]uint8"]);
    assert_eq!((&chain[1]["objects"], &chain[1]["below_objects"]), (&100.into(), &210.into()));
}
