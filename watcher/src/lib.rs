//! A privileged agent for Linux hosts that watches Go processes nobody prepared for watching, and says which
//! resource leaks, how fast, when it runs out, and which line of Go code did it.
//!
//! `ARCHITECTURE.md` tells how the modules hang together and what each must not know.

pub mod agent;
pub mod capture;
pub mod cli;
pub mod commands;
pub mod config;
pub mod discover;
pub mod explain;
pub mod golang;
pub mod judge;
pub mod ledger;
pub mod news;
pub mod observed;
pub mod report;
pub mod sample;
pub mod source;
pub mod store;
pub mod vocabulary;
