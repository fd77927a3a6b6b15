//! Two captures of the same kind set against each other: what `watcher diff` prints.

mod load;

pub use load::{LoadError, MAX_FILE_BYTES, load};

use super::fit;
use super::folded::nameless;
use super::json;
use super::pprof::{self, Diff, Growth, Profile};
use crate::explain::words;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// Two captures, compared by one of the values they hold.
#[derive(Clone, Debug)]
pub struct Comparison {
    diff: Diff,
    value: usize,
    kind: String,
    unit: String,
}

/// Why two captures cannot be compared: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// They are of different kinds.
    #[error("the captures cannot be compared: {0}")]
    Different(#[from] pprof::DiffError),
    /// They are of two processes.
    #[error(
        "the captures are of {which} (pid {one}, then {other}), so that their difference is no growth: --across \
         computes it all the same"
    )]
    OtherProcess {
        /// Whose the older one is.
        one: i32,
        /// Whose the newer one is.
        other: i32,
        /// What they are to each other.
        which: &'static str,
    },
    /// They hold nothing of that name.
    #[error("the captures hold no {asked}: they hold {held}")]
    NoSuchValue {
        /// What was asked for.
        asked: String,
        /// What there is.
        held: String,
    },
}

/// Makes sure that two captures are not known to be of different processes.
///
/// # Errors
/// Where both say whose they are and it is not the same: a process that was restarted began anew.
pub fn of_one_process(before: &Profile, after: &Profile) -> Result<(), CompareError> {
    match (pprof::identity(before), pprof::identity(after)) {
        (Some(one), Some(other)) if one != other => {
            let which = if one.pid == other.pid { "restarts of one pid" } else { "different processes" };
            Err(CompareError::OtherProcess { one: one.pid, other: other.pid, which })
        }
        _ => Ok(()),
    }
}

/// Compares two profiles by the value called `kind`, or by what each shows where nothing else is asked for.
///
/// # Errors
/// See [`CompareError`].
pub fn compare(before: &Profile, after: &Profile, kind: Option<&str>) -> Result<Comparison, CompareError> {
    let mut diff = pprof::diff(before, after)?;
    let value = after.value_index(kind);
    let Some((value, shown)) = value.and_then(|value| Some((value, after.sample_types.get(value)?))) else {
        let held: Vec<&str> = after.sample_types.iter().map(|each| each.kind.as_str()).collect();
        let held = if held.is_empty() { "nothing".to_owned() } else { held.join(", ") };
        return Err(CompareError::NoSuchValue { asked: kind.unwrap_or("value").to_owned(), held });
    };
    diff.growths.sort_by_key(|growth| std::cmp::Reverse(growth.by(value)));
    Ok(Comparison { value, kind: shown.kind.clone(), unit: shown.unit.clone(), diff })
}

/// One function in both captures: what was counted in it and below it.
struct FunctionGrowth<'a> {
    function: &'a str,
    before: i64,
    after: i64,
}

impl FunctionGrowth<'_> {
    fn by(&self) -> i64 {
        self.after.saturating_sub(self.before)
    }
}

impl Comparison {
    /// The difference as a profile: what `go tool pprof -diff_base` shows.
    pub fn profile(&self) -> Profile {
        self.diff.profile()
    }

    fn of(&self, values: &[i64]) -> i64 {
        values.get(self.value).copied().unwrap_or(0)
    }

    fn totals(&self) -> (i64, i64) {
        self.diff.growths.iter().fold((0, 0), |(before, after), growth| {
            let (more_before, more_after) = (self.of(&growth.before), self.of(&growth.after));
            (before.saturating_add(more_before), after.saturating_add(more_after))
        })
    }

    /// Stacks whose value changed, those that grew most first.
    fn changed(&self) -> Vec<&Growth> {
        self.diff.growths.iter().filter(|growth| growth.by(self.value) != 0).collect()
    }

    /// Frames of a stack, leaf first.
    fn frames<'a>(&'a self, growth: &'a Growth) -> Vec<pprof::Frame<'a>> {
        self.diff.places.frames_of(&growth.stack).collect()
    }

    /// Functions that changed, those that grew most first. A recursive function holds what is below it once.
    fn functions(&self) -> Vec<FunctionGrowth<'_>> {
        let mut by_name: HashMap<&str, (i64, i64)> = HashMap::new();
        for growth in &self.diff.growths {
            let frames = self.frames(growth);
            let names: HashSet<&str> =
                frames.iter().filter_map(|frame| Some(frame.function?.name.as_str())).collect();
            for name in names {
                let (before, after) = by_name.entry(name).or_default();
                *before = before.saturating_add(self.of(&growth.before));
                *after = after.saturating_add(self.of(&growth.after));
            }
        }
        let mut functions: Vec<FunctionGrowth<'_>> = by_name
            .into_iter()
            .map(|(function, (before, after))| FunctionGrowth { function, before, after })
            .filter(|function| function.by() != 0)
            .collect();
        functions
            .sort_by(|one, other| other.by().cmp(&one.by()).then_with(|| one.function.cmp(other.function)));
        functions
    }

    fn amount(&self, value: i64) -> String {
        if self.unit == "bytes" { words::bytes(value as f64) } else { words::count(value as f64) }
    }

    fn signed(&self, value: i64) -> String {
        if value > 0 { format!("+{}", self.amount(value)) } else { self.amount(value) }
    }

    /// For people: the totals, then at most `shown` stacks and functions, those that grew most first.
    pub fn text(&self, shown: usize) -> String {
        let (before, after) = self.totals();
        let grown = after.saturating_sub(before);
        let mut text = format!(
            "{}: {} before, {} after, {}\n",
            self.kind,
            self.amount(before),
            self.amount(after),
            if grown == 0 { "no change in sum".to_owned() } else { self.signed(grown) }
        );
        let changed = self.changed();
        if changed.is_empty() {
            text.push_str("\nNo stack changed.\n");
            return text;
        }
        text.push_str("\nby stack\n");
        for growth in changed.iter().take(shown) {
            let (before, after) = (self.of(&growth.before), self.of(&growth.after));
            let from_to = format!("{} -> {}", self.amount(before), self.amount(after));
            _ = writeln!(text, "\n{:>12}  {from_to}", self.signed(growth.by(self.value)));
            for frame in essential(&self.frames(growth)) {
                _ = writeln!(text, "              {}", line(frame));
            }
        }
        hidden(&mut text, changed.len(), shown, ("stack", "stacks"));
        let functions = self.functions();
        text.push_str("\nby function, with all that it calls\n\n");
        for function in functions.iter().take(shown) {
            let from_to = format!("{} -> {}", self.amount(function.before), self.amount(function.after));
            _ = writeln!(
                text,
                "{:>12}  {}  {from_to}",
                self.signed(function.by()),
                fit::name(function.function)
            );
        }
        hidden(&mut text, functions.len(), shown, ("function", "functions"));
        text
    }

    /// As one object on one line (`watcher.diff/1`), ending in a newline. Fields are only ever added.
    ///
    /// # Errors
    /// None that a comparison can cause; what serde reports is passed on.
    pub fn json(&self) -> serde_json::Result<String> {
        let (before, after) = self.totals();
        let object = Object {
            schema: "watcher.diff/1",
            kind: &self.kind,
            unit: &self.unit,
            after_taken: self.diff.places.taken.and_then(json::timestamp),
            before,
            after,
            growth: after.saturating_sub(before),
            stacks: self.changed().into_iter().map(|growth| self.stack_object(growth)).collect(),
            functions: self
                .functions()
                .into_iter()
                .map(|function| FunctionObject {
                    function: function.function,
                    before: function.before,
                    after: function.after,
                    growth: function.by(),
                })
                .collect(),
        };
        Ok(serde_json::to_string(&object)? + "\n")
    }

    fn stack_object(&self, growth: &Growth) -> StackObject {
        let line = |frame: pprof::Frame<'_>| LineObject {
            function: frame.function.map_or_else(|| nameless(frame.address), |it| it.name.clone()),
            file: frame.function.map_or_else(String::new, |it| it.file.clone()),
            line: frame.line,
        };
        StackObject {
            before: self.of(&growth.before),
            after: self.of(&growth.after),
            growth: growth.by(self.value),
            stack: self.frames(growth).into_iter().map(line).collect(),
        }
    }
}

fn hidden(text: &mut String, all: usize, shown: usize, (one, many): (&str, &str)) {
    let hidden = all.saturating_sub(shown);
    if hidden > 0 {
        _ = writeln!(text, "\nnot shown: {} (-n {all} shows all)", words::counted(hidden, one, many));
    }
}

#[derive(Serialize)]
struct Object<'a> {
    schema: &'static str,
    kind: &'a str,
    unit: &'a str,
    after_taken: Option<String>,
    before: i64,
    after: i64,
    growth: i64,
    stacks: Vec<StackObject>,
    functions: Vec<FunctionObject<'a>>,
}

#[derive(Serialize)]
struct StackObject {
    before: i64,
    after: i64,
    growth: i64,
    stack: Vec<LineObject>,
}

#[derive(Serialize)]
struct LineObject {
    function: String,
    file: String,
    line: u32,
}

#[derive(Serialize)]
struct FunctionObject<'a> {
    function: &'a str,
    before: i64,
    after: i64,
    growth: i64,
}

/// Without what the runtime does at the innermost end and without the function that all stacks begin with; the whole
/// stack where that leaves nothing.
fn essential<'a, 'p>(frames: &'a [pprof::Frame<'p>]) -> Vec<&'a pprof::Frame<'p>> {
    let name = |frame: &pprof::Frame<'p>| frame.function.map_or("", |function| function.name.as_str());
    let is_runtime = |frame: &&pprof::Frame<'p>| {
        name(frame).starts_with("runtime.") || name(frame).starts_with("internal/runtime/")
    };
    let shown: Vec<_> = frames.iter().skip_while(is_runtime).collect();
    let shown: Vec<_> = shown.into_iter().filter(|frame| name(frame) != "runtime.goexit").collect();
    if shown.is_empty() { frames.iter().collect() } else { shown }
}

fn line(frame: &pprof::Frame<'_>) -> String {
    match frame.function {
        Some(function) if function.file.is_empty() => function.name.clone(),
        Some(function) => format!("{}  {}:{}", function.name, function.file, frame.line),
        None => nameless(frame.address),
    }
}

#[cfg(test)]
mod tests;
