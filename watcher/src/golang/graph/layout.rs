//! Where the pointers in a value lead: from a type and an offset to what lies behind, with the names on the way.

use super::types::{Kind, Shape, TypeId, TypeInfo, Types};
use std::sync::Arc;

/// Deeper than any type that a compiler accepts.
const MAX_DEPTH: usize = 64;
/// Larger values are walked anew each time.
const MAX_KEPT_WORDS: u64 = 512;

impl Types {
    /// What the pointer at `offset` of a thing of this type leads to. Unknown where there is no pointer.
    pub fn lead(&mut self, id: TypeId, offset: u64) -> TypeId {
        let group = |types: &mut Types, map| {
            let group = types.info(map).group;
            types.at(group).map_or(TypeId::UNKNOWN, |group| types.backing(group))
        };
        match self.info(id).shape {
            Shape::Value => self.value_lead(id, offset),
            Shape::Backing(element) => match offset.checked_rem(self.info(element).size) {
                Some(offset) => self.value_lead(element, offset),
                None => TypeId::UNKNOWN,
            },
            Shape::Map(map) => match (self.has_swiss_maps(), offset) {
                (true, 16) => self.shaped(Shape::MapInside(map)),
                (false, 16 | 24) => group(self, map),
                (false, 40) => self.shaped(Shape::MapExtra(map)),
                _ => TypeId::UNKNOWN,
            },
            Shape::MapDirectory(map) => self.shaped(Shape::MapTable(map)),
            Shape::MapTable(map) if offset == 16 => group(self, map),
            Shape::MapExtra(map) if offset == 16 => group(self, map),
            Shape::MapExtra(map) => self.shaped(Shape::MapOverflow(map)),
            // The slice itself, then its elements: neither has anything but pointers to the next.
            Shape::MapOverflow(map) => group(self, map),
            Shape::Channel(element) if offset == 16 => self.backing(element),
            Shape::Closure(_, captures) if captures.is_known() => self.value_lead(captures, offset),
            _ => TypeId::UNKNOWN,
        }
    }

    /// The field at `offset` of a thing of this type and what its pointer leads to: `.val` and `main.Span`.
    pub fn step(&mut self, id: TypeId, offset: u64) -> Option<(String, TypeId)> {
        let target = self.lead(id, offset);
        target.is_known().then(|| (self.path(id, offset), target))
    }

    /// The name of what lies at `offset` of a thing of this type: `.session.body`, `[].next`. Empty for what has no
    /// name of its own, such as the parts of a map.
    pub fn path(&mut self, id: TypeId, offset: u64) -> String {
        let mut path = String::new();
        let (value, inside) = match self.info(id).shape {
            Shape::Value => (id, offset),
            Shape::Closure(_, captures) if captures.is_known() => (captures, offset),
            Shape::Backing(element) => {
                // Groups and buckets are no slices that anybody wrote.
                if !self.is_part_of_map(element) {
                    path.push_str("[]");
                }
                (element, offset.checked_rem(self.info(element).size).unwrap_or(0))
            }
            Shape::Channel(_) if offset == 16 => return "<-".to_owned(),
            _ => return path,
        };
        self.descend(value, inside, Some(&mut path));
        path
    }

    /// Many values of a type one behind the other.
    pub fn backing(&mut self, element: TypeId) -> TypeId {
        if element.is_known() { self.shaped(Shape::Backing(element)) } else { TypeId::UNKNOWN }
    }

    /// What a function value with this code points to. `captures` is the type of the struct that the compiler made for
    /// it, or unknown; `name` is the function's.
    pub fn closure(&mut self, code: u64, captures: TypeId, name: &str) -> TypeId {
        let id = self.shaped(Shape::Closure(code, captures));
        if id.is_known() {
            let is_bound = name.strip_suffix("-fm");
            self.rename(
                id,
                is_bound.map_or_else(|| format!("closure {name}"), |it| format!("method value {it}")).into(),
            );
        }
        id
    }

    /// Which of the two an object is that a map's directory pointer leads to: a directory begins with a pointer, a
    /// group with its control word. Any other type stays as it is.
    pub fn settle(&mut self, id: TypeId, begins_with_pointer: bool) -> TypeId {
        let Shape::MapInside(map) = self.info(id).shape else { return id };
        if begins_with_pointer {
            return self.shaped(Shape::MapDirectory(map));
        }
        let group = self.info(map).group;
        self.at(group).map_or(TypeId::UNKNOWN, |group| self.backing(group))
    }

    /// A variable of this type that is itself a pointer: what it points to.
    pub fn pointee(&mut self, id: TypeId) -> TypeId {
        self.lead(id, 0)
    }

    /// The number of a shape; unknown where there are too many types.
    pub fn shaped(&mut self, shape: Shape) -> TypeId {
        if let Some(id) = self.shapes.get(&shape) {
            return *id;
        }
        let name = |id: TypeId| self.info(id).name.clone();
        let name = match shape {
            Shape::Backing(element) if self.is_part_of_map(element) => {
                name(element).replacen("map.group", "map", 1).replacen("map.bucket", "map", 1) + " (entries)"
            }
            Shape::Backing(element) => format!("[]{}", name(element)),
            Shape::Map(map) => name(map).to_string(),
            Shape::MapInside(map) | Shape::MapDirectory(map) | Shape::MapTable(map) => {
                format!("{} (table)", name(map))
            }
            Shape::MapExtra(map) | Shape::MapOverflow(map) => format!("{} (overflow)", name(map)),
            Shape::Channel(element) => format!("chan {}", name(element)),
            Shape::Closure(code, _) => format!("closure at {code:#x}"),
            Shape::Unknown | Shape::Value => return TypeId::UNKNOWN,
            Shape::Dynamic => return TypeId::DYNAMIC,
            Shape::Function => return TypeId::FUNCTION,
            Shape::Bytes => return TypeId::BYTES,
        };
        let id = self.push(TypeInfo::synthetic(name, shape)).unwrap_or_default();
        if id.is_known() {
            self.shapes.insert(shape, id);
        }
        id
    }

    /// A group or bucket of a map, which the compiler makes up.
    pub fn is_part_of_map(&self, id: TypeId) -> bool {
        let name = &self.info(id).name;
        name.starts_with("map.group[") || name.starts_with("map.bucket[")
    }

    fn value_lead(&mut self, id: TypeId, offset: u64) -> TypeId {
        let words = self.info(id).size.div_ceil(8);
        if !offset.is_multiple_of(8) || offset >= self.info(id).pointer_bytes {
            return TypeId::UNKNOWN;
        }
        if words > MAX_KEPT_WORDS {
            return self.descend(id, offset, None);
        }
        let index = usize::try_from(id.0).unwrap_or(0);
        if self.leads.get(index).is_some_and(Option::is_none) {
            let leads = (0..words).map(|word| self.descend(id, word * 8, None)).collect();
            self.leads[index] = Some(leads);
        }
        let leads = self.leads.get(index).and_then(Option::as_ref);
        let lead = leads.zip(usize::try_from(offset / 8).ok()).and_then(|(leads, word)| leads.get(word));
        lead.copied().unwrap_or_default()
    }

    fn descend(&mut self, mut id: TypeId, mut offset: u64, mut path: Option<&mut String>) -> TypeId {
        let mut entry = if self.is_part_of_map(id) { Entry::Group } else { Entry::None };
        for _ in 0..MAX_DEPTH {
            let info = self.info(id);
            let element = info.element;
            match (info.kind, offset) {
                (Kind::Pointer, 0) => return self.at(element).unwrap_or_default(),
                (Kind::Slice, 0) => {
                    let element = self.at(element).unwrap_or_default();
                    return self.backing(element);
                }
                (Kind::String, 0) => return TypeId::BYTES,
                (Kind::Map, 0) => return self.shaped(Shape::Map(id)),
                (Kind::Channel, 0) => {
                    let element = self.at(element).unwrap_or_default();
                    return if element.is_known() { self.shaped(Shape::Channel(element)) } else { element };
                }
                (Kind::Function, 0) => return TypeId::FUNCTION,
                (Kind::Interface, 8) => return TypeId::DYNAMIC,
                (Kind::Array, _) => {
                    let element = self.at(element).unwrap_or_default();
                    let Some(inside) = offset.checked_rem(self.info(element).size) else {
                        return TypeId::UNKNOWN;
                    };
                    match (entry, &mut path) {
                        (Entry::None, Some(path)) => path.push_str("[]"),
                        (Entry::Column, _) => entry = Entry::None,
                        _ => {}
                    }
                    (id, offset) = (element, inside);
                }
                (Kind::Struct, _) => {
                    let fields = Arc::clone(&info.fields);
                    let until = fields.partition_point(|field| field.offset <= offset);
                    // Fields without size lie where the next one begins, or behind the last.
                    let held = fields[..until].iter().rev().find_map(|field| {
                        let inside = offset - field.offset;
                        let id = self.at(field.described)?;
                        (inside < self.info(id).size).then_some((field, id, inside))
                    });
                    let Some((field, field_id, inside)) = held else { return TypeId::UNKNOWN };
                    if entry == Entry::Group && &*field.name == "overflow" {
                        return self.backing(id);
                    }
                    entry = entry.in_field(&field.name, path.as_deref_mut());
                    (id, offset) = (field_id, inside);
                }
                _ => return TypeId::UNKNOWN,
            }
        }
        TypeId::UNKNOWN
    }
}

/// How far a walk is into a group or bucket of a map.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// Not in one, or behind what the compiler made up.
    None,
    /// In one, or among its slots.
    Group,
    /// Among its keys or its values, which lie one behind the other.
    Column,
}

impl Entry {
    /// In a field of this name, which is added to the path where somebody wrote it.
    fn in_field(self, name: &str, path: Option<&mut String>) -> Entry {
        let (next, shown) = match (self, name) {
            (Entry::Group, "key") => (Entry::None, "key"),
            (Entry::Group, "elem") => (Entry::None, ""),
            (Entry::Group, "keys") => (Entry::Column, "key"),
            (Entry::Group, "elems") => (Entry::Column, ""),
            (Entry::Group, _) => (Entry::Group, ""),
            (Entry::None | Entry::Column, "") => (Entry::None, "?"),
            (Entry::None | Entry::Column, name) => (Entry::None, name),
        };
        if let Some(path) = path.filter(|_| !shown.is_empty()) {
            path.push('.');
            path.push_str(shown);
        }
        next
    }
}
