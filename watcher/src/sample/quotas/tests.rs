use super::Reader;
use crate::judge::simulation::{Beat, sample};
use crate::observed::Sample;
use crate::observed::descriptors::DescriptorTypes;
use crate::observed::quotas::Quotas;
use crate::source::proc::ProcRoot;
use crate::source::proc::fake::target;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::process::{Limits, Target};
use crate::vocabulary::reading::{Reading, Stamped, Via};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use std::sync::Arc;

/// This test itself, as a target with these limits.
fn own(limits: Limits) -> (ProcRoot, Target) {
    let root = ProcRoot::host().unwrap();
    let pid = std::process::id().cast_signed();
    let id = root.open(pid).and_then(|process| process.id()).into_seen().unwrap();
    let uid = Some(nix::unistd::geteuid().as_raw());
    (root, Target { id, uid, limits, ..target(pid) })
}

fn read(reader: &mut Reader, root: &ProcRoot, target: &Target, sample: &mut Sample) -> Quotas {
    reader.read(std::slice::from_ref(target), std::slice::from_mut(sample), root, None);
    sample.quotas.seen().cloned().expect("it was read")
}

fn has_inotify(sample: &mut Sample, count: u64) {
    let counts = [(DescriptorType::Inotify, count)].into();
    let reading = Reading::Seen(DescriptorTypes { counts });
    sample.descriptor_types = Arc::new(Stamped { at: sample.at, via: Via::Procfs, reading });
}

#[test]
fn whoever_has_nothing_to_do_with_it_costs_nothing() {
    let (root, target) = own(Limits::default());
    let mut idle = sample(0.0, &Beat::default());
    assert_eq!(read(&mut Reader::default(), &root, &target, &mut idle), Quotas::default());
}

#[test]
fn instances_and_watches_are_those_of_all_processes_of_the_user() {
    let (root, target) = own(Limits::default());
    let instances: Vec<_> = (0..3).map(|_| init(CreateFlags::CLOEXEC).unwrap()).collect();
    let dir = tempfile::tempdir().unwrap();
    for number in 0..40 {
        let path = dir.path().join(number.to_string());
        std::fs::write(&path, "").unwrap();
        add_watch(&instances[number % 3], &path, WatchFlags::MODIFY).unwrap();
    }
    let mut sample = sample(0.0, &Beat::default());
    has_inotify(&mut sample, 3);
    let quotas = read(&mut Reader::default(), &root, &target, &mut sample);
    let (instances, watches) = (quotas.inotify_instances.unwrap(), quotas.inotify_watches.unwrap());
    // Other tests of this program may watch files at the same time.
    assert!(instances.own >= 3 && instances.used >= instances.own && instances.of > 0, "{instances:?}");
    assert!(watches.own >= 40 && watches.used >= watches.own && watches.of >= 40, "{watches:?}");
}

#[test]
fn what_most_of_a_nearly_full_table_is_and_of_no_other() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let _open: Vec<_> = (0..300).map(|_| file.reopen().unwrap()).collect();
    let path = file.path().to_string_lossy().into_owned();
    for (limit, is_told) in [(400, true), (100_000, false)] {
        let (root, target) = own(Limits { open_files: Some(limit), ..Limits::default() });
        let mut sample = sample(0.0, &Beat { files: 330, ..Beat::default() });
        let quotas = read(&mut Reader::default(), &root, &target, &mut sample);
        assert_eq!(quotas.descriptor_paths.iter().any(|(told, _)| *told == path), is_told, "{quotas:?}");
    }
}

#[test]
fn between_rounds_the_last_one_is_kept_and_another_process_is_not_taken_for_it() {
    let limits = Limits { user_processes: Some(1_000), ..Limits::default() };
    let (root, mut target) = own(limits);
    target.uid = Some(nix::unistd::geteuid().as_raw());
    let mut reader = Reader::default();
    let mut sample = sample(0.0, &Beat::default());
    let first = read(&mut reader, &root, &target, &mut sample);
    assert_eq!(read(&mut reader, &root, &target, &mut sample), first);
    let other =
        Target { id: crate::vocabulary::process::ProcessId { start_ticks: 1, ..target.id }, ..target };
    let limits = Limits { open_files: Some(10), ..Limits::default() };
    let other = Target { limits, ..other };
    let mut sample = crate::judge::simulation::sample(0.0, &Beat::default());
    reader = Reader::default();
    reader.read(std::slice::from_ref(&other), std::slice::from_mut(&mut sample), &root, None);
    assert_eq!(sample.quotas.reading, Reading::Gone);
}
