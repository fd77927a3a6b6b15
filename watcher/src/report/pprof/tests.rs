//! What goes out comes back, and nothing that comes in does harm.

use super::{
    Builder, DecodeError, Function, Label, LabelValue, Limits, Location, Mapping, Profile, ValueType, decode,
    diff, encode,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

fn encoded(profile: &Profile) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(profile, &mut bytes).unwrap();
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn function(name: &str) -> Function {
    Function { name: name.to_owned(), file: "/src/main.go".to_owned(), start_line: Some(7) }
}

/// A heap with one allocation site for each of `sizes`, in use once.
fn heap(sizes: &[i64]) -> Profile {
    let mut builder = Builder::heap(UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789), 524_288);
    builder.mapping(Mapping {
        start: 0x40_0000,
        end: 0x80_0000,
        file_offset: 0x1000,
        file: "/usr/bin/ledger".to_owned(),
        build_id: "c0ffee".to_owned(),
    });
    let main = builder.location(0x40_1000, [(function("main.main"), 11)]);
    for (site, &bytes) in (1..).zip(sizes) {
        let name = format!("main.site{site}");
        let place = builder.location(0x50_0000 + site, [(function("main.inlined"), 3), (function(&name), 9)]);
        let label = Label { key: "bytes".to_owned(), value: LabelValue::Number(bytes, String::new()) };
        builder.sample(vec![place, main], vec![2, 2 * bytes, 1, bytes], vec![label]);
    }
    builder.comment("read without an endpoint".to_owned());
    builder.build()
}

#[test]
fn what_is_encoded_decodes_to_the_same() {
    let profile = heap(&[1024, 16]);
    assert_eq!(profile.locations.len(), 3, "main is stored once");
    assert_eq!(profile.functions.len(), 4, "and so is the inlined function");
    assert_eq!(decode(&encoded(&profile), &Limits::default()).unwrap(), profile);
    let mut builder = Builder::goroutines(UNIX_EPOCH + Duration::from_secs(1));
    let bare = builder.location(0x99, []);
    let text = Label { key: "request".to_owned(), value: LabelValue::Text("a".to_owned()) };
    builder.sample(vec![bare], vec![3], vec![text]);
    let goroutines = builder.build();
    assert_eq!(decode(&encoded(&goroutines), &Limits::default()).unwrap(), goroutines);
}

#[test]
fn a_difference_is_taken_stack_by_stack() {
    let before = heap(&[1024, 512, 64]);
    let mut after = heap(&[1024, 4096]);
    for location in &mut after.locations {
        location.address += 0x10_0000;
    }
    let difference = diff(&before, &after).unwrap();
    let grown: Vec<i64> = difference.growths.iter().map(|growth| growth.by(3)).collect();
    assert_eq!(grown, [4096 - 512, 0, -64]);
    assert_eq!(difference.growths[0].before, [2, 1024, 1, 512]);
    let profile = difference.profile();
    assert_eq!(profile.samples.len(), 2, "what did not change is left out");
    let names: Vec<&str> =
        profile.frames(&profile.samples[0]).map(|frame| frame.function.unwrap().name.as_str()).collect();
    assert_eq!(names, ["main.inlined", "main.site2", "main.main"]);
    let goroutines = Builder::goroutines(UNIX_EPOCH).build();
    assert_eq!(
        diff(&goroutines, &after).unwrap_err().to_string(),
        "the profiles count different things: goroutine/count and \
         alloc_objects/count, alloc_space/bytes, inuse_objects/count, inuse_space/bytes"
    );
}

#[test]
fn contradictions_are_named() {
    let good = heap(&[1024]);
    let broken = |change: &dyn Fn(&mut Profile)| {
        let mut profile = good.clone();
        change(&mut profile);
        decode(&encoded(&profile), &Limits::default()).unwrap_err().to_string()
    };
    for (expected, change) in [
        (
            "a sample names no location",
            &(|p: &mut Profile| p.samples[0].stack[0] = 9) as &dyn Fn(&mut Profile),
        ),
        ("a line names no function", &|p| p.locations[0].lines[0].function = 9),
        ("a location names no mapping", &|p| p.locations[0].mapping = Some(9)),
        ("a sample has more or fewer values than there are sample types", &|p| p.samples[0].values.push(1)),
    ] {
        assert_eq!(broken(change), format!("malformed pprof profile: {expected}"));
    }
    let long = broken(&|p| p.functions[0].name = "x".repeat(65 << 10));
    assert_eq!(long, "the profile has more than 65536 bytes in one text");
}

/// `go tool pprof` cuts two digits off the build id, and panics where there are fewer.
#[test]
fn a_build_id_too_short_for_pprof_is_left_out() {
    let mut profile = heap(&[1024]);
    profile.mappings[0].build_id = "x".to_owned();
    assert_eq!(decode(&encoded(&profile), &Limits::default()).unwrap().mappings[0].build_id, "");
}

#[test]
fn names_come_out_printable() {
    let mut profile = heap(&[1024]);
    profile.functions[0].name = "main.\x1b[31mred".to_owned();
    let decoded = decode(&encoded(&profile), &Limits::default()).unwrap();
    assert_eq!(decoded.functions[0].name, "main.\\u{1b}[31mred");
}

#[test]
fn what_is_too_large_is_refused_before_it_is_stored() {
    let limits = Limits { unpacked_bytes: 1 << 20, items: 10_000 };
    let empty_samples = [0x12, 0x00].repeat(200_000);
    let one_sample_of_many_locations =
        [&[0x12, 0xc4, 0x9a, 0x0c, 0x0a, 0xc0, 0x9a, 0x0c][..], &[1; 200_000]].concat();
    for (bytes, expected) in [
        (packed(&vec![0; 64 << 20]), "the profile has more than 1048576 bytes"),
        (vec![0; 2 << 20], "the profile has more than 1048576 bytes"),
        (packed(&empty_samples), "the profile has more than 10000 entries"),
        (one_sample_of_many_locations, "the profile has more than 10000 entries"),
    ] {
        assert_eq!(decode(&bytes, &limits).unwrap_err().to_string(), expected);
    }
}

/// One function of a long name, referred to by every mapping: the file is small, the profile would not be.
#[test]
fn texts_that_are_referred_to_often_are_bounded() {
    let mut profile = heap(&[]);
    profile.mappings = vec![Mapping { file: "x".repeat(60 << 10), ..Mapping::default() }; 1000];
    let bytes = encoded(&profile);
    assert!(bytes.len() < 20_000);
    let limits = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
    let error = decode(&bytes, &limits).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { what: "bytes of text", .. }), "{error}");
}

proptest! {
    #[test]
    fn any_profile_survives(
        sizes in prop::collection::vec(any::<i64>().prop_map(|bytes| bytes / 4), 0..40),
        kind in "[a-z]{1,8}",
    ) {
        let mut profile = heap(&sizes);
        profile.sample_types[0] = ValueType::new(&kind, "count");
        prop_assert_eq!(decode(&encoded(&profile), &Limits::default()).unwrap(), profile.clone());
        prop_assert_eq!(diff(&profile, &profile).unwrap().profile().samples, vec![]);
    }

    #[test]
    fn garbled_profiles_do_no_harm(
        sizes in prop::collection::vec(1_i64..1 << 30, 0..8),
        at in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let packed_profile = encoded(&heap(&sizes));
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed_profile[..]), &mut unpacked).unwrap();
        for mut bytes in [packed_profile, unpacked] {
            let position = at.index(bytes.len());
            bytes[position] = byte;
            bytes.truncate(cut.index(bytes.len()) + 1);
            if let Ok(profile) = decode(&bytes, &Limits::default()) {
                // What is accepted must be usable.
                _ = diff(&profile, &profile).unwrap().profile();
                _ = super::super::folded::folded(&profile, 0);
                _ = decode(&encoded(&profile), &Limits::default()).unwrap();
            }
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(profile) = decode(&bytes, &Limits::default()) {
            prop_assert!(profile.locations.iter().all(|location: &Location| location.mapping.is_none()
                || !profile.mappings.is_empty()));
        }
    }
}
