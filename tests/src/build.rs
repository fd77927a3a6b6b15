//! Builds the Go programs under `programs/`, each variant once: the result is kept by what went into it.

use crate::cache;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// How to build a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Without symbol table and DWARF: `-ldflags "-s -w"`.
    pub stripped: bool,
    /// Without the builder's directories in file names: `-trimpath`.
    pub trimmed: bool,
    /// Position-independent: `-buildmode=pie`.
    pub pie: bool,
    /// With C linked in; needs a C compiler. Static without it.
    pub cgo: bool,
    /// Keep the ELF section headers; without them only the program headers tell where anything is.
    pub section_headers: bool,
    /// With an endpoint of net/http/pprof: `-tags endpoint`.
    pub endpoint: bool,
}

impl Variant {
    /// As `go build` does it, static.
    pub const PLAIN: Variant = Variant {
        stripped: false,
        trimmed: false,
        pie: false,
        cgo: false,
        section_headers: true,
        endpoint: false,
    };
    /// As most people ship it: static, stripped, trimmed.
    pub const STRIPPED: Variant = Variant { stripped: true, trimmed: true, ..Variant::PLAIN };
    /// Stripped and position-independent.
    pub const PIE: Variant = Variant { pie: true, ..Variant::STRIPPED };
    /// Stripped, with C.
    pub const CGO: Variant = Variant { cgo: true, ..Variant::STRIPPED };
    /// Stripped of the section headers too.
    pub const HEADERLESS: Variant = Variant { section_headers: false, ..Variant::STRIPPED };

    /// Stripped, with an endpoint.
    pub const ENDPOINT: Variant = Variant { endpoint: true, ..Variant::STRIPPED };

    /// One word for test names and file names.
    pub fn name(&self) -> String {
        let words = [
            (self.stripped, "stripped"),
            (self.pie, "pie"),
            (self.cgo, "cgo"),
            (!self.section_headers, "headerless"),
            (self.endpoint, "endpoint"),
        ];
        let words: Vec<&str> = words.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        if words.is_empty() { "plain".to_owned() } else { words.join("-") }
    }
}

/// Where the Go programs lie.
pub fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// Builds `programs/NAME` and returns the executable, which has that name too.
///
/// A folder with a go.mod of its own is a module of its own; all others belong to the one of `programs/`.
pub fn build(name: &str, toolchain: &Toolchain, variant: Variant) -> Result<PathBuf> {
    if let Some(built) = built() {
        let executable = built.join(&toolchain.version).join(variant.name()).join(name);
        ensure!(
            executable.exists(),
            "{} is not here: `cases::guest_programs` does not name it",
            executable.display()
        );
        return Ok(executable);
    }
    let mut hasher = DefaultHasher::new();
    for part in ["go.mod", "go.sum", "internal", name] {
        hash_tree(&programs().join(part), &mut hasher)?;
    }
    (toolchain.version.as_str(), variant).hash(&mut hasher);
    let key = format!("programs/{name}-{}-{}-{:016x}", toolchain.version, variant.name(), hasher.finish());
    let place = cache::entry(&key, |directory| compile(name, toolchain, variant, &directory.join(name)))?;
    Ok(place.join(name))
}

/// Builds `programs/real/NAME`, a module of its own, with the versions of `modfile` in that folder, and returns the
/// executable, which has the folder's name.
pub fn build_real(name: &str, modfile: &str, toolchain: &Toolchain, variant: Variant) -> Result<PathBuf> {
    let folder = format!("real/{name}");
    let mut hasher = DefaultHasher::new();
    for part in ["go.mod", "internal", &*folder] {
        hash_tree(&programs().join(part), &mut hasher)?;
    }
    (toolchain.version.as_str(), variant, modfile).hash(&mut hasher);
    let key = format!("programs/real-{name}-{}-{:016x}", toolchain.version, hasher.finish());
    let place = cache::entry(&key, |directory| {
        let flag = format!("-modfile={modfile}");
        compile_as(Some(&flag), &folder, toolchain, variant, &directory.join(name))
    })?;
    Ok(place.join(name))
}

/// What is no program, but loaded by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// By a Go program that was built with [`Variant::CGO`] from the same sources: `-buildmode=plugin`.
    Plugin,
    /// By a program of any language: `-buildmode=c-shared`.
    Library,
}

/// Builds the package `programs/NAME` as something that is loaded by a program, stripped, and returns its file.
pub fn build_loaded(name: &str, toolchain: &Toolchain, what: Loaded) -> Result<PathBuf> {
    let mode = match what {
        Loaded::Plugin => "-buildmode=plugin",
        Loaded::Library => "-buildmode=c-shared",
    };
    let mut hasher = DefaultHasher::new();
    // A plugin and its program must agree on every package that both have.
    for part in ["go.mod", "internal", name.split('/').next().unwrap_or(name)] {
        hash_tree(&programs().join(part), &mut hasher)?;
    }
    (toolchain.version.as_str(), mode).hash(&mut hasher);
    let file = name.replace('/', "-") + ".so";
    let key = format!("programs/{file}-{}-{:016x}", toolchain.version, hasher.finish());
    let place = cache::entry(&key, |directory| {
        compile_as(Some(mode), name, toolchain, Variant::CGO, &directory.join(&file))
    })?;
    Ok(place.join(file))
}

/// Builds a C program of one file with the C compiler that is here.
pub fn build_c(source: &str) -> Result<PathBuf> {
    let source = programs().join(source);
    let mut hasher = DefaultHasher::new();
    hash_tree(&source, &mut hasher)?;
    let name = source.file_stem().and_then(|name| name.to_str()).context("sources have plain names")?;
    let key = format!("programs/{name}-c-{:016x}", hasher.finish());
    let place = cache::entry(&key, |directory| {
        let mut compiler = Command::new("gcc");
        compiler.args(["-O1", "-s", "-o"]).arg(directory.join(name)).arg(&source).arg("-ldl");
        let output = compiler.output().context("run gcc")?;
        ensure!(output.status.success(), "gcc said {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    })?;
    Ok(place.join(name))
}

/// Where all programs lie that there are, as `VERSION/VARIANT/NAME`: `WATCHER_TESTS_PROGRAMS`. It is set where there
/// is no toolchain, as in the virtual machines.
pub fn built() -> Option<PathBuf> {
    std::env::var_os("WATCHER_TESTS_PROGRAMS").map(PathBuf::from)
}

fn compile(name: &str, toolchain: &Toolchain, variant: Variant, executable: &Path) -> Result<()> {
    compile_as(variant.pie.then_some("-buildmode=pie"), name, toolchain, variant, executable)
}

fn compile_as(
    flag: Option<&str>,
    name: &str,
    toolchain: &Toolchain,
    variant: Variant,
    executable: &Path,
) -> Result<()> {
    // The Go command uses every core by itself; several at once only take each other's memory.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut go = Command::new(&toolchain.go);
    // No VCS stamp: it would need a git that trusts the owner of the clone.
    go.current_dir(programs().join(name)).args(["build", "-buildvcs=false", "-o"]).arg(executable);
    if variant.trimmed {
        go.arg("-trimpath");
    }
    go.args(flag);
    if variant.stripped {
        go.arg("-ldflags=-s -w");
    }
    if variant.endpoint {
        go.args(["-tags", "endpoint"]);
    }
    go.arg(".");
    for inherited in
        ["GOROOT", "GOFLAGS", "GOOS", "GOARCH", "GOEXPERIMENT", "GODEBUG", "CGO_CFLAGS", "CGO_LDFLAGS"]
    {
        go.env_remove(inherited);
    }
    let cache = cache::directory()?;
    go.env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", if variant.cgo { "1" } else { "0" });
    go.env("GOCACHE", cache.join("go-build")).env("GOMODCACHE", cache.join("go-modules"));
    let output = go.output().with_context(|| format!("run {}", toolchain.go.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} could not build programs/{name} ({}): {said}", toolchain.version, variant.name());
    }
    if !variant.section_headers {
        drop_section_headers(executable)?;
    }
    Ok(())
}

/// Sets e_shoff, e_shnum and e_shstrndx of a 64-bit little-endian ELF header to 0, as packers do.
fn drop_section_headers(executable: &Path) -> Result<()> {
    let mut bytes = fs::read(executable).with_context(|| format!("read {}", executable.display()))?;
    let is_elf64 = bytes.len() >= 64 && bytes.starts_with(b"\x7fELF\x02\x01");
    if !is_elf64 {
        bail!("{} is no 64-bit little-endian ELF file", executable.display());
    }
    bytes[0x28..0x30].fill(0);
    bytes[0x3c..0x40].fill(0);
    fs::write(executable, bytes).with_context(|| format!("write {}", executable.display()))
}

/// Hashes names and contents below `path`; a missing one counts as empty.
fn hash_tree(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    path.file_name().hash(hasher);
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(|| format!("list {}", path.display()))?;
        let mut children = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        children.sort();
        children.iter().try_for_each(|child| hash_tree(child, hasher))
    } else if path.exists() {
        fs::read(path).with_context(|| format!("read {}", path.display()))?.hash(hasher);
        Ok(())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{DefaultHasher, Hasher, Variant, drop_section_headers, hash_tree};
    use std::fs;

    fn hash_of(path: &std::path::Path) -> u64 {
        let mut hasher = DefaultHasher::new();
        hash_tree(path, &mut hasher).unwrap();
        hasher.finish()
    }

    #[test]
    fn a_changed_name_or_content_is_another_program() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("inner")).unwrap();
        fs::write(tree.path().join("inner/a.go"), "package a").unwrap();
        let first = hash_of(tree.path());
        assert_eq!(hash_of(tree.path()), first);
        fs::write(tree.path().join("inner/a.go"), "package b").unwrap();
        let changed = hash_of(tree.path());
        assert_ne!(changed, first);
        fs::rename(tree.path().join("inner/a.go"), tree.path().join("inner/b.go")).unwrap();
        assert_ne!(hash_of(tree.path()), changed);
    }

    #[test]
    fn only_elf_files_lose_their_section_headers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut elf = vec![0xaa; 80];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        fs::write(&path, &elf).unwrap();
        drop_section_headers(&path).unwrap();
        let kept = fs::read(&path).unwrap();
        assert_eq!(&kept[0x28..0x30], [0; 8]);
        assert_eq!(&kept[0x3a..0x42], [0xaa, 0xaa, 0, 0, 0, 0, 0xaa, 0xaa]);
        fs::write(&path, "#!/bin/sh").unwrap();
        assert!(drop_section_headers(&path).is_err());
    }

    #[test]
    fn variants_have_distinct_names() {
        let all = [
            Variant::PLAIN,
            Variant::STRIPPED,
            Variant::PIE,
            Variant::CGO,
            Variant::HEADERLESS,
            Variant::ENDPOINT,
        ];
        let names: std::collections::BTreeSet<String> = all.iter().map(Variant::name).collect();
        assert_eq!(names.len(), all.len());
    }
}
