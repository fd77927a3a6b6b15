//! A profile as a graph of calls: who calls whom, and how much of what was counted passes from the one to the other.

use super::fit;
use super::folded::{amount, name, percent};
use super::pprof::Profile;
use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

/// A picture of more functions than this is seen by nobody, and takes long to lay out.
const MAX_PICTURED: usize = 60;
/// A call through which less than this passes is left out of the picture, or it would be all lines.
const MIN_PICTURED_SHARE: f64 = 0.005;
/// Longest name in a box: the end of a name tells the function.
const MAX_NAME_CHARS: usize = 48;

/// Functions and calls with what was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallGraph {
    /// What was counted in all.
    pub total: i64,
    /// The unit of all numbers.
    pub unit: String,
    /// Functions by name: counted in them, and in them and below.
    pub functions: HashMap<String, (i64, i64)>,
    /// Calls from one to the other.
    pub calls: HashMap<(String, String), i64>,
}

impl CallGraph {
    /// The graph of one value of a profile. A call that a stack holds twice is counted once.
    pub fn of(profile: &Profile, value: usize) -> CallGraph {
        let unit = profile.sample_types.get(value).map_or("", |each| each.unit.as_str());
        let mut graph = CallGraph { unit: unit.to_owned(), ..CallGraph::default() };
        for sample in &profile.samples {
            let counted = sample.values.get(value).copied().unwrap_or(0);
            graph.total = graph.total.saturating_add(counted);
            let names: Vec<String> = profile.frames(sample).map(|frame| name(&frame)).collect();
            let (mut met, mut passed) = (HashSet::new(), HashSet::new());
            for (depth, callee) in names.iter().enumerate() {
                if met.insert(callee) {
                    let (flat, cumulative) = graph.functions.entry(callee.clone()).or_default();
                    *cumulative = cumulative.saturating_add(counted);
                    if depth == 0 {
                        *flat = flat.saturating_add(counted);
                    }
                }
                if let Some(caller) = names.get(depth + 1)
                    && passed.insert((caller, callee))
                {
                    let call = graph.calls.entry((caller.clone(), callee.clone())).or_default();
                    *call = call.saturating_add(counted);
                }
            }
        }
        graph
    }

    /// As SVG, of the functions with most; `None` where there is nothing to draw.
    pub fn svg(&self) -> Option<String> {
        let mut functions: Vec<(&String, &(i64, i64))> =
            self.functions.iter().filter(|(_, (_, cumulative))| *cumulative > 0).collect();
        functions.sort_by(|(name, one), (other_name, other)| {
            other.1.cmp(&one.1).then(other.0.cmp(&one.0)).then_with(|| name.cmp(other_name))
        });
        functions.truncate(MAX_PICTURED);
        if functions.is_empty() {
            return None;
        }
        let mut picture = VisualGraph::new(Orientation::TopToBottom);
        let mut boxes = BTreeMap::new();
        for (function, (flat, cumulative)) in functions {
            let text = format!(
                "{}\n{} ({}), with callees {} ({})",
                short(function),
                amount(*flat, &self.unit),
                percent(*flat, self.total),
                amount(*cumulative, &self.unit),
                percent(*cumulative, self.total)
            );
            let look = StyleAttr::new(Color::fast("black"), 1, Some(self.fill(*flat)), 4, FONT);
            let shape = ShapeKind::new_box(&text);
            let element = Element::create(shape, look, Orientation::TopToBottom, size(&text));
            boxes.insert(function, picture.add_node(element));
        }
        let mut calls: Vec<_> =
            self.calls.iter().filter(|(_, counted)| self.share(**counted) >= MIN_PICTURED_SHARE).collect();
        calls.sort();
        for ((caller, callee), counted) in calls {
            // A function that calls itself is drawn over its box by the library.
            if caller != callee
                && let (Some(from), Some(to)) = (boxes.get(caller), boxes.get(callee))
            {
                picture.add_edge(Arrow::simple(&amount(*counted, &self.unit)), *from, *to);
            }
        }
        let mut svg = SVGWriter::new();
        picture.do_it(false, false, false, &mut svg);
        Some(svg.finalize())
    }

    fn share(&self, counted: i64) -> f64 {
        if self.total == 0 { 0.0 } else { counted as f64 / self.total as f64 }
    }

    /// The more is counted in the function itself, the redder.
    fn fill(&self, flat: i64) -> Color {
        let paler = 1.0 - self.share(flat).clamp(0.0, 1.0).sqrt();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 100 and 255")]
        let paler = (100.0 + 155.0 * paler) as u32;
        Color::new(0xff00_00ff | paler << 16 | paler << 8)
    }
}

const FONT: usize = 13;

fn size(text: &str) -> Point {
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(1);
    Point::new(
        widest as f64 * FONT as f64 * 0.65 + 16.0,
        text.lines().count() as f64 * FONT as f64 * 1.4 + 12.0,
    )
}

fn short(name: &str) -> String {
    let length = name.chars().count();
    match length.checked_sub(MAX_NAME_CHARS) {
        Some(1..) => format!("…{}", name.chars().skip(length - MAX_NAME_CHARS + 1).collect::<String>()),
        _ => name.to_owned(),
    }
}

/// A node of the tree of stacks, roots outermost.
#[derive(Default)]
struct Branch {
    counted: i64,
    callees: BTreeMap<String, Branch>,
}

/// The tree of calls for a terminal: what lies below each call, those with most first, at most `rows` lines.
pub fn tree(profile: &Profile, value: usize, rows: usize) -> String {
    let unit = profile.sample_types.get(value).map_or("", |each| each.unit.as_str());
    let mut root = Branch::default();
    for sample in &profile.samples {
        let counted = sample.values.get(value).copied().unwrap_or(0);
        let mut names: Vec<String> = profile.frames(sample).map(|frame| name(&frame)).collect();
        names.reverse();
        root.counted = root.counted.saturating_add(counted);
        let mut branch = &mut root;
        for name in names {
            branch = branch.callees.entry(name).or_default();
            branch.counted = branch.counted.saturating_add(counted);
        }
    }
    let mut lines = Vec::new();
    // Without recursion: a stack may be as deep as its writer wanted.
    let mut waiting: Vec<(usize, &str, &Branch)> = vec![(0, "all", &root)];
    let mut hidden = 0_usize;
    while let Some((depth, name, branch)) = waiting.pop() {
        if lines.len() >= rows {
            hidden += 1;
            continue;
        }
        let indent = "  ".repeat(depth.min(MAX_INDENT));
        lines.push(format!(
            "{:>10} {:>6}  {indent}{}",
            amount(branch.counted, unit),
            percent(branch.counted, root.counted),
            fit::name(name)
        ));
        let mut callees: Vec<(&String, &Branch)> =
            branch.callees.iter().filter(|(_, callee)| callee.counted != 0).collect();
        callees.sort_by_key(|(_, callee)| callee.counted.unsigned_abs());
        waiting.extend(callees.into_iter().map(|(name, callee)| (depth + 1, name.as_str(), callee)));
    }
    let mut text = lines.join("\n") + "\n";
    if hidden > 0 {
        _ = writeln!(text, "not shown: {hidden} branches or more (-n shows more)");
    }
    text
}

const MAX_INDENT: usize = 60;

#[cfg(test)]
mod tests {
    use super::{CallGraph, short, tree};
    use crate::report::pprof::{Builder, Function, Profile};
    use crate::report::{peek, traces};
    use expect_test::expect;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    fn shop() -> Profile {
        let mut builder = Builder::goroutines(UNIX_EPOCH);
        let mut place = |address: u64, name: &str| {
            let function =
                Function { name: name.to_owned(), file: "/src/shop.go".to_owned(), start_line: None };
            builder.location(address, [(function, u32::try_from(address).unwrap())])
        };
        let (main, serve, wait, fill) =
            (place(1, "main.main"), place(2, "main.serve"), place(3, "main.wait"), place(4, "main.<fill>&"));
        for (stack, count) in [
            (vec![wait, serve, main], 40),
            (vec![fill, serve, main], 8),
            (vec![serve, serve, main], 2),
            (vec![fill], 0),
        ] {
            builder.sample(stack, vec![count], vec![]);
        }
        builder.build()
    }

    #[test]
    fn trees_peeks_and_traces_read_as_go_has_them() {
        expect![[r#"
                    50   100%  all
                    50   100%    main.main
                    50   100%      main.serve
                    40 80.00%        main.wait
                     8 16.00%        main.<fill>&
            not shown: 1 branches or more (-n shows more)
        "#]]
        .assert_eq(&tree(&shop(), 0, 5));
        expect![[r#"
                  flat  flat%        cum   cum%      calls calls%   function
            ----------------------------------------------------------+-------------
                                                        50   100% |   main.main
                                                         2  4.00% |   main.serve
                     2  4.00%         50   100%                   | main.serve
                                                        40 80.00% |   main.wait
                                                         8 16.00% |   main.<fill>&
                                                         2  4.00% |   main.serve
            ----------------------------------------------------------+-------------
        "#]]
        .assert_eq(&peek::text(&shop(), 0, "serve"));
        expect![[r#"
            -----------+----------------------------------------------------
                     40   main.wait  /src/shop.go:3
                          main.serve  /src/shop.go:2
                          main.main  /src/shop.go:1
            -----------+----------------------------------------------------
                      8   main.<fill>&  /src/shop.go:4
                          main.serve  /src/shop.go:2
                          main.main  /src/shop.go:1
            -----------+----------------------------------------------------
            not shown: 1 stacks (-n 3 shows all)
        "#]]
        .assert_eq(&traces::text(&shop(), 0, 2));
        assert_eq!(peek::text(&shop(), 0, "nowhere"), "No function's name holds \"nowhere\".\n");
    }

    #[test]
    fn a_picture_has_a_box_for_each_function_and_harmless_names() {
        let svg = CallGraph::of(&shop(), 0).svg().unwrap();
        assert!(svg.contains("main.&lt;fill&gt;&amp;") && !svg.contains("main.<fill>"), "{svg}");
        assert!(svg.contains("40 (80.00%)") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert_eq!(CallGraph::of(&Profile::default(), 0).svg(), None);
        assert_eq!(short(&"a".repeat(60)).chars().count(), 48);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_calls_are_drawn(stacks in prop::collection::vec(prop::collection::vec(0_usize..7, 1..6), 1..12)) {
            let mut graph = CallGraph::default();
            for stack in &stacks {
                graph.total += 1;
                for pair in stack.windows(2) {
                    *graph.calls.entry((pair[1].to_string(), pair[0].to_string())).or_default() += 1;
                }
                for name in stack {
                    graph.functions.insert(name.to_string(), (1, 2));
                }
            }
            prop_assert!(graph.svg().is_some_and(|svg| svg.contains("<svg")));
        }
    }
}
