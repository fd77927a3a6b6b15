//! Single functions with those who call them and those they call, as `go tool pprof -peek` prints them.

use super::fit;
use super::folded::{amount, percent};
use super::graph::CallGraph;
use super::pprof::Profile;
use std::fmt::Write;

/// Functions that are shown, those with most first.
const MAX_FUNCTIONS: usize = 50;
const RULE: &str = "----------------------------------------------------------+-------------";

/// The functions whose names hold `text`.
pub fn text(profile: &Profile, value: usize, text: &str) -> String {
    let graph = CallGraph::of(profile, value);
    let mut functions: Vec<(&String, &(i64, i64))> =
        graph.functions.iter().filter(|(name, counted)| name.contains(text) && **counted != (0, 0)).collect();
    if functions.is_empty() {
        return format!("No function's name holds {text:?}.\n");
    }
    functions.sort_by(|(name, one), (other_name, other)| {
        other.1.unsigned_abs().cmp(&one.1.unsigned_abs()).then_with(|| name.cmp(other_name))
    });
    let mut page = format!(
        "{:>10} {:>6} {:>10} {:>6} {:>10} {:>6}   function\n",
        "flat", "flat%", "cum", "cum%", "calls", "calls%"
    );
    for (function, (flat, cumulative)) in functions.iter().take(MAX_FUNCTIONS) {
        _ = writeln!(page, "{RULE}");
        for (name, counted) in neighbours(&graph, |(caller, callee)| (callee == *function).then_some(caller))
        {
            call(&mut page, &graph, name, counted, *cumulative);
        }
        _ = writeln!(
            page,
            "{:>10} {:>6} {:>10} {:>6} {:>17} | {}",
            amount(*flat, &graph.unit),
            percent(*flat, graph.total),
            amount(*cumulative, &graph.unit),
            percent(*cumulative, graph.total),
            "",
            fit::name(function)
        );
        for (name, counted) in neighbours(&graph, |(caller, callee)| (caller == *function).then_some(callee))
        {
            call(&mut page, &graph, name, counted, *cumulative);
        }
    }
    _ = writeln!(page, "{RULE}");
    let hidden = functions.len().saturating_sub(MAX_FUNCTIONS);
    if hidden > 0 {
        _ = writeln!(page, "not shown: {hidden} functions");
    }
    page
}

fn call(page: &mut String, graph: &CallGraph, name: &str, counted: i64, of: i64) {
    let (amount, share) = (amount(counted, &graph.unit), percent(counted, of));
    _ = writeln!(page, "{amount:>46} {share:>6} |   {}", fit::name(name));
}

/// The other ends of calls, those with most first.
fn neighbours<'a>(
    graph: &'a CallGraph,
    other_end: impl Fn(&'a (String, String)) -> Option<&'a String>,
) -> Vec<(&'a String, i64)> {
    let calls = graph.calls.iter().filter(|(_, counted)| **counted != 0);
    let mut found: Vec<(&String, i64)> =
        calls.filter_map(|(call, counted)| Some((other_end(call)?, *counted))).collect();
    found.sort_by(|(name, one), (other_name, other)| {
        other.unsigned_abs().cmp(&one.unsigned_abs()).then_with(|| name.cmp(other_name))
    });
    found
}
