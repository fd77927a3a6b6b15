//! Go's own descriptions of types, which every executable has, stripped or not.
//!
//! `internal/abi/type.go`, Go 1.18 to 1.27. Descriptions lie side by side between two words of `moduledata`; each is
//! read when it is first asked for and gets a number of its own. All of it is untrusted: lengths, offsets and depths
//! are bounded, and what makes no sense is unknown.

pub use super::type_info::{Field, Kind, Shape, TypeId, TypeInfo};

use super::super::binary::loaded::Loaded;
use super::super::binary::moduledata::Module;
use super::super::bytes::{array_at, u32_at, u64_at, uvarint};
use super::super::runtime::layouts::Minor;
use std::collections::HashMap;
use std::sync::Arc;

/// Descriptions of the largest programs take some 20 MiB.
const MAX_SECTION_BYTES: u64 = 128 << 20;
const MAX_MODULES: usize = 16;
/// The largest programs describe some hundred thousand types, and few of them are met in one heap.
const MAX_TYPES: usize = 1 << 18;
const MAX_FIELDS: u64 = 4096;
const MAX_NAME_BYTES: u64 = 4096;
const MAX_TYPE_BYTES: u64 = 1 << 36;
/// Words of the largest pointer mask: that of a value of 64 MiB.
const MAX_MASK_WORDS: u64 = 8 << 20;
/// Words that are set in all masks that are computed.
const MASK_BUDGET: u64 = 1 << 27;
const MAX_DEPTH: usize = 64;
/// Different type words of interfaces that are looked at.
const MAX_INTERFACE_WORDS: usize = 1 << 16;
/// `moduledata.types`; `etypes` follows, and in Go 1.27 one word later.
const TYPES_OFFSET: usize = 296;
const HEADER_BYTES: usize = 48;

/// The descriptions of one module.
struct Section {
    start: u64,
    bytes: Vec<u8>,
    /// The number of the type that is described at each eighth byte, 0 where none was asked for, `REFUSED` where there
    /// is none.
    ids: Vec<u32>,
}

const REFUSED: u32 = u32::MAX;

impl Section {
    fn bytes_at(&self, address: u64, length: usize) -> Option<&[u8]> {
        let inside = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.bytes.get(inside..)?.get(..length)
    }

    fn slot(&self, address: u64) -> Option<usize> {
        let inside = address.checked_sub(self.start).filter(|inside| inside % 8 == 0)?;
        usize::try_from(inside / 8).ok().filter(|slot| *slot < self.ids.len())
    }

    /// A name as `abi.Name` keeps it: a byte of flags, its length, its bytes.
    fn name_at(&self, address: u64) -> Option<&str> {
        let inside = usize::try_from(address.checked_sub(self.start)?).ok()?.checked_add(1)?;
        let (length, width) = uvarint(self.bytes.get(inside..)?)?;
        if length > MAX_NAME_BYTES {
            return None;
        }
        let bytes = self.bytes.get(inside + width..)?.get(..usize::try_from(length).ok()?)?;
        let name = std::str::from_utf8(bytes).ok()?;
        (!name.chars().any(char::is_control)).then_some(name)
    }
}

/// The types of a process, read as they are met.
pub struct Types {
    sections: Vec<Section>,
    minor: Option<Minor>,
    infos: Vec<TypeInfo>,
    pub(super) shapes: HashMap<Shape, TypeId>,
    /// What the pointers in a value lead to, by word.
    pub(super) leads: Vec<Option<Box<[TypeId]>>>,
    interface_words: HashMap<u64, TypeId>,
    masks: HashMap<TypeId, Arc<[u64]>>,
    mask_budget: u64,
}

impl Types {
    /// Reads the descriptions of `modules`. A module whose descriptions cannot be read has no types.
    pub fn open<'a>(
        loaded: &Loaded,
        modules: impl IntoIterator<Item = &'a Module>,
        minor: Option<Minor>,
    ) -> Types {
        let sections = modules.into_iter().take(MAX_MODULES).filter_map(|module| section(loaded, module));
        Types::of_sections(sections.collect(), minor)
    }

    /// The types that `bytes` at `start` describe.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(in crate::golang) fn of_bytes(start: u64, bytes: Vec<u8>, minor: Option<Minor>) -> Types {
        let ids = vec![0; bytes.len() / 8];
        Types::of_sections(vec![Section { start, bytes, ids }], minor)
    }

    fn of_sections(sections: Vec<Section>, minor: Option<Minor>) -> Types {
        let reserved = [
            TypeInfo::synthetic("?", Shape::Unknown),
            TypeInfo::synthetic("interface data", Shape::Dynamic),
            TypeInfo::synthetic("func", Shape::Function),
            TypeInfo::synthetic("string data", Shape::Bytes),
        ];
        let leads = vec![None; reserved.len()];
        Types {
            sections,
            minor,
            infos: reserved.into(),
            shapes: HashMap::new(),
            leads,
            interface_words: HashMap::new(),
            masks: HashMap::new(),
            mask_budget: MASK_BUDGET,
        }
    }

    /// The type that is described at `address`; `None` where none is.
    pub fn at(&mut self, address: u64) -> Option<TypeId> {
        let section = self.sections.iter().position(|section| section.slot(address).is_some())?;
        let slot = self.sections[section].slot(address)?;
        match self.sections[section].ids.get(slot).copied()? {
            0 => {}
            REFUSED => return None,
            id => return Some(TypeId(id)),
        }
        let info = self.parse(&self.sections[section], address);
        let id = info.and_then(|info| self.push(info));
        if let Some(known) = self.sections[section].ids.get_mut(slot) {
            *known = id.map_or(REFUSED, |id| id.0);
        }
        id
    }

    /// What is known of a type.
    pub fn info(&self, id: TypeId) -> &TypeInfo {
        usize::try_from(id.0).ok().and_then(|index| self.infos.get(index)).unwrap_or(&self.infos[0])
    }

    /// How many types are known by now.
    pub fn count(&self) -> usize {
        self.infos.len()
    }

    /// Lies where types are described.
    pub fn holds(&self, address: u64) -> bool {
        self.sections.iter().any(|section| section.bytes_at(address, HEADER_BYTES).is_some())
    }

    /// All types that were met, with their numbers.
    pub fn known(&self) -> impl Iterator<Item = (TypeId, &TypeInfo)> {
        self.infos
            .iter()
            .enumerate()
            .filter_map(|(index, info)| Some((TypeId(u32::try_from(index).ok()?), info)))
    }

    /// The package that a named type belongs to, by its whole path; `None` where it is not recorded.
    pub fn package(&self, id: TypeId) -> Option<&str> {
        self.info(id).package.as_deref()
    }

    /// A named type with its whole package: `net/http.Transport`; `None` for types without a name of their own.
    pub fn qualified_name(&self, id: TypeId) -> Option<String> {
        let info = self.info(id);
        let package = info.package.as_deref()?;
        let (_, name) = info.name.rsplit_once('.').filter(|_| !info.name.contains(['[', ' ', '*']))?;
        Some(format!("{package}.{name}"))
    }

    /// Meets all types that those that were met are made of or lead to.
    pub fn meet_all(&mut self) {
        let mut next = 0;
        while let Some(info) = self.infos.get(next) {
            let fields = Arc::clone(&info.fields);
            let (element, group) = (info.element, info.group);
            for described in fields.iter().map(|field| field.described).chain([element, group]) {
                self.at(described);
            }
            next += 1;
        }
    }

    /// Whether maps are those of Go 1.24 and newer.
    pub(super) fn has_swiss_maps(&self) -> bool {
        self.minor.is_none_or(|minor| minor.0 >= 24)
    }

    pub(super) fn push(&mut self, info: TypeInfo) -> Option<TypeId> {
        if self.infos.len() >= MAX_TYPES {
            return None;
        }
        let id = TypeId(u32::try_from(self.infos.len()).ok()?);
        self.infos.push(info);
        self.leads.push(None);
        Some(id)
    }

    pub(super) fn rename(&mut self, id: TypeId, name: Arc<str>) {
        if let Some(info) = usize::try_from(id.0).ok().and_then(|index| self.infos.get_mut(index)) {
            info.name = name;
        }
    }

    fn parse(&self, section: &Section, address: u64) -> Option<TypeInfo> {
        let header = section.bytes_at(address, HEADER_BYTES)?;
        let (size, pointer_bytes) = (u64_at(header, 0)?, u64_at(header, 8)?);
        let (flags, align, kind_byte) = (*header.get(20)?, *header.get(21)?, *header.get(23)?);
        let kind = Kind::parse(kind_byte & 0x1f)?;
        let is_plausible = size <= MAX_TYPE_BYTES
            && pointer_bytes <= size
            && pointer_bytes % 8 == 0
            && align.is_power_of_two()
            && align <= 64;
        if !is_plausible {
            return None;
        }
        let name = section.start.checked_add(u64::from(u32_at(header, 40)?))?;
        let mut name = section.name_at(name)?;
        // `TFlagExtraStar`: the name is kept with that of the pointer to the type.
        if flags & 2 != 0 {
            name = name.strip_prefix('*')?;
        }
        if name.is_empty() {
            return None;
        }
        // From Go 1.24 on and from Go 1.26 on.
        let from = |minor| self.minor.is_none_or(|it| it.0 >= minor);
        let word = |index: u64| {
            let bytes = section.bytes_at(address.checked_add(HEADER_BYTES as u64 + index * 8)?, 8)?;
            u64_at(bytes, 0)
        };
        let mut info = TypeInfo {
            size,
            pointer_bytes,
            kind,
            shape: Shape::Value,
            hash: u32_at(header, 16)?,
            is_direct: if from(26) { flags & 32 != 0 } else { kind_byte & 32 != 0 },
            pointer_data: u64_at(header, 32)?,
            is_mask_on_demand: if from(24) { flags & 16 != 0 } else { kind_byte & 64 != 0 },
            package: self.package_of(section, address, kind, flags),
            ..TypeInfo::synthetic(name, Shape::Value)
        };
        match kind {
            Kind::Pointer | Kind::Slice | Kind::Channel => info.element = word(0)?,
            Kind::Array => (info.element, info.length) = (word(0)?, word(2)?),
            Kind::Map => (info.element, info.group) = (word(1)?, word(2)?),
            Kind::Struct => info.fields = fields(section, word(1)?, word(2)?, size)?,
            _ => {}
        }
        Some(info)
    }

    /// `abi.UncommonType.PkgPath`, behind what is particular to the kind. Only of kinds that have methods as a rule.
    fn package_of(&self, section: &Section, address: u64, kind: Kind, flags: u8) -> Option<Arc<str>> {
        let behind = match kind {
            Kind::Struct => 80,
            Kind::Slice | Kind::Function => 56,
            Kind::Plain | Kind::String => 48,
            _ => return None,
        };
        let place = section.bytes_at(address.checked_add(behind)?, 4).filter(|_| flags & 1 != 0)?;
        let name = section.name_at(section.start.checked_add(u64::from(u32_at(place, 0)?))?)?;
        (!name.is_empty()).then(|| name.into())
    }

    /// What the pointer in an interface leads to, by the word before it: a type, or an `itab` whose hash is the type's.
    pub fn held_by_interface(&mut self, loaded: &Loaded, word: u64) -> TypeId {
        if let Some(known) = self.interface_words.get(&word) {
            return *known;
        }
        if word < 4096 || !word.is_multiple_of(8) || self.interface_words.len() >= MAX_INTERFACE_WORDS {
            return TypeId::UNKNOWN;
        }
        let id = self
            .at(word)
            .or_else(|| self.of_itab(loaded, word))
            .map_or(TypeId::UNKNOWN, |id| if self.info(id).is_direct { self.lead(id, 0) } else { id });
        self.interface_words.insert(word, id);
        id
    }

    /// `abi.ITab`: the interface, the type, and the type's hash once more.
    fn of_itab(&mut self, loaded: &Loaded, address: u64) -> Option<TypeId> {
        let mut bytes = [0; 24];
        loaded.memory.read(address, &mut bytes).ok()?;
        let (interface, described) = (u64_at(&bytes, 0)?, u64_at(&bytes, 8)?);
        if !self.holds(interface) || !self.holds(described) {
            return None;
        }
        let interface = self.at(interface)?;
        let id = self.at(described)?;
        let agrees =
            self.info(interface).kind == Kind::Interface && u32_at(&bytes, 16)? == self.info(id).hash;
        agrees.then_some(id)
    }

    /// Which words of a value are pointers, one bit a word; `None` where that cannot be told. Where the runtime keeps
    /// no such mask, it is computed from the type.
    pub fn mask(&mut self, loaded: &Loaded, id: TypeId) -> Option<Arc<[u64]>> {
        if let Some(mask) = self.masks.get(&id) {
            return Some(Arc::clone(mask));
        }
        let info = self.info(id);
        let words = info.pointer_bytes / 8;
        if info.shape != Shape::Value || words > MAX_MASK_WORDS {
            return None;
        }
        let (is_on_demand, data) = (info.is_mask_on_demand, info.pointer_data);
        let mut mask = vec![0_u64; usize::try_from(words.div_ceil(64)).ok()?];
        if is_on_demand {
            self.fill_mask(id, 0, &mut mask, 0)?;
        } else {
            let mut bytes = vec![0; usize::try_from(words.div_ceil(8)).ok()?];
            let filled = loaded.read_static(data, &mut bytes)?;
            if filled < bytes.len() {
                return None;
            }
            bytes.resize(mask.len() * 8, 0);
            for (target, source) in mask.iter_mut().zip(bytes.chunks_exact(8)) {
                *target = array_at(source, 0).map(u64::from_le_bytes)?;
            }
        }
        let mask: Arc<[u64]> = mask.into();
        self.masks.insert(id, Arc::clone(&mask));
        Some(mask)
    }

    fn fill_mask(&mut self, id: TypeId, begin: u64, mask: &mut [u64], depth: usize) -> Option<()> {
        self.mask_budget = self.mask_budget.checked_sub(1)?;
        let info = self.info(id);
        if depth > MAX_DEPTH || info.pointer_bytes == 0 {
            return (info.pointer_bytes == 0).then_some(());
        }
        let mut set = |offset: u64| {
            let word = offset / 8;
            if let Some(part) = usize::try_from(word / 64).ok().and_then(|index| mask.get_mut(index)) {
                *part |= 1 << (word % 64);
            }
        };
        match info.kind {
            Kind::Plain => {}
            Kind::Interface => {
                set(begin);
                set(begin.checked_add(8)?);
            }
            Kind::Array => {
                let (length, element) = (info.length, info.element);
                let element = self.at(element)?;
                let size = self.info(element).size;
                if size == 0 || self.info(element).pointer_bytes == 0 {
                    return Some(());
                }
                for index in 0..length {
                    let offset = begin.checked_add(index.checked_mul(size)?)?;
                    if offset / 8 >= MAX_MASK_WORDS {
                        return None;
                    }
                    self.fill_mask(element, offset, mask, depth + 1)?;
                }
            }
            Kind::Struct => {
                for field in Arc::clone(&info.fields).iter() {
                    let id = self.at(field.described)?;
                    self.fill_mask(id, begin.checked_add(field.offset)?, mask, depth + 1)?;
                }
            }
            _ => set(begin),
        }
        Some(())
    }
}

/// `abi.StructField`: name, type, offset.
fn fields(section: &Section, start: u64, count: u64, size: u64) -> Option<Arc<[Field]>> {
    if count == 0 {
        return Some([].into());
    }
    if count > MAX_FIELDS {
        return None;
    }
    let bytes = section.bytes_at(start, usize::try_from(count * 24).ok()?)?;
    let mut fields = Vec::with_capacity(usize::try_from(count).ok()?);
    let mut before = 0;
    for field in bytes.chunks_exact(24) {
        let (name, described, offset) = (u64_at(field, 0)?, u64_at(field, 8)?, u64_at(field, 16)?);
        if offset > size || offset < before {
            return None;
        }
        before = offset;
        fields.push(Field { name: section.name_at(name).unwrap_or_default().into(), offset, described });
    }
    Some(fields.into())
}

/// Reads the descriptions of one module. In executables that can lie anywhere the file lacks what the loader fills in.
fn section(loaded: &Loaded, module: &Module) -> Option<Section> {
    const CHUNK_BYTES: usize = 1 << 20;
    let start = module.word_at(TYPES_OFFSET).filter(|start| *start != 0)?;
    let ends = [TYPES_OFFSET + 8, TYPES_OFFSET + 16].map(|offset| module.word_at(offset).unwrap_or(0));
    let end = ends.into_iter().find(|end| *end > start)?;
    let length = usize::try_from(end - start).ok().filter(|length| *length as u64 <= MAX_SECTION_BYTES)?;
    let mut bytes = vec![0; length];
    let mut at = start;
    for chunk in bytes.chunks_mut(CHUNK_BYTES) {
        if loaded.image.position_independent {
            loaded.memory.read(at, chunk).ok()?;
        } else if loaded.read_static(at, chunk)? < chunk.len() {
            return None;
        }
        at = at.checked_add(chunk.len() as u64)?;
    }
    let ids = vec![0; length / 8];
    Some(Section { start, bytes, ids })
}

#[cfg(test)]
mod tests;
