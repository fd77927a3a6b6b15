use super::super::super::binary::image::Image;
use super::super::super::binary::loaded::Loaded;
use super::super::super::fixture::Elf;
use super::super::super::recorded::Recorded;
use super::super::super::runtime::layouts::Minor;
use super::super::types::Shape;
use super::{TypeId, Types};
use proptest::prelude::*;

const START: u64 = 0x50_0000;
const PLAIN: u8 = 2;
const ARRAY: u8 = 17;
const CHANNEL: u8 = 18;
const INTERFACE: u8 = 20;
const MAP: u8 = 21;
const POINTER: u8 = 22;
const SLICE: u8 = 23;
const STRING: u8 = 24;
const STRUCT: u8 = 25;

/// Descriptions as the linker lays them out.
#[derive(Default)]
struct Described {
    bytes: Vec<u8>,
}

impl Described {
    fn name(&mut self, name: &str) -> u64 {
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&[0, u8::try_from(name.len()).unwrap()]);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        offset
    }

    /// Kind, name, size, bytes with pointers, and the words behind what all types have.
    fn add(&mut self, kind: u8, name: &str, (size, pointers): (u64, u64), words: &[u64]) -> u64 {
        let name = self.name(name);
        let address = START + self.bytes.len() as u64;
        self.bytes.extend_from_slice(&size.to_le_bytes());
        self.bytes.extend_from_slice(&pointers.to_le_bytes());
        // Hash; flags: the mask is made on demand; alignment twice; kind.
        self.bytes.extend_from_slice(&[1, 2, 3, 4, 16, 8, 8, kind]);
        self.bytes.extend_from_slice(&[0; 16]);
        self.bytes.extend_from_slice(&u32::try_from(name).unwrap().to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        words.iter().for_each(|word| self.bytes.extend_from_slice(&word.to_le_bytes()));
        address
    }

    fn structure(&mut self, name: &str, sizes: (u64, u64), fields: &[(&str, u64, u64)]) -> u64 {
        let names: Vec<u64> = fields.iter().map(|(name, ..)| START + self.name(name)).collect();
        let table = START + self.bytes.len() as u64;
        for ((_, described, offset), name) in fields.iter().zip(names) {
            [name, *described, *offset]
                .iter()
                .for_each(|word| self.bytes.extend_from_slice(&word.to_le_bytes()));
        }
        self.add(STRUCT, name, sizes, &[0, table, fields.len() as u64, fields.len() as u64])
    }

    fn types(self, minor: u32) -> Types {
        Types::of_bytes(START, self.bytes, Some(Minor(minor)))
    }
}

fn step(types: &mut Types, from: u64, offset: u64) -> Option<(String, String)> {
    let id = types.at(from)?;
    let (path, to) = types.step(id, offset)?;
    Some((path, types.info(to).name.to_string()))
}

fn with_loaded<T>(memory: &Recorded, look: impl FnOnce(&Loaded) -> T) -> T {
    let file = Elf::new().data(0x1000, &[0; 8]).build();
    let image = Image::read(&file).unwrap();
    look(&Loaded { file: &file, image: &image, bias: 0, memory })
}

#[test]
fn pointers_lead_by_name_to_what_they_point_to() {
    let mut all = Described::default();
    let int = all.add(PLAIN, "int", (8, 0), &[]);
    let string = all.add(STRING, "string", (16, 8), &[]);
    let pair = all.structure("main.Pair", (24, 16), &[("N", int, 0), ("Name", string, 8)]);
    let pairs = all.add(SLICE, "[]main.Pair", (24, 8), &[pair]);
    let pointer = all.add(POINTER, "*main.Pair", (8, 8), &[pair]);
    let three = all.add(ARRAY, "[3]main.Pair", (72, 64), &[pair, pairs, 3]);
    let channel = all.add(CHANNEL, "chan main.Pair", (8, 8), &[pair]);
    let anything = all.add(INTERFACE, "interface {}", (16, 16), &[]);
    let empty = all.structure("struct {}", (0, 0), &[]);
    let fields = [
        ("none", empty, 0),
        ("list", pairs, 0),
        ("one", pointer, 24),
        ("rows", three, 32),
        ("work", channel, 104),
        ("any", anything, 112),
        ("tail", empty, 128),
    ];
    let whole = all.structure("main.Whole", (136, 128), &fields);
    let mut types = all.types(27);
    for (offset, expected) in [
        (0, Some((".list", "[]main.Pair"))),
        (8, None),
        (24, Some((".one", "main.Pair"))),
        (32, None),
        (40, Some((".rows[].Name", "string data"))),
        (88, Some((".rows[].Name", "string data"))),
        (104, Some((".work", "chan main.Pair"))),
        (112, None),
        (120, Some((".any", "interface data"))),
        (128, None),
        (1 << 40, None),
        (41, None),
    ] {
        let found = step(&mut types, whole, offset);
        let found = found.as_ref().map(|(path, to)| (&**path, &**to));
        assert_eq!(found, expected, "at {offset}");
    }
    let list = types.at(whole).map(|id| types.lead(id, 0)).unwrap();
    assert_eq!(types.step(list, 24 * 7 + 8), Some(("[].Name".to_owned(), TypeId::BYTES)));
    let channel = types.at(whole).map(|id| types.lead(id, 104)).unwrap();
    let buffer = types.lead(channel, 16);
    assert_eq!(types.info(buffer).name.as_ref(), "[]main.Pair");
    assert_eq!((types.path(channel, 16), types.lead(channel, 24)), ("<-".to_owned(), TypeId::UNKNOWN));
}

#[test]
fn maps_lead_to_their_values_in_both_layouts() {
    for (minor, group_name, columns) in
        [(27, "map.group", false), (28, "map.group", true), (21, "map.bucket", true)]
    {
        let mut all = Described::default();
        let word = all.add(PLAIN, "uint64", (8, 0), &[]);
        let string = all.add(STRING, "string", (16, 8), &[]);
        let item = all.structure("main.Item", (16, 8), &[("Name", string, 0)]);
        let pointer = all.add(POINTER, "*main.Item", (8, 8), &[item]);
        let (keys, values) = (
            all.add(ARRAY, "[8]string", (128, 120), &[string, 0, 8]),
            all.add(ARRAY, "[8]*main.Item", (64, 64), &[pointer, 0, 8]),
        );
        let name = format!("{group_name}[string]*main.Item");
        let group = if columns {
            let fields =
                [("ctrl", word, 0), ("keys", keys, 8), ("elems", values, 136), ("overflow", word, 200)];
            all.structure(&name, (208, 200), &fields)
        } else {
            let slot =
                all.structure("struct { key; elem }", (24, 24), &[("key", string, 0), ("elem", pointer, 16)]);
            let slots = all.add(ARRAY, "[8]slot", (192, 192), &[slot, 0, 8]);
            all.structure(&name, (200, 200), &[("ctrl", word, 0), ("slots", slots, 8)])
        };
        let map = all.add(MAP, "map[string]*main.Item", (8, 8), &[string, pointer, group]);
        let mut types = all.types(minor);
        let variable = types.at(map).unwrap();
        let header = types.pointee(variable);
        assert_eq!(types.info(header).name.as_ref(), "map[string]*main.Item");
        let inside = types.lead(header, 16);
        let entries = if minor >= 24 {
            let table = types.settle(inside, true);
            let table = types.lead(table, 8);
            assert_eq!(types.lead(table, 16), types.settle(inside, false), "a small map has no tables");
            types.settle(inside, false)
        } else {
            assert_eq!(types.lead(header, 24), inside, "old buckets are of the same kind");
            inside
        };
        let (key, value) = if columns { (8 + 3 * 16, 136 + 3 * 8) } else { (8 + 24 * 3, 8 + 24 * 3 + 16) };
        let group = types.at(group).unwrap();
        let size = types.info(group).size;
        for at in [0, size * 5] {
            let (path, to) = types.step(entries, at + value).unwrap();
            assert_eq!((&*path, &*types.info(to).name), ("", "main.Item"), "Go 1.{minor}");
            assert_eq!(types.step(entries, at + key), Some((".key".to_owned(), TypeId::BYTES)));
        }
        assert!(matches!(types.info(entries).shape, Shape::Backing(_)));
    }
}

#[test]
fn masks_that_the_runtime_does_not_keep_are_computed() {
    let mut all = Described::default();
    let string = all.add(STRING, "string", (16, 8), &[]);
    let anything = all.add(INTERFACE, "interface {}", (16, 16), &[]);
    let pair = all.structure("main.Pair", (32, 32), &[("S", string, 0), ("I", anything, 16)]);
    let many = all.add(ARRAY, "[20]main.Pair", (640, 640), &[pair, 0, 20]);
    let mut types = all.types(27);
    let id = types.at(many).unwrap();
    let mask = with_loaded(&Recorded::new(), |loaded| types.mask(loaded, id)).unwrap();
    assert_eq!(*mask, [0xdddd_dddd_dddd_dddd, 0xdddd]);
}

#[test]
fn an_interface_is_believed_where_type_and_table_agree() {
    let mut all = Described::default();
    let reader = all.add(INTERFACE, "io.Reader", (16, 16), &[]);
    let file = all.structure("os.File", (8, 0), &[]);
    let pointer = all.add(POINTER, "*os.File", (8, 8), &[file]);
    let mut types = all.types(25);
    let hash = 0x0403_0201;
    let memory = Recorded::new()
        .with_words(0x9000, &[reader, file, hash])
        .with_words(0x9100, &[reader, file, hash + 1])
        .with_words(0x9200, &[pointer, file, hash])
        .with_words(0x9300, &[reader, 0x1234, hash]);
    with_loaded(&memory, |loaded| {
        let names = [file, 0x9000, 0x9100, 0x9200, 0x9300, 0x9400, 0, 7].map(|word| {
            let id = types.held_by_interface(loaded, word);
            types.info(id).name.to_string()
        });
        assert_eq!(names, ["os.File", "os.File", "?", "?", "?", "?", "?", "?"]);
    });
}

#[test]
fn types_that_lie_end_somewhere() {
    let mut all = Described::default();
    // An array of itself, a struct in itself, an array that is too long, a name that lies elsewhere.
    let next = START + all.bytes.len() as u64 + 8;
    let array = all.add(ARRAY, "loop", (64, 64), &[next, 0, 8]);
    assert_eq!(array, next);
    let int = all.add(PLAIN, "int", (8, 0), &[]);
    let long = all.add(ARRAY, "long", (1 << 30, 1 << 30), &[int, 0, 1 << 60]);
    let deep = all.structure("deep", (64, 64), &[("d", array, 0)]);
    let far = all.add(STRUCT, "far", (64, 64), &[0, u64::MAX - 8, 4000, 4000]);
    let many = all.add(STRUCT, "many", (64, 64), &[0, START, u64::MAX / 24, 0]);
    let huge = all.add(PLAIN, "huge", (u64::MAX, 0), &[]);
    let mut types = all.types(27);
    for address in [far, many, huge, int + 8, START - 8, u64::MAX, u64::MAX - 7] {
        assert_eq!(types.at(address), None, "{address:#x}");
    }
    with_loaded(&Recorded::new(), |loaded| {
        for address in [array, long, deep] {
            let id = types.at(address).unwrap();
            assert_eq!(types.lead(id, 8), TypeId::UNKNOWN);
            // Without an end, or with one far beyond the type, there is no mask to be had.
            let mask = types.mask(loaded, id);
            assert!(mask.is_none_or(|mask| mask.iter().all(|part| *part == 0)));
        }
    });
}

proptest! {
    #[test]
    fn garbage_is_unknown(bytes in proptest::collection::vec(prop_oneof![Just(0_u8), 0..32_u8, any::<u8>()], 0..600), minor in 18..29_u32) {
        super::super::go_through(&bytes, minor);
    }
}
