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

/// A case that was left out, and why.
pub struct LeftOut {
    /// Name of the case.
    pub name: String,
    /// What this machine lacks, in sentences.
    pub why: String,
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

    /// The case for the runner. Where the machine lacks something the case fails if `strict` (a skip must be
    /// earned), and is left out otherwise.
    pub fn into_trial(self, strict: bool) -> (Trial, Option<LeftOut>) {
        let lacking: Vec<String> = self.needs.iter().filter_map(|need| need.lacking()).collect();
        if lacking.is_empty() {
            let run = self.run;
            return (
                Trial::test(self.name, move || run().map_err(|error| format!("{error:#}").into())),
                None,
            );
        }
        let why = lacking.join(" ");
        let left_out = (!strict).then(|| LeftOut { name: self.name.clone(), why: why.clone() });
        let trial =
            Trial::test(self.name, move || Err(format!("This machine lacks something. {why}").into()));
        (trial.with_ignored_flag(!strict), left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::Case;
    use crate::need::Need;
    use libtest_mimic::{Arguments, run};

    fn never() -> Need {
        Need::Program { program: "no-such-program-anywhere", package: "nothing" }
    }

    #[test]
    fn what_is_lacking_is_left_out_with_its_reason_or_fails() {
        for (strict, ignored, failed) in [(false, 1, 0), (true, 0, 1)] {
            let (trial, left_out) = Case::new("row", [never()], || Ok(())).into_trial(strict);
            assert_eq!(left_out.is_some_and(|it| it.why.contains("no-such-program-anywhere")), !strict);
            let arguments = Arguments { quiet: true, ..Arguments::default() };
            let conclusion = run(&arguments, vec![trial]);
            assert_eq!((conclusion.num_ignored, conclusion.num_failed), (ignored, failed), "strict {strict}");
        }
    }

    #[test]
    fn an_error_and_a_panic_fail_a_case() {
        let cases = [
            Case::new("error", [], || anyhow::bail!("on purpose")),
            Case::new("panic", [], || panic!("on purpose")),
            Case::new("fine", [], || Ok(())),
        ];
        let trials = cases.into_iter().map(|case| case.into_trial(true).0).collect();
        let conclusion = run(&Arguments { quiet: true, ..Arguments::default() }, trials);
        assert_eq!((conclusion.num_passed, conclusion.num_failed), (1, 2));
    }
}
