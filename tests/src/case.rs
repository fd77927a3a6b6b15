//! One test and what the machine must offer for it.

use crate::need::Need;
use crate::turns::Turns;
use anyhow::{Error, Result, anyhow};
use libtest_mimic::Trial;
use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases that were asked again. More than this many failures have another reason than a busy machine.
static ASKED_AGAIN: AtomicUsize = AtomicUsize::new(0);
pub(crate) const MAX_ASKED_AGAIN: usize = 12;

/// A test that may need more than every machine has.
pub struct Case {
    name: String,
    needs: Vec<Need>,
    is_busy: bool,
    run: Box<dyn Fn() -> Result<()> + Send>,
}

/// What becomes of a case on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has all it needs.
    Runs,
    /// The machine lacks something, told in sentences.
    LeftOut(String),
    /// The same, where nothing may be left out.
    Fails(String),
}

impl Case {
    /// A test called `name` (as in `diagnose::descriptors`) that fails by an error or a panic.
    pub fn new(
        name: impl Into<String>,
        needs: impl IntoIterator<Item = Need>,
        run: impl Fn() -> Result<()> + Send + 'static,
    ) -> Case {
        Case { name: name.into(), needs: needs.into_iter().collect(), is_busy: false, run: Box::new(run) }
    }

    /// Keeps a core busy by itself: of such cases one runs at a time.
    pub fn busy(mut self) -> Case {
        self.is_busy = true;
        self
    }

    /// What becomes of it here. Where the machine lacks something the case fails if `strict` (a skip must be
    /// earned), and is left out otherwise.
    pub fn fate(&self, strict: bool) -> Fate {
        let lacking: Vec<String> = self.needs.iter().filter_map(Need::lacking).collect();
        match (lacking.is_empty(), strict) {
            (true, _) => Fate::Runs,
            (false, true) => Fate::Fails(lacking.join(" ")),
            (false, false) => Fate::LeftOut(lacking.join(" ")),
        }
    }

    /// The case for the runner; it runs when it has a turn.
    pub fn into_trial(self, fate: Fate, turns: Arc<Turns>) -> Trial {
        let (run, is_busy) = (self.run, self.is_busy);
        match fate {
            Fate::Runs => {
                let name = self.name.clone();
                Trial::test(self.name, move || {
                    attempt(&name, &run, is_busy, &turns).map_err(|error| format!("{error:#}").into())
                })
            }
            Fate::LeftOut(_) => Trial::test(self.name, || Ok(())).with_ignored_flag(true),
            Fate::Fails(why) => {
                Trial::test(self.name, move || Err(format!("This machine lacks something. {why}").into()))
            }
        }
    }

    /// The same under a name that says where it runs: `place::name`.
    pub fn called_in(mut self, place: &str) -> Case {
        self.name = format!("{place}::{}", self.name);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Runs a case, and where it fails among others once more when the others are done: many cases watch real programs for
/// a fixed time, and on a few cores a neighbour may starve them. What fails then is wrong; what passes then is told all
/// the same.
fn attempt(name: &str, run: &dyn Fn() -> Result<()>, is_busy: bool, turns: &Turns) -> Result<()> {
    let first = {
        let _turn = turns.among_others(is_busy);
        caught(run)
    };
    let Err(error) = first else { return Ok(()) };
    if ASKED_AGAIN.fetch_add(1, Ordering::Relaxed) >= MAX_ASKED_AGAIN {
        return Err(error);
    }
    let _turn = turns.when_calm();
    caught(run).map_err(|again| {
        again.context(format!("on a calm machine too, after it failed among others: {error:#}"))
    })?;
    writeln!(io::stdout(), "passes only on a calm machine: {name}: among others: {error:#}")?;
    Ok(())
}

/// A panic is a failure like any other.
fn caught(run: &dyn Fn() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(told(&*panic)))
}

fn told(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    anyhow!("panicked: {}", text.unwrap_or("without a word"))
}

#[cfg(test)]
mod tests {
    use super::{Case, Fate};
    use crate::need::Need;
    use crate::turns::Turns;
    use std::sync::Arc;

    #[test]
    fn a_failure_is_asked_again_and_a_panic_is_one() {
        let turns = Turns::new(1);
        let attempt =
            |name: &str, run: &dyn Fn() -> anyhow::Result<()>| super::attempt(name, run, false, &turns);
        use std::cell::Cell;

        let runs = Cell::new(0);
        let fails_before = |passing: u32| {
            runs.set(0);
            let runs = &runs;
            move || {
                runs.set(runs.get() + 1);
                if runs.get() < passing { Err(anyhow::anyhow!("run {}", runs.get())) } else { Ok(()) }
            }
        };
        assert!(attempt("row", &fails_before(1)).is_ok());
        assert_eq!(runs.get(), 1);
        assert!(attempt("row", &fails_before(2)).is_ok());
        let error = attempt("row", &fails_before(3)).map_err(|error| format!("{error:#}"));
        assert_eq!(
            error,
            Err("on a calm machine too, after it failed among others: run 1: run 2".to_owned())
        );
        let error = attempt("row", &|| panic!("row {}", 7)).map_err(|error| format!("{error:#}"));
        assert_eq!(
            error,
            Err("on a calm machine too, after it failed among others: panicked: row 7: panicked: row 7"
                .to_owned())
        );
    }

    const NOWHERE: Need = Need::Program { program: "no-such-program-anywhere", package: "nothing" };

    #[test]
    fn what_is_lacking_is_left_out_with_its_reason_or_fails() {
        let why =
            || "It needs the program no-such-program-anywhere: Debian's package nothing has it.".to_owned();
        let case = |needs: &[Need]| Case::new("row", needs.to_vec(), || Ok(()));
        assert_eq!(case(&[NOWHERE]).fate(false), Fate::LeftOut(why()));
        assert_eq!(case(&[NOWHERE]).fate(true), Fate::Fails(why()));
        let shell = Need::Program { program: "sh", package: "dash" };
        assert_eq!(case(&[shell]).fate(true), Fate::Runs);
        assert_eq!(case(&[shell, NOWHERE]).fate(true), Fate::Fails(why()));
        assert!(
            case(&[NOWHERE]).into_trial(Fate::LeftOut(why()), Arc::new(Turns::new(1))).has_ignored_flag()
        );
    }
}
