//! Who is watched where there are more processes than places: nobody's processes push out those of others.

use std::collections::HashMap;

/// The user who may always be watched to this many processes, however many others there are.
const ROOT: Option<u32> = Some(0);

/// The places, and who has them: processes by effective user id, `None` for those whose user could not be read.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: HashMap<Option<u32>, usize>,
}

/// What there is for one process more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A place that nobody has.
    Free,
    /// The place of a process of this user, who has more than a share.
    InsteadOfOneOf(Option<u32>),
    /// Nobody has more than the user of this one.
    None,
}

impl Places {
    /// So many, all free.
    pub(super) fn new(most: usize) -> Places {
        Places { most, taken: HashMap::new() }
    }

    /// The place for one more process of this user. A free one as long as there is one; then that of the user who has
    /// most, where that is more than this one would have. Up to a share of an eighth nobody makes way but for root, so
    /// that whoever has many user ids gains nothing by it; root makes way for nobody.
    pub(super) fn for_one_of(&self, uid: Option<u32>) -> Place {
        if self.taken.values().sum::<usize>() < self.most {
            return Place::Free;
        }
        let share = self.most / 8;
        let would_have = self.of(uid) + 1;
        let others = self.taken.iter().filter(|(other, _)| **other != ROOT && **other != uid);
        let Some((&largest, &has)) = others.max_by_key(|(other, has)| (**has, **other)) else {
            return Place::None;
        };
        let has_more = has > would_have && has > share;
        let is_needed_by_root = uid == ROOT && would_have <= share;
        if has_more || is_needed_by_root { Place::InsteadOfOneOf(largest) } else { Place::None }
    }

    /// Whether there is any.
    pub(super) fn has_one_for(&self, uid: Option<u32>) -> bool {
        self.for_one_of(uid) != Place::None
    }

    /// One more process of this user is watched.
    pub(super) fn take(&mut self, uid: Option<u32>) {
        *self.taken.entry(uid).or_default() += 1;
    }

    /// One process less.
    pub(super) fn give_back(&mut self, uid: Option<u32>) {
        if let Some(taken) = self.taken.get_mut(&uid) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.taken.remove(&uid);
            }
        }
    }

    fn of(&self, uid: Option<u32>) -> usize {
        self.taken.get(&uid).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Places};
    use std::collections::BTreeMap;

    const MOST: usize = 64;

    /// Lets processes of these users come one after the other; how many of each are watched then.
    fn after(users: impl IntoIterator<Item = u32>) -> BTreeMap<u32, usize> {
        let mut places = Places::new(MOST);
        for uid in users {
            match places.for_one_of(Some(uid)) {
                Place::Free => places.take(Some(uid)),
                Place::InsteadOfOneOf(other) => {
                    places.give_back(other);
                    places.take(Some(uid));
                }
                Place::None => {}
            }
        }
        assert!(places.taken.values().sum::<usize>() <= MOST);
        places.taken.into_iter().map(|(uid, taken)| (uid.unwrap(), taken)).collect()
    }

    fn many(uid: u32, count: usize) -> impl Iterator<Item = u32> {
        std::iter::repeat_n(uid, count)
    }

    #[test]
    fn one_user_may_have_all_that_nobody_else_needs() {
        assert_eq!(after(many(4242, 1000)), BTreeMap::from([(4242, MOST)]));
    }

    #[test]
    fn whoever_fills_all_makes_way_for_others() {
        let told = after(many(4242, 1000).chain(many(0, 10)).chain(many(7, 5)));
        assert_eq!(told, BTreeMap::from([(0, 10), (7, 5), (4242, MOST - 15)]));
        let halves = after(many(4242, 1000).chain(many(7, 1000)).chain(many(4242, 1000)));
        assert!(halves[&7].abs_diff(halves[&4242]) <= 1, "{halves:?}");
    }

    #[test]
    fn those_who_were_there_keep_their_places() {
        let told = after(many(0, 10).chain(many(7, 5)).chain(many(4242, 1000)));
        assert_eq!(told, BTreeMap::from([(0, 10), (7, 5), (4242, MOST - 15)]));
        let many_ids = after(many(0, 10).chain(many(7, 5)).chain(10_000..11_000));
        assert_eq!((many_ids[&0], many_ids[&7]), (10, 5));
    }

    #[test]
    fn many_user_ids_keep_root_from_nothing_that_it_needs() {
        let told = after((10_000..11_000).chain(many(0, 4)));
        assert_eq!(told[&0], 4);
    }

    #[test]
    fn root_makes_way_for_nobody() {
        assert_eq!(after(many(0, 1000).chain(many(7, 5))), BTreeMap::from([(0, MOST)]));
    }
}
