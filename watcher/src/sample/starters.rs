//! Who started the goroutines that created something: one chain for all goroutines that came about in the same way.

use super::code::Frame;
use super::creators::Creators;
use crate::origin::CreatingGoroutine;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of who started goroutines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starters<'a> {
    /// Births that were watched; without them there is only the `go` statement.
    pub known: Option<&'a Creators>,
    /// Path of the main module.
    pub main_module: Option<&'a str>,
}

/// Chains of those who started goroutines, each once.
#[derive(Debug, Default)]
pub(super) struct Chains {
    chains: Vec<Vec<Arc<[Frame]>>>,
    /// By what a goroutine knows of its creation.
    places: HashMap<Place, usize>,
}

/// The parent of a goroutine, and the address behind the `go` statement.
type Place = (Option<u64>, u64);

impl Chains {
    /// Those of these goroutines. `statement` gives the frames of a `go` statement by the address behind it.
    pub fn of(
        goroutines: impl Iterator<Item = CreatingGoroutine>,
        starters: Starters<'_>,
        mut statement: impl FnMut(u64) -> Arc<[Frame]>,
    ) -> Self {
        let mut chains = Chains::default();
        let mut indices: HashMap<Vec<Arc<[Frame]>>, usize> = HashMap::new();
        // The main goroutine was started by nobody.
        for goroutine in goroutines.filter(|goroutine| goroutine.created_at != 0) {
            let place = place(&goroutine);
            if chains.places.contains_key(&place) {
                continue;
            }
            let mut chain = starters
                .known
                .map(|creators| creators.started_by(&goroutine, starters.main_module))
                .unwrap_or_default();
            if chain.is_empty() {
                chain.push(statement(goroutine.created_at));
            }
            chain.retain(|frames| !frames.is_empty());
            let next = chains.chains.len();
            let index = *indices.entry(chain.clone()).or_insert(next);
            if index == next {
                chains.chains.push(chain);
            }
            chains.places.insert(place, index);
        }
        chains
    }

    /// The chain of a goroutine, by number.
    pub fn index(&self, goroutine: &CreatingGoroutine) -> Option<usize> {
        self.places.get(&place(goroutine)).copied()
    }

    /// The chain of this number: who started the goroutine, nearest first.
    pub fn chain(&self, index: Option<usize>) -> Vec<Arc<[Frame]>> {
        index.and_then(|index| self.chains.get(index)).cloned().unwrap_or_default()
    }
}

fn place(goroutine: &CreatingGoroutine) -> Place {
    (goroutine.parent_id, goroutine.created_at)
}

#[cfg(test)]
mod tests {
    use super::{Chains, Starters};
    use crate::origin::CreatingGoroutine;
    use crate::sample::code::Frame;

    #[test]
    fn goroutines_of_one_statement_share_a_chain_and_the_main_one_has_none() {
        let goroutine = |id, parent_id, created_at| CreatingGoroutine { id, parent_id, created_at };
        let all = [
            goroutine(1, None, 0),
            goroutine(7, Some(1), 0x40),
            goroutine(8, Some(2), 0x40),
            goroutine(9, Some(1), 0x80),
            goroutine(10, Some(1), 0xc0),
        ];
        let mut asked = Vec::new();
        let chains = Chains::of(all.into_iter(), Starters::default(), |pc| {
            asked.push(pc);
            match pc {
                0x40 => [Frame::new("main.serve", "main.go", 4)].into(),
                0x80 => [Frame::new("main.poll", "main.go", 8)].into(),
                _ => [].into(),
            }
        });
        let of = |index: usize| {
            let chain = chains.chain(chains.index(&all[index]));
            chain.iter().map(|frames| frames[0].line).collect::<Vec<_>>()
        };
        assert_eq!([of(0), of(1), of(2), of(3), of(4)], [vec![], vec![4], vec![4], vec![8], vec![]]);
        assert_eq!(chains.index(&all[1]), chains.index(&all[2]));
        assert_ne!(chains.index(&all[1]), chains.index(&all[3]));
    }
}
