//! Tests of watcher against the real thing: Go programs of every version, a real kernel, real servers.
//!
//! `cases` are the tests; `tests/host.rs` runs them here, and `vm` some of them on other kernels. Everything else is
//! what they need: toolchains and programs built with them, running processes that end with the test, the agent's own
//! command and its JSON.

pub mod accuracy;
pub mod agent;
pub mod answer;
pub mod attached;
pub mod births;
pub mod build;
pub mod cache;
pub mod case;
pub mod cases;
pub mod cgroup;
pub mod corpus;
pub mod cpu;
pub mod descriptor_ledger;
pub mod estate;
pub mod fake_go;
pub mod fuse;
pub mod golang_heap;
pub mod heard;
pub mod http;
pub mod kernel_tables;
pub mod ledgers;
pub mod linker_tables;
pub mod load;
pub mod loaded;
pub mod lobby;
pub mod market;
pub mod need;
pub mod opener;
pub mod posing;
pub mod probed;
pub mod process_weeks;
pub mod profiles;
pub mod program;
pub mod real;
pub mod recordings;
pub mod retention;
pub mod roster;
pub mod runner;
pub mod running;
pub mod sampling;
pub mod scene;
pub mod servers;
pub mod slow;
pub mod toolchain;
pub mod torment;
pub mod turns;
pub mod under_load;
pub mod vm;
