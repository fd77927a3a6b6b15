//! Number of mappings of a process: the VMAs that `vm.max_map_count` bounds.
