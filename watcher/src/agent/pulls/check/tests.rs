use super::{Asked, expect_answer};
use crate::report::pprof::{Builder, Mapping, Profile, ValueType};
use crate::source::pprof::{Fault, ProfileName};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CODE: Range<u64> = 0x40_0000..0x60_0000;

fn asked_at() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// What Go's runtime answers to a question for this profile, at that time.
fn honest(name: ProfileName, taken: SystemTime) -> Profile {
    let of = |types: &[(&str, &str)]| {
        let mut profile = Builder::goroutines(taken).build();
        profile.sample_types = types
            .iter()
            .map(|(kind, unit)| ValueType { kind: (*kind).to_owned(), unit: (*unit).to_owned() })
            .collect();
        profile
    };
    let mut profile = match name {
        ProfileName::Heap => Builder::heap(taken, 512 << 10).build(),
        ProfileName::Allocs => Builder::heap(taken, 512 << 10).build(),
        ProfileName::Goroutine => of(&[("goroutine", "count")]),
        ProfileName::GoroutineLeak => of(&[("goroutineleak", "count")]),
        ProfileName::ThreadCreate => of(&[("threadcreate", "count")]),
        ProfileName::Block | ProfileName::Mutex => of(&[("contentions", "count"), ("delay", "nanoseconds")]),
    };
    profile.default_sample_type = (name == ProfileName::Allocs).then(|| "alloc_space".to_owned());
    profile.mappings = vec![Mapping { start: CODE.start, end: CODE.end, ..Mapping::default() }];
    profile
}

fn judged(profile: &Profile, name: ProfileName) -> Result<(), Fault> {
    let took = Duration::from_millis(300);
    expect_answer(profile, &Asked { name, at: asked_at(), took, code: Some(&CODE) })
}

#[test]
fn each_profile_answers_its_own_question_and_no_other() {
    use ProfileName::{Block, Goroutine, GoroutineLeak, Mutex};
    for served in ProfileName::ALL {
        for name in ProfileName::ALL {
            // Nothing in them tells the first two apart; of the others no version of Go is known to confuse the names.
            let is_same = served == name
                || matches!((served, name), (Block, Mutex) | (Mutex, Block) | (Goroutine, GoroutineLeak));
            let judged = judged(&honest(served, asked_at()), name);
            assert_eq!(judged.is_ok(), is_same, "{served:?} for {name:?}: {judged:?}");
            assert!(is_same || matches!(judged, Err(Fault::OtherProfile(_))), "{judged:?}");
        }
    }
}

#[test]
fn only_what_was_taken_meanwhile_is_believed() {
    let taken = |seconds: f64| match seconds < 0.0 {
        true => asked_at() - Duration::from_secs_f64(-seconds),
        false => asked_at() + Duration::from_secs_f64(seconds),
    };
    for name in ProfileName::ALL {
        for (seconds, is_believed) in
            [(-3_600.0, false), (-5.0, false), (-0.5, true), (0.0, true), (0.3, true), (60.0, false)]
        {
            let judged = judged(&honest(name, taken(seconds)), name);
            assert_eq!(judged.is_ok(), is_believed, "{name:?} {seconds}: {judged:?}");
        }
        let mut undated = honest(name, asked_at());
        undated.taken = None;
        assert!(judged(&undated, name).is_err());
        let mut long = honest(name, asked_at());
        long.duration = Duration::from_secs(30);
        assert!(judged(&long, name).is_err());
    }
}

#[test]
fn another_process_is_told_by_its_code() {
    let mut profile = honest(ProfileName::Heap, asked_at());
    profile.mappings[0].end += 4096;
    assert!(matches!(judged(&profile, ProfileName::Heap), Err(Fault::OfAnother(_))));
    // Versions that do not know where it lies say so.
    profile.mappings[0].start = 0;
    assert_eq!(judged(&profile, ProfileName::Heap), Ok(()));
}
