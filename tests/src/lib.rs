//! Tests of watcher against the real thing.
