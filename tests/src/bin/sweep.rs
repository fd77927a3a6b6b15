//! Measures what a sweep costs, beside Debian's prometheus-process-exporter on the same processes.

fn main() {}
