//! Who asked for goroutines that a library starts: the program's own line, by the births that were watched.

use super::is_own;
use crate::judge::Frame;
use crate::sample::goroutines::GoroutineSite;
use crate::store::Captures;
use std::collections::{HashMap, HashSet};

/// Askers that are named of one `go` statement.
const MAX_ASKERS: usize = 3;

/// A line of the program's own that made a library execute a `go` statement.
#[derive(Debug, PartialEq)]
pub(super) struct Asker {
    pub line: Frame,
    /// Where its goroutines are, then who started them.
    pub stack: Vec<Frame>,
    /// Its part of those that came and whose birth was seen: 0 to 1.
    pub share: f64,
    /// The same goroutine asks for the same at other lines as well, and which of them came from where is not known: they
    /// are counted to each alike.
    pub is_one_of_several: bool,
}

/// Who asked for the goroutines of this origin that came since the first capture, most first. None where the statement
/// itself is the program's own, and where no birth was seen.
pub(super) fn seen(captures: &Captures, created_by: &[Frame]) -> Vec<Asker> {
    let module = captures.main_module.as_deref();
    let Some(last) = captures.goroutines.last() else { return Vec::new() };
    if created_by.is_empty() || created_by.iter().any(|frame| is_own(frame, module)) {
        return Vec::new();
    }
    let first = captures.goroutines.ends().map(|(first, _)| first);
    let one_in = first.map_or(1, |first| first.one_in).max(last.one_in);
    let old: HashSet<u64> = first.iter().flat_map(|first| &first.members).map(|member| member.id).collect();
    let mut new: HashMap<u32, u64> = HashMap::new();
    for member in last.members.iter().filter(|it| it.id.is_multiple_of(one_in) && !old.contains(&it.id)) {
        *new.entry(member.site).or_default() += 1;
    }
    let mut askers: HashMap<&Frame, (f64, Vec<Frame>, bool)> = HashMap::new();
    for (index, site) in (0..).zip(&last.sites).filter(|(_, site)| &*site.created_by == created_by) {
        let count = new.get(&index).copied().unwrap_or(0);
        if count == 0 {
            continue;
        }
        let lines = lines(site, module);
        for (line, started_by) in &lines {
            let known = askers.entry(*line).or_insert_with(|| (0.0, whole(site, started_by), false));
            known.0 += count as f64 / lines.len() as f64;
            known.2 |= lines.len() > 1;
        }
    }
    let all: f64 = askers.values().map(|(count, ..)| count).sum();
    let mut askers: Vec<Asker> = askers
        .into_iter()
        .map(|(line, (count, stack, is_one_of_several))| Asker {
            line: line.clone(),
            stack,
            share: count / all.max(f64::MIN_POSITIVE),
            is_one_of_several,
        })
        .collect();
    askers.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.line.cmp(&b.line)));
    askers.truncate(MAX_ASKERS);
    askers
}

/// Each line of the program's own that may have asked for the goroutines of a site, with the stacks that started them.
fn lines<'a>(site: &'a GoroutineSite, module: Option<&str>) -> Vec<(&'a Frame, Vec<&'a Frame>)> {
    let first: Vec<&Frame> = site.started_by.iter().flat_map(|stack| stack.iter()).collect();
    let others = site.or_started_by.iter().map(|stack| stack.iter().collect::<Vec<&Frame>>());
    let mut lines: Vec<(&Frame, Vec<&Frame>)> = Vec::new();
    for stack in [first].into_iter().chain(others) {
        let Some(line) = stack.iter().find(|frame| is_own(frame, module)).copied() else { continue };
        if lines.iter().all(|(known, _)| *known != line) {
            lines.push((line, stack));
        }
    }
    lines
}

/// Where they are, then the stacks that started them: each begins with its `go` statement.
fn whole(site: &GoroutineSite, started_by: &[&Frame]) -> Vec<Frame> {
    site.stack.iter().chain(started_by.iter().copied()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::seen;
    use crate::judge::goroutines::tests::{LIBRARY, crowd, judged, lines, watched};
    use crate::sample::code::Frame;
    use crate::store::Window;
    use std::sync::Arc;

    fn stack(functions: &str) -> Arc<[Frame]> {
        (1..).zip(functions.split(' ')).map(|(line, name)| Frame::new(name, "/src/main.go", line)).collect()
    }

    /// Five a second of a library, of which one in five was asked for elsewhere. Twenty that were there before were asked
    /// for there as well. Births are known of those that came in the second half.
    fn asked_for(chains: [&[&str]; 2]) -> Window {
        let mut window = watched(
            |second| 40 + 5 * second as u64,
            |second| {
                let second = second as u64;
                vec![
                    (LIBRARY, crowd(1_000, 2 * second, None)),
                    (LIBRARY, crowd(3_000, 2 * second, None)),
                    (LIBRARY, crowd(1, 20 + second, None)),
                ]
            },
        );
        let mut last = window.captures().goroutines.last().unwrap().clone();
        // By size: two of 90, and one of 65.
        for (site, chain) in [(1, chains[0]), (2, chains[1])] {
            last.sites[site].started_by = chain.iter().map(|functions| stack(functions)).collect();
        }
        window.captures_mut().goroutines.push(last);
        window
    }

    #[test]
    fn the_line_that_asked_the_library_comes_before_the_library() {
        let window = asked_for([
            &["github.com/a/log.New main.serve main.main"],
            &["github.com/a/log.New github.com/a/log.loop", "github.com/a/log.Start main.audit main.main"],
        ]);
        let judgement = judged(&window);
        // Of 135 new ones whose birth was seen 90 were asked for by the one line, 45 by the other; 225 came in all.
        assert_eq!(
            lines(&judgement),
            [
                ("main.serve", 0.67),
                ("main.audit", 0.33),
                ("github.com/a/log.New", 1.0),
                ("github.com/a/log.(*Logger).drain", 1.0)
            ]
        );
        let whole: Vec<&str> =
            judgement.findings[0].culprits[0].stack.iter().map(|frame| &*frame.function).collect();
        let waits = ["runtime.gopark", "time.Sleep", "github.com/a/log.(*Logger).drain"];
        assert_eq!(whole, [&waits[..], &["github.com/a/log.New", "main.serve", "main.main"]].concat());
    }

    #[test]
    fn of_several_lines_of_one_goroutine_all_are_named_and_it_is_said() {
        let mut window = asked_for([&["github.com/a/log.New main.call main.main"], &[]]);
        let mut last = window.captures().goroutines.last().unwrap().clone();
        last.sites[1].or_started_by = vec![stack("github.com/a/log.New main.receive main.main")];
        window.captures_mut().goroutines.push(last);
        let judgement = judged(&window);
        assert_eq!(lines(&judgement)[..2], [("main.call", 0.5), ("main.receive", 0.5)]);
        let evidence = &judgement.findings[0].evidence;
        assert!(evidence.contains(&crate::judge::Evidence::SeveralAskers { lines: 2 }), "{evidence:?}");
    }

    #[test]
    fn nobody_is_named_where_no_birth_was_seen_or_the_statement_is_the_programs_own() {
        let chains: [&[&str]; 2] = [&["github.com/a/log.New github.com/a/log.loop"], &[]];
        let window = asked_for(chains);
        assert_eq!(seen(window.captures(), &stack("github.com/a/log.New")), []);
        assert_eq!(lines(&judged(&window)).len(), 2);
        let own = asked_for([&["main.handle main.main"], &[]]);
        assert_eq!(seen(own.captures(), &stack("main.handle")), []);
    }
}
