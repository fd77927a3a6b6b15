use super::falls;
use crate::judge::simulation::window;
use crate::observed::go_counters::GoCounters;

#[test]
fn a_fall_counts_only_with_its_collection_or_a_beat_later() {
    let of = |collected_at: usize, falls_at: usize| {
        window(move |second, beat| {
            beat.files += 5 * second as u64;
            if second >= falls_at {
                beat.files -= 5 * falls_at as u64;
            }
            let cycles = Some(3 + u64::from(second >= collected_at));
            beat.runtime = Some(GoCounters { gc_cycles: cycles, ..GoCounters::default() });
        })
    };
    for (collected_at, falls_at, counts) in
        [(20, 20, true), (20, 21, true), (20, 22, false), (20, 19, false), (3, 40, false)]
    {
        let found = falls(&of(collected_at, falls_at));
        assert_eq!(found.is_some(), counts, "collected at {collected_at}, fell at {falls_at}: {found:?}");
    }
    assert_eq!(
        falls(&window(|_, _| {})),
        None,
        "without the runtime's count there is nothing to compare with"
    );
}
