//! Writes the inputs that fuzzing begins with into `corpus/`, one directory per target: small, and each of them
//! understood by its parser. Executables of Go are given as arguments, and the beginnings of them are taken.

use flate2::read::GzDecoder;
use fuzz::{ALL_SPANS, BASE, CONTROLLER};
use std::io::{self, Read};
use std::path::Path;
use std::{env, fs};
use watcher::golang::fuzzing::{good_executable, good_symbol_tables};
use watcher::report::pprof;
use watcher_ebpf::{
    DESCRIPTOR, DESCRIPTOR_INET, DESCRIPTOR_NAMED, DESCRIPTOR_SOCKET, DESCRIPTOR_UNIX, DescriptorRecord,
    EXEC, EXIT, InetTail, LifecycleRecord, NameTail, SocketTail, TASK, TaskRecord, UnixTail,
};

/// How many lines of a recording are taken: some 20 KiB.
const FIRST_LINES: usize = 16;

/// How much of an executable is taken: headers, notes and the beginning of the code.
const EXECUTABLE_BYTES: u64 = 32 << 10;

fn main() -> io::Result<()> {
    for (index, executable) in env::args_os().skip(1).enumerate() {
        let mut head = Vec::new();
        fs::File::open(executable)?.take(EXECUTABLE_BYTES).read_to_end(&mut head)?;
        write("image", &format!("go-{index}"), &head)?;
    }
    let executable = good_executable().unwrap_or_default();
    write("image", "whole", &executable)?;
    write("executable", "whole", &executable)?;
    write("symbols", "whole", &good_symbol_tables(26).unwrap_or_default())?;
    write("symbols", "whole-old", &good_symbol_tables(19).unwrap_or_default())?;
    write("types", "slice", &described())?;
    write("libraries", "library", &library())?;
    write("libraries", "blocks", &blocks())?;
    for options in 0..8 {
        write("process", &format!("version-{options}"), &[options])?;
    }
    // Harmless, as they come late, and long: inputs grow no longer than the longest one to begin with.
    let edits = (0..40_u8).flat_map(|edit| [edit % 5 + 1, 255, edit, edit * 6, edit, 0, 0, 0, 0, 0, 0, 0]);
    write("process", "edits", &[0x17].into_iter().chain(edits).collect::<Vec<_>>())?;
    write("heap", "profile", &profile())?;
    write("heap", "books", &books())?;
    write("btf", "structures", &type_information())?;
    for (name, code) in CODE {
        write("code", name, &[&0x40_1020_u64.to_le_bytes(), code].concat())?;
    }
    write("entries", "ones", &[1; 4096])?;
    for (name, answer) in ANSWERS {
        write("answers", name, answer)?;
    }
    for (name, record) in records() {
        write("records", name, &record)?;
    }
    for (name, lines) in recordings()? {
        write("recording", &name, &lines)?;
    }
    let mut packed = Vec::new();
    pprof::encode(&a_profile(), &mut packed)?;
    write("pprof", "packed", &packed)?;
    for (name, text) in TEXTS {
        write("profile_text", name, text.as_bytes())?;
    }
    for file in ["stat", "status", "limits"] {
        write("proc", file, &fs::read(Path::new("/proc/self").join(file))?)?;
    }
    write("proc", "cmdline", b"/usr/bin/program\0--flag\0value of it\0")?;
    write("proc", "cgroups", CGROUPS)?;
    write("proc", "mountinfo", MOUNTS)
}

/// A library with a page of code and a symbol in it.
fn library() -> Vec<u8> {
    let names = b"\0start\0\0";
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64 + 56, 0);
    let (symbols, strings) = (bytes.len() as u64, bytes.len() as u64 + 48);
    let sections = strings + names.len() as u64;
    bytes.resize(bytes.len() + 24, 0);
    let mut symbol = 1_u32.to_le_bytes().to_vec();
    // A global function of the first section.
    symbol.extend_from_slice(&[0x12, 0, 1, 0]);
    symbol.extend([0x1000_u64, 0x40].iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend_from_slice(&symbol);
    bytes.extend_from_slice(names);
    bytes.resize(bytes.len() + 64, 0);
    // Code, symbols and strings: kind, flags, address, place, size, link, alignment, size of an entry.
    for (kind, flags, address, place, size, link, entry) in [
        (1_u32, 6_u64, 0x1000_u64, 0x1000_u64, 0x100_u64, 0_u32, 0_u64),
        (2, 0, 0, symbols, 48, 3, 24),
        (3, 0, 0, strings, names.len() as u64, 0, 0),
    ] {
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend([flags, address, place, size].iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend_from_slice(&link.to_le_bytes());
        bytes.extend_from_slice(&1_u32.to_le_bytes());
        bytes.extend([8, entry].iter().flat_map(|word: &u64| word.to_le_bytes()));
    }
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    // A shared object for x86-64 with one program header and four sections.
    put(16, &[3, 0, 62, 0, 1]);
    put(32, &64_u64.to_le_bytes());
    put(40, &sections.to_le_bytes());
    put(52, &[64, 0, 56, 0, 1, 0, 64, 0, 4, 0]);
    put(64, &[1, 0, 0, 0, 5]);
    for (at, word) in [(72, 0x1000_u64), (80, 0x1000), (96, 0x100), (104, 0x100), (112, 0x1000)] {
        put(at, &word.to_le_bytes());
    }
    bytes
}

/// Two large blocks of C's allocator, one behind the other, and the end of a thread's stack.
fn blocks() -> Vec<u8> {
    const BASE: u64 = 64 << 20;
    let mut bytes = vec![0; 0x4000];
    let descriptor = BASE + 0x3800;
    for (at, word) in [(8_usize, 0x1002_u64), (0x1008, 0x2002), (0x3800, descriptor), (0x3810, descriptor)] {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A prologue, a load of the `g` of a thread, and a call whose result is checked, as Go's compiler writes them.
const CODE: [(&str, &[u8]); 3] = [
    ("prologue", b"\x49\x3b\x66\x10\x76\x20\x55\x48\x89\xe5\x48\x83\xec\x18\xe8\x00\x00\x00\x00\xc3"),
    ("goroutine", b"\x48\x8b\x0d\x10\x00\x00\x00\x64\x48\x8b\x39\x64\x48\x8b\x14\x25\xf8\xff\xff\xff\xc3"),
    ("checked", b"\xe8\x1b\x00\x00\x00\x90\x48\x85\xc0\x74\x08\xc3"),
];

/// An index page, the beginnings of two profiles, and the end of a dump of sockets.
const ANSWERS: [(&str, &[u8]); 4] = [
    ("index", b"<html><head><title>/debug/pprof/</title></head>Types of profiles available:<a href='allocs?debug=1'>"),
    ("goroutines", b"goroutine profile: total 12\n"),
    ("heap", b"heap profile: 1: 2 [3: 4] @ heap/1048576\n"),
    ("sockets", b"\x14\0\0\0\x03\0\x02\0\x01\0\0\0\0\0\0\0\0\0\0\0"),
];

/// Profiles in the form that people save with curl.
const TEXTS: [(&str, &str); 2] = [
    (
        "goroutines",
        "goroutine profile: total 8\n7 @ 0x43e0ce 0x6f1a3c\n# labels: {\"shop\":\"a\"}\n#\t0x6f1a3b\tmain.(*queue).wait+0x5b\t/src/queue.go:31\n\n1 @ 0x4\n#\t0x46d03e\tmain.main+0x5e\t\t/src/main.go:12\n\n",
    ),
    (
        "heap",
        "heap profile: 2: 2097152 [3: 3145728] @ heap/1048576\n2: 2097152 [3: 3145728] @ 0x1 0x2\n#\t0x1\tmain.fill+0x1\t/src/fill.go:9\n\n# runtime.MemStats\n# Alloc = 12\n",
    ),
];

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(name), bytes)
}

const CGROUPS: &[u8] =
    b"12:memory:/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\
    3:pids:/kubepods.slice/kubepods-burstable.slice\n1:name=systemd:/init.scope\n\
    0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n";
const MOUNTS: &[u8] = b"29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n\
    30 23 0:27 /a\\040b /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n\
    31 23 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";

/// Lines of recordings that the judge is tested with, without their headers: the first beats of several with all that
/// was captured, and the samples alone of enough beats to be judged.
fn recordings() -> io::Result<Vec<(String, Vec<u8>)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings");
    let mut seeds = Vec::new();
    for name in ["archive-kept", "ingest-given-back", "signer-kept"] {
        let mut text = String::new();
        let file = fs::File::open(directory.join(format!("{name}.jsonl.gz")))?;
        GzDecoder::new(file).read_to_string(&mut text)?;
        let lines = || text.lines().skip(1);
        let beats: Vec<&str> = lines().take(FIRST_LINES).collect();
        let is_sample = |line: &&str| !line.starts_with(r#"{"capture""#);
        let samples: Vec<&str> = lines().filter(is_sample).take(FIRST_LINES).collect();
        seeds.push((format!("{name}-beats"), beats.join("\n").into_bytes()));
        seeds.push((format!("{name}-samples"), samples.join("\n").into_bytes()));
    }
    Ok(seeds)
}

/// Words of memory at their addresses, behind the byte that says the version.
fn memory(bytes: usize, words: &[(u64, u64)]) -> Vec<u8> {
    let mut memory = vec![0; bytes];
    for (address, word) in words {
        let at = usize::try_from(address - BASE).unwrap_or(usize::MAX);
        memory[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    [[26].as_slice(), &memory].concat()
}

/// Two buckets of the heap profile (`runtime/mprof.go`).
fn profile() -> Vec<u8> {
    let (first, second) = (BASE + 0x500, BASE + 0x600);
    let mut words = vec![(BASE, first), (BASE + 8, 524_288), (BASE + 16, 6)];
    for (bucket, next) in [(first, second), (second, 0)] {
        for (index, word) in (0..).zip([0, next, 1, 0xabcd, 48, 2, 0x40_1100, 0x40_1200, 9, 4, 432, 192]) {
            words.push((bucket + index * 8, word));
        }
    }
    memory(0x800, &words)
}

/// `gcController` and `mheap_.allspans` of a heap with 16 spans (`runtime/mgcpacer.go`, `runtime/mheap.go`).
fn books() -> Vec<u8> {
    let (minimum, list) = (4_u64 << 20, BASE + 0x500);
    let mut words = vec![
        (CONTROLLER, 100),
        (CONTROLLER + 8, u64::try_from(i64::MAX).unwrap_or_default()),
        (CONTROLLER + 16, minimum),
        (CONTROLLER + 0x48, minimum),
        (CONTROLLER + 0x48 + 0xc8, 16 * 8192),
        (ALL_SPANS - 8, 2),
        (ALL_SPANS, list),
        (ALL_SPANS + 8, 16),
        (ALL_SPANS + 16, 16),
        (ALL_SPANS + 24, 16),
    ];
    for index in 0..16 {
        let span = BASE + 0x600 + index * 0xa0;
        words.push((list + index * 8, span));
        words.push((span + 0x18, 0xc0_0000_0000 + index * 8192));
        words.push((span + 0x20, 1));
        // How many objects, their class, and that the span is in use; then their size.
        words.push((span + 0x60, 100 | 10 << 16 | 1 << 24));
        words.push((span + 0x68, 48));
    }
    memory(0x1200, &words)
}

/// BTF of an integer, a structure with another inside, and one with an anonymous union.
fn type_information() -> Vec<u8> {
    let strings = b"\0int\0path\0dentry\0file\0f_path\0task_struct\0tgid\0pid\0flags\0";
    let at = |name: &str| {
        let needle = [b"\0", name.as_bytes(), b"\0"].concat();
        let found = strings.windows(needle.len()).position(|window| window == needle);
        u32::try_from(found.map_or(0, |found| found + 1)).unwrap_or_default()
    };
    const STRUCT: u32 = 4 << 24;
    const UNION: u32 = 5 << 24;
    let types = [
        &[at("int"), 1 << 24, 4, 32][..],
        &[at("path"), STRUCT | 1, 16, at("dentry"), 1, 64],
        &[0, UNION | 1, 16, at("f_path"), 2, 0],
        &[at("file"), STRUCT | 1, 32, 0, 3, 128],
        &[at("task_struct"), STRUCT | 3, 12, at("tgid"), 1, 0, at("pid"), 1, 32, at("flags"), 1, 64],
    ]
    .concat();
    let (types_bytes, strings_bytes) = (types.len() * 4, strings.len());
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or_default();
    let header = [24, 0, length(types_bytes), length(types_bytes), length(strings_bytes)];
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    bytes.extend(header.iter().chain(&types).flat_map(|word| word.to_le_bytes()));
    bytes.extend_from_slice(strings);
    bytes
}

fn records() -> Vec<(&'static str, Vec<u8>)> {
    let descriptor = size_of::<DescriptorRecord>();
    let kinds = [
        ("task", TASK, size_of::<TaskRecord>()),
        ("descriptor", DESCRIPTOR, descriptor),
        ("named", DESCRIPTOR_NAMED, descriptor + size_of::<NameTail>()),
        ("socket", DESCRIPTOR_SOCKET, descriptor + size_of::<SocketTail>()),
        ("inet", DESCRIPTOR_INET, descriptor + size_of::<InetTail>()),
        ("unix", DESCRIPTOR_UNIX, descriptor + size_of::<UnixTail>()),
        ("exec", EXEC, size_of::<LifecycleRecord>()),
        ("exit", EXIT, size_of::<LifecycleRecord>()),
    ];
    let record = |kind: u32, size: usize| {
        let mut bytes = vec![1; size];
        bytes[..4].copy_from_slice(&u32::try_from(size).unwrap_or_default().to_ne_bytes());
        bytes[4..8].copy_from_slice(&kind.to_ne_bytes());
        bytes
    };
    kinds.into_iter().map(|(name, kind, size)| (name, record(kind, size))).collect()
}

fn a_profile() -> pprof::Profile {
    let value = |kind: &str| pprof::ValueType { kind: kind.to_owned(), unit: "count".to_owned() };
    let function = |name: &str| pprof::Function {
        name: name.to_owned(),
        file: "/src/main.go".to_owned(),
        start_line: Some(3),
    };
    pprof::Profile {
        sample_types: vec![value("objects"), value("space")],
        default_sample_type: Some("space".to_owned()),
        period_type: value("space"),
        period: 524_288,
        mappings: vec![pprof::Mapping { start: 0x40_0000, end: 0x50_0000, ..pprof::Mapping::default() }],
        functions: vec![function("main.main"), function("main.put")],
        locations: vec![
            pprof::Location {
                address: 0x40_1000,
                mapping: Some(0),
                lines: vec![pprof::Line { function: 1, line: 9 }, pprof::Line { function: 0, line: 5 }],
            },
            pprof::Location { address: 0x40_2000, mapping: None, lines: Vec::new() },
        ],
        samples: vec![pprof::Sample {
            stack: vec![0, 1],
            values: vec![7, 4096],
            labels: vec![
                pprof::Label { key: "bytes".to_owned(), value: pprof::LabelValue::Number(48, String::new()) },
                pprof::Label { key: "tenant".to_owned(), value: pprof::LabelValue::Text("blue".to_owned()) },
            ],
        }],
        comments: vec!["a remark".to_owned()],
        ..pprof::Profile::default()
    }
}

/// An integer and a slice of it as Go describes types, for Go 1.27.
fn described() -> Vec<u8> {
    /// Where the target has the bytes behind the first.
    const START: u64 = 0x50_0000;
    const NAMES: &[u8; 16] = b"\0\x03int\0\0\0\0\x05[]int\0";
    let described = |size: u64, pointers: u64, kind: u8, name: u32, element: u64| {
        let mut bytes = [size.to_le_bytes(), pointers.to_le_bytes(), [0, 0, 0, 0, 0, 8, 8, kind]].concat();
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&u64::from(name).to_le_bytes());
        bytes.extend_from_slice(&element.to_le_bytes());
        bytes
    };
    let integer = described(8, 0, 2, 0, 0);
    let slice = described(24, 8, 23, 8, START + NAMES.len() as u64);
    [&[9][..], NAMES, &integer, &slice].concat()
}
