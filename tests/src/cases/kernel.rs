//! The kernel half against `/proc`.

use crate::case::Case;
use crate::kernel_tables::{
    absent_process_is_gone, an_ordinary_user_is_told_what_is_missing, damaged_types_are_refused,
    descriptors_equal_procfs, descriptors_outlive_the_leader, kernel_without_types_costs_its_rows_only,
    large_table_is_seen_whole, lifecycle_tells_of_a_short_life, lost_events_are_counted,
    mappings_equal_procfs, nothing_stays_loaded, one_look_loads_the_tables_only, tasks_equal_procfs,
    zombie_is_seen_with_its_parent,
};
use crate::need::Need;

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Root];
    vec![
        Case::new("kernel::descriptors_equal_procfs", needs, descriptors_equal_procfs),
        Case::new("kernel::tasks_equal_procfs", needs, tasks_equal_procfs),
        Case::new("kernel::mappings_equal_procfs", needs, mappings_equal_procfs),
        Case::new("kernel::zombie_is_seen_with_its_parent", needs, zombie_is_seen_with_its_parent),
        Case::new("kernel::descriptors_outlive_the_leader", needs, descriptors_outlive_the_leader),
        Case::new("kernel::large_table_is_seen_whole", needs, large_table_is_seen_whole),
        Case::new("kernel::lifecycle_tells_of_a_short_life", needs, lifecycle_tells_of_a_short_life),
        Case::new("kernel::lost_events_are_counted", needs, lost_events_are_counted),
        Case::new(
            "kernel::kernel_without_types_costs_its_rows_only",
            needs,
            kernel_without_types_costs_its_rows_only,
        ),
        Case::new("kernel::one_look_loads_the_tables_only", needs, one_look_loads_the_tables_only),
        Case::new("kernel::damaged_types_are_refused", needs, damaged_types_are_refused),
        Case::new("kernel::absent_process_is_gone", needs, absent_process_is_gone),
        Case::new("kernel::nothing_stays_loaded", needs, nothing_stays_loaded),
        Case::new(
            "kernel::an_ordinary_user_is_told_what_is_missing",
            needs,
            an_ordinary_user_is_told_what_is_missing,
        ),
    ]
}
