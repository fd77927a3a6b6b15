//! Takes the samples of all targets of one beat.
