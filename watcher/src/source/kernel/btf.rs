//! A reader of BTF (`Documentation/bpf/btf.rst`) that answers one question: at which offset a structure of the
//! running kernel keeps a member, also through anonymous structures and unions.
//!
//! aya reads BTF as well, but shows no members. The bytes come from the kernel; they are treated as hostile all
//! the same: every access is checked, and every walk has a bound.

/// BTF of one kernel, borrowed from its bytes.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; the type with id `n` is at index `n - 1`.
    starts: Vec<u32>,
}

/// Why a question could not be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BtfError {
    #[error("the kernel's type information is not BTF of this machine's byte order")]
    Magic,
    #[error("the kernel's type information is cut short or inconsistent")]
    Malformed,
    #[error("this kernel has no structure {structure}")]
    NoStructure { structure: String },
    #[error("this kernel's structure {structure} has no member {member}")]
    NoMember { structure: String, member: String },
}

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
const TYPE_BYTES: usize = 12;
const MEMBER_BYTES: usize = 12;

/// BTF_KIND_*.
mod kind {
    pub const INT: u32 = 1;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
    pub const LAST: u32 = ENUM64;
}

/// Members that one question may look at: far more than the largest structure has, which is some hundreds, and far fewer
/// than a structure that contains itself would show.
const MEMBERS_PER_QUESTION: u32 = 10_000;
/// Anonymous structures and type qualifiers within each other; the kernel has about five.
const NESTING: u32 = 32;

impl<'a> Btf<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let magic = bytes.first_chunk::<2>().map(|magic| u16::from_ne_bytes(*magic));
        if magic != Some(MAGIC) || bytes.len() < HEADER_BYTES {
            return Err(BtfError::Magic);
        }
        let section = |at: usize| -> Option<&'a [u8]> {
            let header = u32_at(bytes, 4)? as usize;
            let start = header.checked_add(u32_at(bytes, at)? as usize)?;
            let end = start.checked_add(u32_at(bytes, at + 4)? as usize)?;
            bytes.get(start..end)
        };
        let (types, strings) = section(8).zip(section(16)).ok_or(BtfError::Malformed)?;
        let mut starts = Vec::new();
        let mut at = 0;
        while at < types.len() {
            starts.push(u32::try_from(at).map_err(|_| BtfError::Malformed)?);
            at += size_of_type(types, at).ok_or(BtfError::Malformed)?;
        }
        if at != types.len() {
            return Err(BtfError::Malformed);
        }
        Ok(Btf { types, strings, starts })
    }

    /// Offset in bytes of `path` in `structure`: each member but the last is itself a structure.
    pub(super) fn offset(&self, structure: &str, path: &[&str]) -> Result<u32, BtfError> {
        let mut candidates = self.structures(structure).peekable();
        if candidates.peek().is_none() {
            return Err(BtfError::NoStructure { structure: structure.to_owned() });
        }
        let mut budget = MEMBERS_PER_QUESTION;
        // Several structures may share a name; the one that has the member is meant.
        candidates
            .find_map(|id| self.walk(id, path, &mut budget))
            .ok_or_else(|| BtfError::NoMember { structure: structure.to_owned(), member: path.join(".") })
    }

    fn structures(&self, name: &str) -> impl Iterator<Item = u32> {
        (1u32..).zip(&self.starts).filter_map(move |(id, start)| {
            let found = matches!(self.kind_at(*start as usize)?, kind::STRUCT | kind::UNION)
                && self.is_name(u32_at(self.types, *start as usize)?, name);
            found.then_some(id)
        })
    }

    fn walk(&self, id: u32, path: &[&str], budget: &mut u32) -> Option<u32> {
        let (mut id, mut offset) = (id, 0u32);
        for name in path {
            let (at, member_type) = self.member(id, name, NESTING, budget)?;
            offset = offset.checked_add(at)?;
            id = member_type;
        }
        Some(offset)
    }

    /// Offset and type of a member of the structure behind `id`.
    fn member(&self, id: u32, name: &str, nesting: u32, budget: &mut u32) -> Option<(u32, u32)> {
        let nesting = nesting.checked_sub(1)?;
        let start = self.start_of_structure(id)?;
        let info = u32_at(self.types, start + 4)?;
        let (bit_fields, members) = (info >> 31 == 1, info & 0xffff);
        for index in 0..members as usize {
            *budget = budget.checked_sub(1)?;
            let member = start + TYPE_BYTES + MEMBER_BYTES * index;
            let member_type = u32_at(self.types, member + 4)?;
            let bits = u32_at(self.types, member + 8)? & if bit_fields { 0x00ff_ffff } else { u32::MAX };
            let member_name = u32_at(self.types, member)?;
            if self.is_name(member_name, name) {
                return Some((bits / 8, member_type));
            }
            if self.is_name(member_name, "")
                && let Some((inner, inner_type)) = self.member(member_type, name, nesting, budget)
            {
                return Some(((bits / 8).checked_add(inner)?, inner_type));
            }
        }
        None
    }

    /// Where the structure or union begins that `id` stands for, typedefs and qualifiers peeled off.
    fn start_of_structure(&self, id: u32) -> Option<usize> {
        let mut id = id;
        for _ in 0..NESTING {
            let start = *self.starts.get((id as usize).checked_sub(1)?)? as usize;
            match self.kind_at(start)? {
                kind::STRUCT | kind::UNION => return Some(start),
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = u32_at(self.types, start + 8)?;
                }
                _ => return None,
            }
        }
        None
    }

    fn kind_at(&self, start: usize) -> Option<u32> {
        Some(u32_at(self.types, start + 4)? >> 24 & 0x1f)
    }

    fn is_name(&self, offset: u32, name: &str) -> bool {
        self.strings
            .get(offset as usize..)
            .and_then(|text| text.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Bytes that the type at `at` takes; `None` where it is unknown or does not fit.
fn size_of_type(types: &[u8], at: usize) -> Option<usize> {
    let info = u32_at(types, at.checked_add(4)?)?;
    let members = (info & 0xffff) as usize;
    let body = match info >> 24 & 0x1f {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * members,
        kind::ENUM | kind::FUNC_PROTO => 8 * members,
        0 => return None,
        kind if kind > kind::LAST => return None,
        _ => 0,
    };
    let size = TYPE_BYTES + body;
    (at.checked_add(size)? <= types.len()).then_some(size)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::{Btf, BtfError, HEADER_BYTES, MAGIC, kind};
    use proptest::prelude::*;

    /// Builds BTF the way a compiler would.
    #[derive(Default)]
    struct Builder {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Builder {
        fn name(&mut self, name: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend(name.as_bytes());
            self.strings.push(0);
            at
        }

        fn words(&mut self, words: &[u32]) {
            self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        }

        fn composite(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) {
            let name = self.name(name);
            self.words(&[name, kind << 24 | members.len() as u32, 64]);
            for (member, member_type, bits) in members {
                let member = self.name(member);
                self.words(&[member, *member_type, *bits]);
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend([1, 0]);
            for word in [HEADER_BYTES as u32, 0, types, types, strings] {
                bytes.extend(word.to_ne_bytes());
            }
            bytes.extend(&self.types);
            bytes.extend(&self.strings);
            bytes
        }
    }

    /// `struct file { int count; union { const struct path f_path; struct path hidden; }; }` and its like.
    fn sample() -> Vec<u8> {
        let mut btf = Builder::default();
        let int = btf.name("int");
        btf.words(&[int, kind::INT << 24, 4, 32]); // 1
        btf.composite(kind::STRUCT, "path", &[("mnt", 1, 0), ("dentry", 1, 64)]); // 2
        btf.words(&[0, kind::CONST << 24, 2]); // 3
        btf.composite(kind::UNION, "", &[("f_path", 3, 0), ("hidden", 2, 0)]); // 4
        btf.composite(kind::STRUCT, "file", &[("count", 1, 0), ("", 4, 128), ("ops", 1, 256)]); // 5
        btf.composite(kind::STRUCT, "twin", &[("left", 1, 8)]); // 6
        btf.composite(kind::STRUCT, "twin", &[("right", 1, 16)]); // 7
        btf.composite(kind::STRUCT, "ring", &[("", 8, 8)]); // 8, contains itself
        btf.bytes()
    }

    #[test]
    fn members_are_found_through_whatever_wraps_them() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        let no_member = |structure: &str, member: &str| {
            Err(BtfError::NoMember { structure: structure.into(), member: member.into() })
        };
        for (structure, path, expected) in [
            ("file", &["count"][..], Ok(0)),
            ("file", &["f_path"], Ok(16)),
            ("file", &["f_path", "dentry"], Ok(24)),
            ("file", &["hidden", "mnt"], Ok(16)),
            ("file", &["ops"], Ok(32)),
            ("twin", &["right"], Ok(2)),
            ("file", &["absent"], no_member("file", "absent")),
            ("file", &["count", "of"], no_member("file", "count.of")),
            ("ring", &["absent"], no_member("ring", "absent")),
            ("fil", &["count"], Err(BtfError::NoStructure { structure: "fil".into() })),
        ] {
            assert_eq!(btf.offset(structure, path), expected, "{structure} {path:?}");
        }
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(damage in prop::collection::vec((0usize..600, any::<u8>()), 1..20)) {
            let mut bytes = sample();
            for (at, byte) in damage {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(btf) = Btf::parse(&bytes) {
                let _ = btf.offset("file", &["f_path", "dentry"]);
                let _ = btf.offset("ring", &["absent"]);
            }
        }
    }
}
