//! Who asked for goroutines that a library starts: the program's own line, by the births that were watched.

use crate::judge::kinds::goroutines::lines::is_own;
use crate::judge::weigh::evidence::Evidence;
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite};
use crate::store::Captures;
use crate::vocabulary::frame::Frame;
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

/// Who asked for the goroutines of this origin that came since the first capture, most first; where none of those was
/// seen to be born, who asked for any of this origin. None where the statement itself is the program's own, and where no
/// birth was seen.
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
    let of_new = |index: u32, _: &GoroutineSite| new.get(&index).copied().unwrap_or(0);
    let askers = weighed(last, created_by, module, of_new);
    if askers.is_empty() { weighed(last, created_by, module, |_, site| site.count) } else { askers }
}

/// The askers of this origin, each site with so many goroutines.
fn weighed(
    capture: &GoroutineCapture,
    created_by: &[Frame],
    module: Option<&str>,
    count: impl Fn(u32, &GoroutineSite) -> u64,
) -> Vec<Asker> {
    let mut askers: HashMap<&Frame, (f64, Vec<Frame>, bool)> = HashMap::new();
    for (index, site) in (0..).zip(&capture.sites).filter(|(_, site)| &*site.created_by == created_by) {
        let count = count(index, site);
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

/// Where the goroutine is now that started those of this origin, where no birth tells more: a line of the program's own.
/// It has gone on since, so that this is a hint and no culprit.
pub(super) fn parent_now(captures: &Captures, created_by: &[Frame]) -> Option<Evidence> {
    let module = captures.main_module.as_deref();
    if created_by.is_empty() || created_by.iter().any(|frame| is_own(frame, module)) {
        return None;
    }
    let of_origin = |site: &&GoroutineSite| &*site.created_by == created_by;
    let sites = || captures.goroutines.last().into_iter().flat_map(|last| &last.sites).filter(of_origin);
    let all: u64 = sites().map(|site| site.count).sum();
    let mut places: HashMap<&Frame, u64> = HashMap::new();
    for site in sites() {
        if let Some(line) = site.parent_at.iter().find(|frame| is_own(frame, module)) {
            *places.entry(line).or_default() += site.count;
        }
    }
    let (line, count) = places.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(a.0)))?;
    (2 * count >= all).then(|| Evidence::ParentNow { line: line.clone(), count })
}

/// The program's own line that started the goroutines in which the innermost part of `stack` runs: what a library's
/// goroutine makes is made for whoever asked for that goroutine. With the stacks between, and how many there are.
pub(in crate::judge) fn of_goroutines_that_run(
    captures: &Captures,
    stack: &[Frame],
) -> Option<(Frame, Vec<Frame>, Evidence)> {
    let module = captures.main_module.as_deref();
    if stack.iter().any(|frame| is_own(frame, module)) {
        return None;
    }
    let start = start_of(stack)?;
    let mut lines: HashMap<&Frame, (u64, Vec<&Frame>)> = HashMap::new();
    let last = captures.goroutines.last()?;
    for site in last.sites.iter().filter(|site| start_of(&site.stack) == Some(start)) {
        let by_births = site.started_by.iter().flat_map(|stack| stack.iter());
        let started_by: Vec<&Frame> =
            if site.started_by.is_empty() { site.created_by.iter().collect() } else { by_births.collect() };
        if let Some(line) = started_by.iter().find(|frame| is_own(frame, module)).copied() {
            lines.entry(line).or_insert((0, started_by)).0 += site.count;
        }
    }
    let all: u64 = lines.values().map(|(count, _)| count).sum();
    let (line, (count, started_by)) =
        lines.into_iter().max_by(|a, b| a.1.0.cmp(&b.1.0).then(b.0.cmp(a.0)))?;
    let whole = stack.iter().chain(started_by).cloned().collect();
    let evidence = Evidence::InGoroutinesOf { start: start.into(), count };
    (2 * count >= all).then(|| (line.clone(), whole, evidence))
}

/// The function that a goroutine was started with; `None` where the stack was cut.
fn start_of(stack: &[Frame]) -> Option<&str> {
    let (last, inner) = stack.split_last()?;
    let is_outermost = &*last.function == "runtime.goexit";
    inner.last().filter(|_| is_outermost).map(|frame| &*frame.function)
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
    use super::{of_goroutines_that_run, parent_now, seen};
    use crate::judge::kinds::goroutines::tests::{LIBRARY, crowd, judged, lines, watched};
    use crate::judge::weigh::evidence::Evidence;
    use crate::store::Window;
    use crate::store::captures::Run;
    use crate::vocabulary::frame::Frame;
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
        assert!(evidence.contains(&Evidence::SeveralAskers { lines: 2 }), "{evidence:?}");
    }

    #[test]
    fn of_those_that_were_there_before_their_later_siblings_tell() {
        let mut window = asked_for([&["github.com/a/log.New main.serve main.main"], &[]]);
        // The site whose birth is known holds only goroutines that were there from the begin.
        let mut first = window.captures().goroutines.last().unwrap().clone();
        first.at = crate::judge::simulation::moment(0.0);
        let known = first.sites.iter().position(|site| !site.started_by.is_empty()).unwrap();
        let later = window.captures().goroutines.last().unwrap().clone();
        first.members.retain(|member| member.site as usize == known);
        window.captures_mut().goroutines = [first, later].into_iter().fold(Run::default(), |mut run, it| {
            run.push(it);
            run
        });
        let asked = seen(window.captures(), &stack("github.com/a/log.New"));
        let lines: Vec<(&str, f64)> = asked.iter().map(|it| (&*it.line.function, it.share)).collect();
        assert_eq!(lines, [("main.serve", 1.0)]);
    }

    #[test]
    fn where_the_parent_is_now_is_a_hint_and_no_culprit() {
        let mut window = asked_for([&[], &[]]);
        let mut last = window.captures().goroutines.last().unwrap().clone();
        // Two of three sites: 180 of 245.
        for site in &mut last.sites[..2] {
            if *site.created_by == *stack("github.com/a/log.New") {
                site.parent_at = stack("runtime.gopark time.Sleep main.pace main.main");
            }
        }
        window.captures_mut().goroutines.push(last);
        let judgement = judged(&window);
        assert_eq!(lines(&judgement).len(), 2, "{judgement:#?}");
        let hint = judgement.findings[0].evidence.iter().find_map(|it| match it {
            Evidence::ParentNow { line, count } => Some((&*line.function, *count)),
            _ => None,
        });
        assert!(matches!(hint, Some(("main.pace", _))), "{judgement:#?}");
        // The program's own statement needs none.
        assert_eq!(parent_now(window.captures(), &stack("main.handle")), None);
    }

    #[test]
    fn what_a_librarys_goroutine_allocates_goes_to_the_line_that_asked_for_it() {
        let window = asked_for([&["github.com/a/log.New main.serve main.main"], &[]]);
        let mut captures = window.captures().clone();
        let mut last = captures.goroutines.last().unwrap().clone();
        for site in &mut last.sites {
            site.stack =
                site.stack.iter().cloned().chain([Frame::new("runtime.goexit", "asm.s", 1)]).collect();
        }
        captures.goroutines.push(last);
        let allocated = |functions| of_goroutines_that_run(&captures, &stack(functions));
        let (line, whole, evidence) =
            allocated("bytes.growSlice github.com/a/log.(*Logger).drain runtime.goexit").unwrap();
        assert_eq!(&*line.function, "main.serve");
        assert_eq!(whole.len(), 6, "{whole:?}");
        assert!(matches!(evidence, Evidence::InGoroutinesOf { count: 90.., .. }), "{evidence:?}");
        for other in [
            "github.com/a/log.(*Logger).flush runtime.goexit",
            "github.com/a/log.(*Logger).drain",
            "bytes.growSlice main.work github.com/a/log.(*Logger).drain runtime.goexit",
        ] {
            assert_eq!(allocated(other), None, "{other}");
        }
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
