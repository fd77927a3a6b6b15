//! One test and what the machine must offer for it.

use crate::need::Need;
use anyhow::Result;
use libtest_mimic::Trial;

/// A test that may need more than every machine has.
pub struct Case {
    name: String,
    needs: Vec<Need>,
    run: Box<dyn FnOnce() -> Result<()> + Send>,
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
        run: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Case {
        Case { name: name.into(), needs: needs.into_iter().collect(), run: Box::new(run) }
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

    /// The case for the runner.
    pub fn into_trial(self, fate: Fate) -> Trial {
        let run = self.run;
        match fate {
            Fate::Runs => Trial::test(self.name, move || run().map_err(|error| format!("{error:#}").into())),
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

#[cfg(test)]
mod tests {
    use super::{Case, Fate};
    use crate::need::Need;

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
        assert!(case(&[NOWHERE]).into_trial(Fate::LeftOut(why())).has_ignored_flag());
    }
}
