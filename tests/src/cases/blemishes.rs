//! What comes out, whatever goes in: no foreign name moves the cursor or fills the screen, and what cannot be done is
//! one sentence and status 2.

use crate::agent::{self, Outcome, binary};
use crate::case::Case;
use crate::need::Need;
use crate::running::Running;
use crate::{fake_go, program};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use watcher::config::Selection;
use watcher::discover::Discovery;
use watcher::source::host::Host;
use watcher::source::proc::ProcRoot;
use watcher::vocabulary::process::is_plain;

const LIMIT: Duration = Duration::from_secs(60);
/// What a terminal would obey or not show: one of each kind.
const ODD: &str = "\u{1b}[31m\n\r\u{7}\u{85}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\u{202e}\u{2060}\u{2066}\u{3164}\u{fe0f}\u{feff}\u{e0041}";
/// Widest line of a table: eight cells of 80 letters and what parts them.
const WIDEST_TABLE: usize = 8 * 84;

/// The cases.
pub fn cases() -> Vec<Case> {
    let root = [Need::Root];
    vec![
        Case::new("blemishes::odd_names_are_escaped_everywhere", root, odd_names),
        Case::new("blemishes::odd_names_in_profiles_are_escaped", [], odd_profiles),
        Case::new("blemishes::a_long_name_widens_no_table", root, long_names),
        Case::new("blemishes::no_colours_and_no_library_on_a_file", [], quiet_errors),
        Case::new("blemishes::only_ordinary_files_are_read", [], only_files),
        Case::new("blemishes::without_procfs_nothing_is_said_of_processes", root, without_procfs),
        Case::new("blemishes::hidden_processes_are_no_absence", root, hidden_processes),
        Case::new("blemishes::a_limit_of_file_sizes_is_told", [Need::Root, Need::Go], file_size_limit),
        Case::new("blemishes::a_full_disk_is_told", [Need::Root, Need::Go], full_disk),
        Case::new("blemishes::a_limit_of_address_space_is_told", root, address_space),
        Case::new("blemishes::one_user_does_not_fill_all_places", root, one_user),
    ]
}

/// Everything that a person or a program is given to read, text and JSON alike.
fn expect_plain(what: &str, outcome: &Outcome) -> Result<()> {
    for text in [&outcome.stdout, &outcome.stderr] {
        // A picture keeps words together by blanks that are not broken.
        let raw = text.chars().find(|&c| !is_plain(c) && !matches!(c, '\n' | '\t' | '\u{a0}'));
        ensure!(raw.is_none(), "{what} prints {raw:?} raw: {text:?}");
    }
    for line in outcome.stdout.lines().filter(|line| line.starts_with('{')) {
        // An escape of JSON's comes out raw on the other side.
        if let Ok(value) = serde_json::from_str::<Value>(line) {
            expect_plain_value(what, &value)?;
        }
    }
    Ok(())
}

fn expect_plain_value(what: &str, value: &Value) -> Result<()> {
    match value {
        Value::String(text) => {
            let raw = text.chars().find(|&c| !is_plain(c));
            ensure!(raw.is_none(), "{what} holds {raw:?} in JSON: {text:?}");
            Ok(())
        }
        Value::Array(values) => values.iter().try_for_each(|value| expect_plain_value(what, value)),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            ensure!(name.chars().all(is_plain), "{what} has a field {name:?}");
            expect_plain_value(what, value)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn odd_names() -> Result<()> {
    let directory = tempfile::tempdir().context("make a directory")?;
    // Build information is a text of lines and columns: they cannot be part of a name in it.
    let module = format!("example.com/{}", ODD.replace(['\n', '\t'], ""));
    let executable = fake_go::executable(directory.path(), format!("n{ODD}"), &module)?;
    let (file, socket) = (directory.path().join(format!("f{ODD}")), directory.path().join(format!("s{ODD}")));
    fs::write(&file, "x").context("write a file")?;
    let _listener = UnixListener::bind(&socket).context("listen")?;
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 7< \"$1\"; exec \"$0\" \"$2\""]).args([&executable, &file]).arg(ODD);
    let running = Running::start(&mut shell)?;
    let pid = running.pid().to_string();
    wait_until_listed(&running)?;

    let quick = ["-d", "1s"];
    let mut shown = 0;
    for (arguments, is_by_pid) in [
        (vec!["list", "--no-pprof"], false),
        (vec!["list", "--no-pprof", "--format", "json"], false),
        (vec!["run", "-d", "2s", "-i", "1s"], false),
        (vec!["run", "-d", "2s", "-i", "1s", "--format", "json"], false),
        (vec!["diagnose", "-d", "3s", "-i", "1s"], true),
        (vec!["diagnose", "-d", "3s", "-i", "1s", "--format", "json"], true),
        (vec!["goroutines"], true),
        (vec!["heap"], true),
        (vec!["memory"], true),
        (vec!["memory", "--format", "json"], true),
        ([&["fds"][..], &quick].concat(), true),
        ([&["fds", "--format", "json"][..], &quick].concat(), true),
        ([&["fds", "--format", "folded"][..], &quick].concat(), true),
        ([&["fds", "--format", "svg"][..], &quick].concat(), true),
        ([&["memory", "--mappings"][..], &quick].concat(), true),
        (vec!["pull", "--profile", "heap"], true),
        (vec!["pull", "--profile", "heap", "--format", "json"], true),
    ] {
        let what = arguments.join(" ");
        let by_pid: &[&str] = if is_by_pid { &["--pid", &pid] } else { &[] };
        let outcome = agent::run(&[&arguments[..], by_pid].concat(), LIMIT)?;
        ensure!(outcome.status.is_some(), "{what} was ended by a signal: {outcome:?}");
        expect_plain(&what, &outcome)?;
        shown += usize::from(outcome.stdout.contains("u{202e}") || outcome.stdout.contains("u{1b}"));
    }
    ensure!(shown >= 4, "the odd name is shown, as escapes, by several: {shown}");
    let list = agent::run(&["list", "--no-pprof", "--format", "json"], LIMIT)?;
    let list: Value = list.json()?;
    let ours = list["processes"].as_array().and_then(|all| all.iter().find(|it| it["pid"] == running.pid()));
    let exe = ours.and_then(|it| it["exe"].as_str()).context("it is in the list with its executable")?;
    ensure!(exe.contains("\\u{202e}") && exe.contains("\\u{e0041}"), "want escapes: {exe}");
    Ok(())
}

/// Waits until the shell has become the program.
fn wait_until_listed(running: &Running) -> Result<()> {
    let exe = format!("/proc/{}/exe", running.pid());
    for _ in 0..500 {
        let link = fs::read_link(&exe).context("read where it comes from")?;
        if link.to_string_lossy().contains("/n\u{1b}") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("it never became the program")
}

fn odd_profiles() -> Result<()> {
    let directory = tempfile::tempdir().context("make a directory")?;
    let file = directory.path().join(format!("p{ODD}"));
    let name = ODD.replace('\n', "");
    let profile = format!(
        "goroutine profile: total 3\n3 @ 0x1 0x2\n#\t0x1\tmain.{name}+0x1\t/src/{name}.go:7\n#\t0x2\tmain.main+0x1\t/src/m.go:9\n\n"
    );
    fs::write(&file, profile).context("write a profile")?;
    let file = file.to_str().context("the path is UTF-8")?;
    for view in ["top", "traces", "flame", "graph"] {
        for format in ["text", "svg"] {
            let outcome = agent::run(&["show", file, "--as", view, "--format", format], LIMIT)?;
            expect_plain(&format!("show --as {view} --format {format}"), &outcome)?;
            let refused = format == "svg" && matches!(view, "top" | "traces");
            ensure!(outcome.status == Some(if refused { 2 } else { 0 }), "{view} {format}: {outcome:?}");
        }
    }
    let peek = agent::run(&["show", file, "--as", "peek", "--function", "main"], LIMIT)?;
    expect_plain("show --as peek", &peek)?;
    for command in ["replay", "diff"] {
        let arguments: &[&str] = if command == "diff" { &["diff", file, file] } else { &["replay", file] };
        expect_plain(command, &agent::run(arguments, LIMIT)?)?;
    }
    let absent = format!("{file}{ODD}");
    let outcome = agent::run(&["show", &absent], LIMIT)?;
    expect_plain("show of a file that is not there", &outcome)?;
    outcome.expect_refusal(&["No such file", "os error 2"])
}

fn long_names() -> Result<()> {
    let directory = tempfile::tempdir().context("make a directory")?;
    let module = format!("example.com/{}/parcels", "x".repeat(500_000));
    let running = fake_go::start(&fake_go::executable(directory.path(), "long", &module)?)?;
    let list = agent::run(&["list", "--no-pprof"], LIMIT)?;
    let row = list.stdout.lines().find(|line| line.trim_start().starts_with(&running.pid().to_string()));
    ensure!(row.is_some(), "it is in the list: {:?}", list.stdout.lines().next());
    let run = agent::run(&["run", "-d", "2s", "-i", "1s"], LIMIT)?;
    for (what, outcome) in [("list", &list), ("run", &run)] {
        let widest = outcome.stdout.lines().map(|line| line.chars().count()).max();
        ensure!(widest.is_some_and(|widest| widest <= WIDEST_TABLE), "{what} is {widest:?} letters wide");
    }
    let pid = running.pid().to_string();
    let diagnosis = agent::run(&["diagnose", "--pid", &pid, "-d", "3s", "-i", "1s"], LIMIT)?;
    ensure!(diagnosis.stdout.lines().count() < 40, "one screen: {} lines", diagnosis.stdout.lines().count());
    Ok(())
}

/// Names without anything to draw make the library that draws complain, and an executable that is none makes us.
fn quiet_errors() -> Result<()> {
    let directory = tempfile::tempdir().context("make a directory")?;
    let file = directory.path().join("profile");
    let profile = "goroutine profile: total 2\n2 @ 0x1\n#\t0x1\tmain.main+0x1\t/src/m.go:9\n\n";
    fs::write(&file, profile).context("write a profile")?;
    let file = file.to_str().context("the path is UTF-8")?;
    let drawn = agent::run(&["show", file, "--as", "flame", "--format", "svg"], LIMIT)?;
    ensure!(drawn.status == Some(0) && drawn.stderr.is_empty(), "nothing is wrong: {:?}", drawn.stderr);
    // The most that it can say.
    let mut talkative = Command::new(binary()?);
    talkative.args(["-vvv", "show", file, "--as", "flame", "--format", "svg"]);
    let mut listing = Command::new(binary()?);
    listing.args(["-vvv", "list", "--no-pprof"]);
    for command in [&mut talkative, &mut listing] {
        let outcome = agent::finish(command, LIMIT)?;
        ensure!(!outcome.stderr.contains('\u{1b}'), "colours in a file: {:?}", outcome.stderr);
    }
    Ok(())
}

fn only_files() -> Result<()> {
    let directory = tempfile::tempdir().context("make a directory")?;
    let (pipe, socket) = (directory.path().join("pipe"), directory.path().join("socket"));
    mkfifo(&pipe, Mode::S_IRWXU).context("make a pipe")?;
    let _listener = UnixListener::bind(&socket).context("listen")?;
    for path in [Path::new("/dev/zero"), Path::new("/dev/tty0"), directory.path(), &pipe, &socket] {
        let path = path.to_str().context("the path is UTF-8")?;
        for arguments in [vec!["show", path], vec!["diff", path, path], vec!["replay", path]] {
            let outcome = agent::run(&arguments, Duration::from_secs(20))?;
            outcome.expect_refusal(&["no ordinary file", "os error"])?;
        }
    }
    Ok(())
}

/// Runs it where it has mounts of its own, on which this has been done before.
fn with_mounts(preparation: &str, arguments: &[&str]) -> Result<Outcome> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{preparation} && exec \"$0\" \"$@\"")]);
    agent::finish(command.arg(binary()?).args(arguments), LIMIT)
}

fn without_procfs() -> Result<()> {
    let own = std::process::id().to_string();
    for preparation in ["umount -l /proc", "mount -t tmpfs none /proc"] {
        for arguments in [
            vec!["list"],
            vec!["list", "--format", "json"],
            vec!["run", "-d", "2s", "-i", "1s"],
            vec!["diagnose", "--all", "-d", "9s", "-i", "1s"],
            vec!["fds", "--pid", &own],
        ] {
            let outcome = with_mounts(preparation, &arguments)?;
            outcome.expect_refusal(&["no procfs is mounted there"])?;
        }
    }
    Ok(())
}

fn hidden_processes() -> Result<()> {
    /// Nobody else runs anything as this one.
    const USER: u32 = 4250;
    let directory = tempfile::tempdir().context("make a directory")?;
    let running =
        fake_go::start_as(&fake_go::executable(directory.path(), "theirs", "example.com/t")?, 4243)?;
    let watcher = directory.path().join("watcher");
    fs::copy(binary()?, &watcher).context("copy watcher")?;
    let watcher = watcher.to_str().context("the path is UTF-8")?;
    let ask = |hidepid: &str, arguments: &str| {
        let script = format!(
            "mount -t proc -o hidepid={hidepid} proc /proc && \
             exec setpriv --reuid {USER} --regid {USER} --clear-groups {watcher} {arguments}"
        );
        agent::finish(Command::new("unshare").args(["--mount", "sh", "-c", &script]), LIMIT)
    };
    for hidepid in ["2", "4"] {
        for arguments in
            ["list --no-pprof", "diagnose --all -d 9s -i 1s", &format!("fds --pid {}", running.pid())]
        {
            ask(hidepid, arguments)?.expect_refusal(&["hidepid", "there is no process"])?;
        }
    }
    // Whoever sees processes of his own is told that there may be others.
    let own = fake_go::start_as(&directory.path().join("theirs"), USER)?;
    let seen = ask("2", "list --no-pprof --format json")?;
    let list: Value = seen.json()?;
    let pids: Vec<_> =
        list["processes"].as_array().into_iter().flatten().map(|it| it["pid"].clone()).collect();
    ensure!(pids == [Value::from(own.pid())] && seen.status == Some(0), "want his own: {seen:?}");
    ensure!(seen.stderr.contains("hidepid"), "want it said that others are hidden: {seen:?}");
    let open = ask("0", "list --no-pprof")?;
    ensure!(!open.stderr.contains("hidepid"), "nothing is hidden: {open:?}");
    Ok(())
}

fn file_size_limit() -> Result<()> {
    let directory = tempfile::tempdir().context("make a directory")?;
    let module = format!("example.com/{}", "x".repeat(300));
    let _listed = fake_go::start(&fake_go::executable(directory.path(), "small", &module)?)?;
    let depot = program::depot(&program::shipped("depot")?, 30, Duration::from_secs(60))?;
    let (pid, output) = (depot.pid().to_string(), directory.path().join("output"));
    let output = output.to_str().context("the path is UTF-8")?;
    let limited = |arguments: &[&str]| {
        let mut command = Command::new("prlimit");
        // Sentences have room, and nothing else.
        agent::finish(command.arg("--fsize=250:250").arg(binary()?).args(arguments), LIMIT)
    };
    limited(&["list", "--no-pprof", "--format", "json", "--output", output])?
        .expect_refusal(&["too large"])?;
    limited(&["fds", "--pid", &pid, "-d", "1s", "--output", output])?.expect_refusal(&["too large"])?;
    let record = limited(&["record", "--pid", &pid, "-d", "3s", "-i", "1s", "--output", output])?;
    ensure!(record.status == Some(2) && record.stderr.contains("too large"), "want a sentence: {record:?}");
    // Standard output is a file here as well.
    let list = limited(&["list", "--no-pprof"])?;
    ensure!(
        list.status == Some(2) && list.stderr.contains("too large"),
        "want no death by a signal: {list:?}"
    );
    Ok(())
}

fn full_disk() -> Result<()> {
    let directory = tempfile::tempdir().context("make a directory")?;
    let depot = program::depot(&program::shipped("depot")?, 30, Duration::from_secs(60))?;
    let pid = depot.pid().to_string();
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).context("make a directory")?;
    let disk = disk.to_str().context("the path is UTF-8")?;
    let full = format!(
        "mount -t tmpfs -o size=64k none {disk} && {{ cat /dev/zero > {disk}/filler 2> /dev/null; true; }}"
    );
    let output = format!("{disk}/output");
    for arguments in [
        vec!["list", "--no-pprof", "--format", "json", "--output", &output],
        vec!["fds", "--pid", &pid, "-d", "1s", "--format", "json", "--output", &output],
        vec!["record", "--pid", &pid, "-d", "3s", "-i", "1s", "--output", &output],
    ] {
        let outcome = with_mounts(&full, &arguments)?;
        ensure!(outcome.status == Some(2), "{arguments:?}: {outcome:?}");
        ensure!(outcome.stderr.contains("No space left"), "{arguments:?}: {outcome:?}");
    }
    Ok(())
}

fn address_space() -> Result<()> {
    const MIB: u64 = 1 << 20;
    let limited = |mebibytes: u64, arguments: &[&str]| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={}", mebibytes * MIB)).arg(binary()?).args(arguments);
        agent::finish(&mut command, LIMIT)
    };
    let (mut refused, mut worked) = (0, 0);
    for mebibytes in [30, 40, 50, 60, 80, 100, 120, 150, 200] {
        // What the loader cannot even map has not begun.
        if limited(mebibytes, &["--version"]).is_ok_and(|outcome| outcome.status != Some(0)) {
            continue;
        }
        for arguments in [vec!["list", "--no-pprof"], vec!["run", "-d", "2s", "-i", "1s"]] {
            let outcome = limited(mebibytes, &arguments)?;
            match outcome.status {
                Some(0) => worked += 1,
                Some(2) => {
                    let sentences: Vec<&str> = outcome.stderr.lines().collect();
                    ensure!(
                        sentences.last().is_some_and(|last| last.starts_with("watcher: ")),
                        "{mebibytes} MiB: want a sentence: {outcome:?}"
                    );
                    refused += 1;
                }
                _ => bail!("{mebibytes} MiB, {arguments:?}: {outcome:?}"),
            }
        }
    }
    ensure!(refused > 0 && worked > 0, "some are too small and some are enough: {refused}, {worked}");
    Ok(())
}

/// With fewer places than an agent has, so that a few processes fill them.
fn one_user() -> Result<()> {
    const PLACES: usize = 40;
    let directory = tempfile::tempdir().context("make a directory")?;
    let executable = fake_go::executable(directory.path(), "one", "example.com/one")?;
    let crowd: Vec<Running> = (0..PLACES + 20).map(|_| fake_go::start(&executable)).collect::<Result<_>>()?;
    let (proc, host) = (ProcRoot::host()?, Host::read(Path::new("/proc")));
    let mut discovery = Discovery::with_places(Selection::Name(glob("one")?), PLACES);
    let scan = |discovery: &mut Discovery| -> Result<_> { Ok(discovery.scan(&proc, &host, &proc.pids()?)) };
    // What a busy machine has no time for is put off to the next scan.
    let (mut came, mut unwatched) = (0, 0);
    for _ in 0..20 {
        let first = scan(&mut discovery)?;
        came += first.came.len();
        unwatched = first.unwatched;
        if came >= PLACES {
            break;
        }
    }
    ensure!(came == PLACES && unwatched == 20, "{came} came, {unwatched} were left out");

    let mut others = vec![fake_go::start_as(&executable, 0)?];
    for _ in 0..3 {
        others.push(fake_go::start_as(&executable, 4243)?);
    }
    let second = scan(&mut discovery)?;
    let watched =
        |discovery: &Discovery, uid| discovery.targets().iter().filter(|it| it.uid == Some(uid)).count();
    let counts = |discovery: &Discovery| [0, 4243, fake_go::ATTACKER].map(|uid| watched(discovery, uid));
    ensure!(counts(&discovery) == [1, 3, PLACES - 4], "{:?}", counts(&discovery));
    ensure!(second.left.is_empty() && second.made_way.len() == 4, "nobody has left: {:?}", second.left);
    let left_out = discovery.left_out();
    ensure!(left_out.into_iter().collect::<Vec<_>>() == [(Some(fake_go::ATTACKER), 24)], "by user");

    // A place that becomes free is taken by one that was left out.
    drop(others);
    scan(&mut discovery)?;
    let third = scan(&mut discovery)?;
    ensure!(counts(&discovery) == [0, 0, PLACES] && third.unwatched == 0, "{:?}", counts(&discovery));
    drop(crowd);
    scan(&mut discovery)?;
    ensure!(discovery.targets().is_empty() && discovery.left_out().is_empty(), "all have left");
    Ok(())
}

fn glob(name: &str) -> Result<watcher::config::Pattern> {
    watcher::config::Pattern::new(name).context("a pattern")
}
