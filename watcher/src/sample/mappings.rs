//! Number of mappings of a process: the VMAs that `vm.max_map_count` bounds.
//!
//! It comes with a task of the pass over all tasks where the kernel's iterator serves. Otherwise the lines of
//! `/proc/PID/maps` are counted, which costs about a microsecond each, so that processes take turns.
