//! What a type is: its number, its kind, its fields, and what it stands for.

use std::sync::Arc;

/// A type, or one of the runtime's own structures for a type (see [`Shape`]): an index into [`super::types::Types`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// Nothing is known.
    pub const UNKNOWN: TypeId = TypeId(0);
    /// What an interface holds: the word before the pointer tells (see [`super::types::Types::held_by_interface`]).
    pub const DYNAMIC: TypeId = TypeId(1);
    /// A function value: its first word is the address of its code.
    pub const FUNCTION: TypeId = TypeId(2);
    /// The bytes of a string.
    pub const BYTES: TypeId = TypeId(3);

    /// Anything is known.
    pub fn is_known(self) -> bool {
        self != TypeId::UNKNOWN
    }
}

/// `abi.Kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Numbers and the like: no pointers.
    Plain,
    /// `[n]T`.
    Array,
    /// `chan T`.
    Channel,
    /// `func(…)`.
    Function,
    /// Any interface.
    Interface,
    /// `map[K]V`.
    Map,
    /// `*T`.
    Pointer,
    /// `[]T`.
    Slice,
    /// `string`.
    String,
    /// `struct`.
    Struct,
    /// `unsafe.Pointer`.
    UnsafePointer,
}

impl Kind {
    pub(super) fn parse(number: u8) -> Option<Kind> {
        Some(match number {
            1..=16 => Kind::Plain,
            17 => Kind::Array,
            18 => Kind::Channel,
            19 => Kind::Function,
            20 => Kind::Interface,
            21 => Kind::Map,
            22 => Kind::Pointer,
            23 => Kind::Slice,
            24 => Kind::String,
            25 => Kind::Struct,
            26 => Kind::UnsafePointer,
            _ => return None,
        })
    }
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; empty where it cannot be read.
    pub name: Arc<str>,
    /// In bytes from the begin of the struct.
    pub offset: u64,
    /// Where its type is described.
    pub(super) described: u64,
}

/// What is known of a type.
#[derive(Clone, Debug)]
pub struct TypeInfo {
    /// As Go prints it: `map[string]*main.Session`.
    pub name: Arc<str>,
    /// Of one value, in bytes; 0 for structures of no fixed size.
    pub size: u64,
    /// Bytes from the begin behind which there are no pointers.
    pub pointer_bytes: u64,
    /// What kind of type it is.
    pub kind: Kind,
    /// What it stands for.
    pub shape: Shape,
    pub(super) hash: u32,
    /// An interface keeps the pointer itself, not a pointer to it.
    pub(super) is_direct: bool,
    pub(super) fields: Arc<[Field]>,
    /// Of arrays.
    pub(super) length: u64,
    /// Where element, key and group or bucket are described.
    pub(super) element: u64,
    pub(super) group: u64,
    pub(super) pointer_data: u64,
    pub(super) is_mask_on_demand: bool,
    pub(super) package: Option<Arc<str>>,
}

impl TypeInfo {
    pub(super) fn synthetic(name: impl Into<Arc<str>>, shape: Shape) -> TypeInfo {
        TypeInfo {
            name: name.into(),
            size: 0,
            pointer_bytes: 0,
            kind: Kind::Plain,
            shape,
            hash: 0,
            is_direct: false,
            fields: [].into(),
            length: 0,
            element: 0,
            group: 0,
            pointer_data: 0,
            is_mask_on_demand: false,
            package: None,
        }
    }
}

/// What a [`TypeId`] stands for. The runtime allocates more than values of types: these are told apart, as each has its
/// own pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// See [`TypeId::UNKNOWN`].
    Unknown,
    /// See [`TypeId::DYNAMIC`].
    Dynamic,
    /// See [`TypeId::FUNCTION`].
    Function,
    /// See [`TypeId::BYTES`].
    Bytes,
    /// A value of a Go type.
    Value,
    /// Values of a type one behind the other: what a slice points to, the buffer of a channel, groups or buckets of a
    /// map.
    Backing(TypeId),
    /// What a variable of this map type points to (`maps.Map`, `hmap`).
    Map(TypeId),
    /// What `maps.Map.dirPtr` points to: a directory of tables, or the only group of a small map. See
    /// [`super::types::Types::settle`].
    MapInside(TypeId),
    /// Directory of a map: pointers to tables.
    MapDirectory(TypeId),
    /// `maps.table`.
    MapTable(TypeId),
    /// `mapextra`, before Go 1.24.
    MapExtra(TypeId),
    /// Slice of overflow buckets, and what it points to, before Go 1.24.
    MapOverflow(TypeId),
    /// `hchan` with elements of this type.
    Channel(TypeId),
    /// A function value by the address of its code, with the type of what it captures where that is known.
    Closure(u64, TypeId),
}
