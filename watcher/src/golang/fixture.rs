//! Executables made of bytes, for tests that need no toolchain.

/// A little-endian 64-bit ELF executable for x86-64: program headers and what they point to, no sections.
pub struct Elf {
    segments: Vec<(u32, u32, u64, Vec<u8>)>,
}

impl Elf {
    pub fn new() -> Self {
        Elf { segments: Vec::new() }
    }

    /// A writable `PT_LOAD` segment.
    pub fn data(mut self, address: u64, content: &[u8]) -> Self {
        self.segments.push((1, 6, address, content.to_vec()));
        self
    }

    /// A `PT_NOTE` segment with one note.
    pub fn note(mut self, name: &[u8; 4], kind: u32, content: &[u8]) -> Self {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&4u32.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        self.segments.push((4, 4, 0, bytes));
        self
    }

    pub fn build(&self) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend_from_slice(&2u16.to_le_bytes()); // ET_EXEC
        file.extend_from_slice(&62u16.to_le_bytes()); // EM_X86_64
        file.resize(32, 0);
        file.extend_from_slice(&64u64.to_le_bytes()); // e_phoff
        file.resize(54, 0);
        file.extend_from_slice(&56u16.to_le_bytes());
        file.extend_from_slice(&u16::try_from(self.segments.len()).unwrap().to_le_bytes());
        file.resize(64, 0);
        let mut offset = 64 + 56 * self.segments.len() as u64;
        for (kind, flags, address, content) in &self.segments {
            file.extend_from_slice(&kind.to_le_bytes());
            file.extend_from_slice(&flags.to_le_bytes());
            let length = content.len() as u64;
            for word in [offset, *address, *address, length, length, 16] {
                file.extend_from_slice(&word.to_le_bytes());
            }
            offset += length;
        }
        for (_, _, _, content) in &self.segments {
            file.extend_from_slice(content);
        }
        file
    }
}

/// The build information blob of Go 1.18 and newer: strings inline.
pub fn build_info(version: &str, module_text: &str) -> Vec<u8> {
    let mut blob = b"\xff Go buildinf:\x08\x02".to_vec();
    blob.resize(32, 0);
    counted(&mut blob, version.as_bytes());
    counted(&mut blob, &framed(module_text));
    blob
}

/// The module text between the sentinels of the go command.
pub fn framed(text: &str) -> Vec<u8> {
    [&[0x30; 16], text.as_bytes(), &[0xf9; 16]].concat()
}

fn counted(blob: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    while length >= 0x80 {
        blob.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    blob.push(u8::try_from(length).unwrap());
    blob.extend_from_slice(text);
}
