//! The kernel half: BTF, programs, iterators.
