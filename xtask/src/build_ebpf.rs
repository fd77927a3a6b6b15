//! `cargo xtask build-ebpf`: compiles `watcher-ebpf` into the object that is committed beside it.
//!
//! The object is committed so that building `watcher` needs a stable toolchain only. It is reproducible: the same
//! sources and the same toolchain give the same bytes in any directory, because all paths that reach the object
//! are remapped. The toolchain is written down beside the object; another one may give other bytes.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const OBJECT: &str = "watcher-ebpf/watcher.bpf.o";
const PIN: &str = "watcher-ebpf/watcher.bpf.toolchain";
const TARGET: &str = "bpfel-unknown-none";

/// Writes the object, or with `check` compares it with what the sources compile to.
pub fn run(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies directly below the root of the repository")?;
    let toolchain = Toolchain::find()?;
    let pin = toolchain.pin()?;
    let built = compile(root, &toolchain)?;
    if check { compare(root, &built, &pin) } else { write(root, &built, &pin) }
}

fn write(root: &Path, built: &Path, pin: &str) -> Result<()> {
    fs::copy(built, root.join(OBJECT)).with_context(|| format!("write {OBJECT}"))?;
    fs::write(root.join(PIN), pin).with_context(|| format!("write {PIN}"))
}

fn compare(root: &Path, built: &Path, pin: &str) -> Result<()> {
    let committed = fs::read(root.join(OBJECT)).with_context(|| format!("read {OBJECT}"))?;
    if committed == fs::read(built).with_context(|| format!("read {}", built.display()))? {
        return Ok(());
    }
    let committed_pin = fs::read_to_string(root.join(PIN)).with_context(|| format!("read {PIN}"))?;
    if committed_pin == pin {
        bail!("{OBJECT} is stale: it is not what its sources compile to; run `cargo xtask build-ebpf`");
    }
    bail!(
        "{OBJECT} cannot be compared: it was built with another toolchain than this one.\n\
         committed:\n{committed_pin}here:\n{pin}\
         Use the former, or run `cargo xtask build-ebpf` to build with the latter."
    )
}

/// Compiles, strips and returns the path of the result.
fn compile(root: &Path, toolchain: &Toolchain) -> Result<PathBuf> {
    let cargo_home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => Path::new(&env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"),
    };
    // Without remapping the paths end up in the line information of .BTF.ext.
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        remap(root, "."),
        remap(&cargo_home.join("registry/src"), "/crates"),
        remap(&toolchain.sysroot, "/rust"),
    ];
    let target_dir = root.join("target/bpf");
    let mut cargo = Command::new(&toolchain.cargo);
    // Whoever runs this may have set how other builds are done: incremental ones give other bytes.
    let is_setting = |name: &str| name.starts_with("CARGO_PROFILE_") || name.starts_with("CARGO_BUILD_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_setting)) {
        cargo.env_remove(name);
    }
    // The target is built with an unstable flag, which a stable compiler takes with RUSTC_BOOTSTRAP only.
    let status = cargo
        .current_dir(root.join("watcher-ebpf"))
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .args(["build", "--quiet", "--locked", "--release", "-Zbuild-std=core", "--features=programs"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .status()
        .with_context(|| format!("run {}", toolchain.cargo.display()))?;
    if !status.success() {
        bail!("the kernel programs do not compile");
    }
    let linked = target_dir.join(TARGET).join("release/watcher-ebpf");
    let stripped = target_dir.join("watcher.bpf.o");
    let status = Command::new(&toolchain.strip).arg("-g").arg(&linked).arg("-o").arg(&stripped).status()?;
    if !status.success() {
        bail!("{} failed", toolchain.strip.display());
    }
    Ok(stripped)
}

/// What turns the sources into the object.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    sysroot: PathBuf,
    strip: PathBuf,
}

impl Toolchain {
    /// The first of: WATCHER_BPF_CARGO and WATCHER_BPF_RUSTC, rustup's nightly, the distribution's compiler;
    /// the latter two only with the sources of `core`.
    fn find() -> Result<Self> {
        if let (Some(cargo), Some(rustc)) =
            (env::var_os("WATCHER_BPF_CARGO"), env::var_os("WATCHER_BPF_RUSTC"))
        {
            return Self::with(cargo.into(), rustc.into())?
                .context("the compiler in WATCHER_BPF_RUSTC lacks the sources of core (component rust-src)");
        }
        let nightly = |tool| output(Command::new("rustup").args(["which", "--toolchain=nightly", tool]));
        if let (Ok(cargo), Ok(rustc)) = (nightly("cargo"), nightly("rustc"))
            && let Some(toolchain) = Self::with(cargo.into(), rustc.into())?
        {
            return Ok(toolchain);
        }
        if Path::new("/usr/bin/rustc").exists()
            && let Some(toolchain) = Self::with("/usr/bin/cargo".into(), "/usr/bin/rustc".into())?
        {
            return Ok(toolchain);
        }
        bail!(
            "no Rust toolchain that has the sources of core: \
             `rustup toolchain install nightly --component rust-src`, \
             or `apt install rustc-web cargo-web rust-web-src` on Debian"
        )
    }

    /// `None` where the compiler lacks the sources of `core`.
    fn with(cargo: PathBuf, rustc: PathBuf) -> Result<Option<Self>> {
        let sysroot = PathBuf::from(output(Command::new(&rustc).args(["--print", "sysroot"]))?);
        if !sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists() {
            return Ok(None);
        }
        let strip = ["llvm-strip", "llvm-strip-22", "/usr/lib/llvm-22/bin/llvm-strip"]
            .iter()
            .find(|tool| output(Command::new(tool).arg("--version")).is_ok())
            .context("llvm-strip is missing: install LLVM's tools")?;
        Ok(Some(Toolchain { cargo, rustc, sysroot, strip: strip.into() }))
    }

    /// The versions that decide about the bytes of the object, a line each.
    fn pin(&self) -> Result<String> {
        let verbose = output(Command::new(&self.rustc).arg("-vV"))?;
        let field = |key: &str| verbose.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?").trim();
        let linker = output(Command::new("bpf-linker").arg("--version"))
            .context("bpf-linker is missing: `cargo install bpf-linker`")?;
        Ok(format!(
            "rustc {} ({})\nLLVM {}\n{linker}\n",
            field("release:"),
            field("commit-hash:"),
            field("LLVM version:"),
        ))
    }
}

/// Standard output of a command that succeeds, trimmed.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("run {}", program.display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
