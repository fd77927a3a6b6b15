//! Who is watched, and when.

use super::Subject;
use super::rows::rows;
use crate::toolchain::Toolchain;
use anyhow::Result;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Only rows whose name or kind contains this.
    pub filter: Option<String>,
    /// With what the programs are built.
    pub toolchains: Vec<&'static Toolchain>,
    /// How long they have run when somebody looks.
    pub attach: Vec<Duration>,
    /// How long somebody looks; all of them one after the other, at the same programs.
    pub windows: Vec<Duration>,
    /// How long `watcher run` watches programs of its own; `None` for not at all.
    pub run: Option<Duration>,
}

impl Plan {
    /// Every subject that is wanted, well mixed.
    ///
    /// # Errors
    /// Where the corpus lacks a row.
    pub fn subjects(&self) -> Result<Vec<Subject>> {
        let chosen = rows()?.into_iter().filter(|it| {
            let matches = |filter: &String| it.row.name().contains(&**filter) || it.row.about() == filter;
            self.filter.as_ref().is_none_or(matches)
        });
        let mut subjects: Vec<Subject> = chosen
            .flat_map(|slow| {
                self.toolchains.iter().flat_map(move |toolchain| {
                    slow.row.styles().iter().map(move |style| Subject { slow, style: *style, toolchain })
                })
            })
            .collect();
        subjects.sort_by_cached_key(|subject| {
            let mut hasher = DefaultHasher::new();
            subject.name().hash(&mut hasher);
            hasher.finish()
        });
        Ok(subjects)
    }

    /// The last moment at which somebody looks, counted from the start of the programs.
    pub fn length(&self) -> Duration {
        let looks = self.windows.iter().sum::<Duration>();
        let last = self.attach.iter().max().copied().unwrap_or_default();
        (last + looks).max(self.run.unwrap_or_default())
    }
}
