//! Where an endpoint can be, and where nobody may knock.

use super::{GUESTHOUSE, LIFE, LIMIT, USHER, built, directory, guesthouse, listed, module, pull, pulled};
use crate::agent;
use crate::case::Case;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Serves its profiles by way of gin.
pub(super) const PAVILION: &str = "pavilion";

pub(super) fn cases() -> Vec<Case> {
    let redis = Need::Program { program: "redis-server", package: "redis-server" };
    let openssl = Need::Program { program: "openssl", package: "openssl" };
    let case = |name: &str, run: fn() -> Result<()>| {
        Case::new(format!("pulls::{name}"), [Need::Root, Need::Go], run)
    };
    vec![
        case("on_any_mux", on_any_mux),
        case("on_a_unix_socket", on_a_unix_socket),
        case("under_gin", under_gin),
        case("behind_a_guard", behind_a_guard),
        Case::new("pulls::over_tls", [Need::Root, Need::Go, openssl], over_tls),
        case("in_a_network_namespace", in_a_network_namespace),
        case("in_another_root", in_another_root),
        Case::new("pulls::others_receive_nothing", [Need::Root, Need::Go, redis], others_receive_nothing),
        case("an_heir_receives_nothing", an_heir_receives_nothing),
        case("a_front_is_not_taken_for_what_is_behind", a_front_is_not_taken_for_what_is_behind),
        case("forbidden", forbidden),
    ]
}

fn on_any_mux() -> Result<()> {
    let kept = directory()?;
    for door in ["default", "own", "single"] {
        let mut house = guesthouse(&["-door", door])?;
        let address = house.address()?;
        for profile in ["goroutine", "heap"] {
            let pulled = pulled(house.pid(), profile, kept.path(), "")?;
            let expected = format!("http://{address}/debug/pprof/");
            ensure!(pulled.endpoint == expected, "{door}: want {expected}: {pulled:?}");
        }
    }
    // Everywhere, by a socket of both families.
    let mut house = guesthouse(&["-place", "tcp::0"])?;
    let port = house.address()?.rsplit(':').next().map(str::to_owned).context("an address has a port")?;
    let pulled = pulled(house.pid(), "heap", kept.path(), "")?;
    ensure!(pulled.endpoint.contains(&format!(":{port}/")), "{pulled:?}");
    Ok(())
}

fn on_a_unix_socket() -> Result<()> {
    let kept = directory()?;
    // Longer than an address can hold, seen from where we are.
    let deep = kept.path().join("d".repeat(60));
    fs::create_dir(&deep)?;
    let path = deep.join("s");
    for place in [format!("unix:{}", path.display()), format!("unix:@guests-{}", std::process::id())] {
        let house = guesthouse(&["-place", &place])?;
        let pulled = pulled(house.pid(), "goroutine", kept.path(), "")?;
        ensure!(pulled.endpoint == format!("{place} /debug/pprof/"), "{pulled:?}");
    }
    Ok(())
}

fn under_gin() -> Result<()> {
    let kept = directory()?;
    let executable = module(PAVILION)?;
    let mut usual = Running::start(&mut Command::new(&executable))?;
    let address = usual.address()?;
    let of_usual = pulled(usual.pid(), "heap", kept.path(), "")?;
    ensure!(of_usual.endpoint == format!("http://{address}/debug/pprof/"), "{of_usual:?}");
    let mut own = Running::start(Command::new(&executable).arg("/staff/pprof"))?;
    let address = own.address()?;
    // Every path is answered with 200, so the status says nothing.
    pull(own.pid(), "heap", kept.path(), "")?.expect_refusal(&["is no profile"])?;
    let of_own = pulled(own.pid(), "heap", kept.path(), "prefixes = ['/staff/pprof/']\n")?;
    ensure!(of_own.endpoint == format!("http://{address}/staff/pprof/"), "{of_own:?}");
    Ok(())
}

fn behind_a_guard() -> Result<()> {
    let kept = directory()?;
    let mut house = guesthouse(&["-door", "guarded"])?;
    let address = house.address()?;
    pull(house.pid(), "heap", kept.path(), "")?.expect_refusal(&["asks for authentication (status 401)"])?;
    let settings = |word: &str| {
        format!(
            "[[endpoint]]\nprocess = '{GUESTHOUSE}'\naddress = '{address}'\n\
             headers = {{ authorization = 'Bearer {word}' }}\n"
        )
    };
    pulled(house.pid(), "heap", kept.path(), &settings("sesame"))?;
    let refused = pull(house.pid(), "heap", kept.path(), &settings("poppy"))?;
    refused.expect_refusal(&["asks for authentication"])?;
    ensure!(!refused.stderr.contains("poppy"), "a secret is told: {refused:?}");
    Ok(())
}

fn over_tls() -> Result<()> {
    let kept = directory()?;
    let place = |name: &str| kept.path().join(name).display().to_string();
    let (certificate, key) = (place("cert.pem"), place("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-keyout", &key, "-out", &certificate, "-days", "1", "-subj", "/CN=guests"]);
    openssl.args(["-addext", "subjectAltName=DNS:guests", "-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = agent::finish(&mut openssl, LIMIT)?;
    ensure!(made.status == Some(0), "no certificate: {made:?}");
    let mut house = guesthouse(&["-door", "tls", "-other", &format!("{certificate},{key}")])?;
    let address = house.address()?;
    pull(house.pid(), "heap", kept.path(), "")?.expect_refusal(&["it speaks TLS"])?;
    let settings = |name: &str| {
        format!("[[endpoint]]\nprocess = '*'\ntls_roots = '{certificate}'\nserver_name = '{name}'\n")
    };
    let pulled = pulled(house.pid(), "heap", kept.path(), &settings("guests"))?;
    ensure!(pulled.endpoint == format!("https://{address}/debug/pprof/"), "{pulled:?}");
    pull(house.pid(), "heap", kept.path(), &settings("others"))?.expect_refusal(&["TLS failed"])
}

/// Starts what `start` starts in a network namespace of its own, whose loopback is up.
fn in_new_namespace<T: Send + 'static>(start: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    // The namespace is this thread's and its children's, and goes with them.
    let inside = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("run ip")?;
        ensure!(up.success(), "loopback does not come up");
        start()
    });
    inside.join().map_err(|_| anyhow::anyhow!("the thread in the namespace panicked"))?
}

fn in_a_network_namespace() -> Result<()> {
    let kept = directory()?;
    let mut house = in_new_namespace(|| guesthouse(&["-place", "tcp:127.0.0.1:6060"]))?;
    house.address()?;
    // Another one, at the same address out here.
    let twin = guesthouse(&["-place", "tcp:127.0.0.1:6060"]);
    let pulled = pulled(house.pid(), "goroutine", kept.path(), "")?;
    ensure!(pulled.endpoint == "http://127.0.0.1:6060/debug/pprof/", "{pulled:?}");
    drop(twin);
    let mut named = in_new_namespace(|| guesthouse(&["-place", "unix:@inside"]))?;
    named.address()?;
    super::pulled(named.pid(), "goroutine", kept.path(), "")?;
    Ok(())
}

/// A process in a mount namespace and a root of its own, whose socket we see at another path.
fn in_another_root() -> Result<()> {
    let kept = directory()?;
    let root = kept.path().join("root");
    fs::create_dir_all(root.join("run"))?;
    fs::create_dir_all(root.join("dev"))?;
    fs::copy(built(GUESTHOUSE)?, root.join(GUESTHOUSE)).context("copy a program")?;
    let mut command = Command::new("unshare");
    command.args(["--mount", &format!("--root={}", root.display()), &format!("/{GUESTHOUSE}")]);
    command.args([&format!("-for={}s", LIFE.as_secs()), "-place", "unix:/run/guests.sock"]);
    let mut house = Running::start(&mut command)?;
    house.address()?;
    let pulled = pulled(house.pid(), "goroutine", kept.path(), "")?;
    ensure!(pulled.endpoint == "unix:/run/guests.sock /debug/pprof/", "{pulled:?}");
    Ok(())
}

/// Segments that came in, and connections that were accepted, in the network namespace of a process.
fn traffic(pid: u32) -> Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/snmp")).context("read counters of TCP")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = lines.next().zip(lines.next()).context("counters have names")?;
    let value = |name| {
        let position = names.split(' ').position(|it| it == name)?;
        values.split(' ').nth(position)?.parse().ok()
    };
    value("InSegs").zip(value("PassiveOpens")).context("no such counters")
}

/// A Go server without the handlers, and one that is not Go, alone in a namespace: not one segment of TCP comes in.
/// Then a process with the handlers joins them, and still nobody but it is connected to.
fn others_receive_nothing() -> Result<()> {
    let kiosk = built("kiosk")?;
    let (mut kiosk, redis, house) = in_new_namespace(move || {
        let kiosk = Running::start(&mut program::command(&kiosk, Style::Square, 1.0, LIFE))?;
        let mut redis = Command::new("redis-server");
        redis.args(["--port", "6379", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let redis = Running::start(redis.stderr(Stdio::null()))?;
        // Joins later: it is started when it is read from its standard input that it may.
        let executable = built(GUESTHOUSE)?;
        let gate = std::env::temp_dir().join(format!("gate-{}", redis.pid()));
        let script = format!(
            "while [ ! -e {gate} ]; do sleep 0.05; done; exec {} -for={}s -place tcp:127.0.0.1:6070",
            executable.display(),
            LIFE.as_secs(),
            gate = gate.display()
        );
        let house = Running::start(Command::new("sh").args(["-c", &script]))?;
        Ok((kiosk, redis, (house, gate)))
    })?;
    kiosk.address()?;
    let (mut house, gate) = house;
    let namespace = fs::metadata(format!("/proc/{}/ns/net", kiosk.pid()))?.ino();
    ensure!(namespace != fs::metadata("/proc/self/ns/net")?.ino(), "they are in our namespace");
    listed(kiosk.pid())?;
    agent::run(&["diagnose", "--pid", &kiosk.pid().to_string(), "-d", "3s"], LIMIT)?;
    agent::run(&["diagnose", "--pid", &redis.pid().to_string(), "-d", "3s"], LIMIT)?;
    ensure!(traffic(kiosk.pid())? == (0, 0), "somebody was connected to: {:?}", traffic(kiosk.pid())?);

    fs::write(&gate, "").context("open the gate")?;
    let address = house.address();
    fs::remove_file(&gate).context("remove the gate")?;
    address?;
    let (endpoint, why) = listed(house.pid())?;
    ensure!(endpoint.as_deref() == Some("http://127.0.0.1:6070/debug/pprof/"), "{endpoint:?} {why:?}");
    let (segments, accepted) = traffic(kiosk.pid())?;
    ensure!(segments > 0 && accepted > 0, "the counters do not count");
    // By its own book: our question is the first connection.
    let info = in_namespace_of(redis.pid(), || {
        let mut stream = TcpStream::connect("127.0.0.1:6379").context("connect to redis")?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"INFO stats\r\nQUIT\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).context("read what redis says")?;
        Ok(text)
    })?;
    ensure!(info.contains("total_connections_received:1\r\n"), "redis was connected to: {info}");
    Ok(())
}

fn in_namespace_of<T: Send + 'static>(
    pid: u32,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).context("open a namespace")?;
    let inside = thread::spawn(move || {
        nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET).context("enter a namespace")?;
        work()
    });
    inside.join().map_err(|_| anyhow::anyhow!("the thread in the namespace panicked"))?
}

/// The process with the handlers listens and does not accept; another one, which inherited the socket, does.
fn an_heir_receives_nothing() -> Result<()> {
    let kept = directory()?;
    let book = kept.path().join("book");
    let mut command = Command::new(built(GUESTHOUSE)?);
    command.arg(format!("-for={}s", LIFE.as_secs())).arg("-heir").arg(built(USHER)?);
    let mut house = Running::start(command.env("USHER_BOOK", &book))?;
    house.address()?;
    let refused = pull(house.pid(), "heap", kept.path(), "")?;
    refused.expect_refusal(&["another process accepts connections on this socket too"])?;
    let deadline = Instant::now() + LIMIT;
    let visits = loop {
        let text = fs::read_to_string(&book).unwrap_or_default();
        if text.ends_with('\n') || Instant::now() > deadline {
            break text;
        }
        thread::sleep(Duration::from_millis(20));
    };
    ensure!(!visits.is_empty(), "the heir was never there");
    ensure!(visits.lines().all(|line| line.ends_with(" 0")), "the heir was sent something: {visits}");
    Ok(())
}

/// A proxy that has the handlers and passes every question on answers with another process's profiles.
fn a_front_is_not_taken_for_what_is_behind() -> Result<()> {
    let kept = directory()?;
    let mut behind = guesthouse(&[])?;
    let url = format!("http://{}", behind.address()?);
    let mut front = guesthouse(&["-door", "front", "-other", &url])?;
    front.address()?;
    pull(front.pid(), "heap", kept.path(), "")?.expect_refusal(&["the answer is another process's"])?;
    pulled(behind.pid(), "heap", kept.path(), "")?;
    Ok(())
}

fn forbidden() -> Result<()> {
    let mut house = guesthouse(&[])?;
    house.address()?;
    let pid = house.pid().to_string();
    for option in [&["--no-pprof"][..], &["--no-pprof-of", "guest*"]] {
        let arguments = [&["pull", "--pid", &pid][..], option].concat();
        agent::run(&arguments, LIMIT)?.expect_refusal(&["the settings forbid it"])?;
    }
    let mut other = guesthouse(&[])?;
    other.address()?;
    let kept = directory()?;
    pulled(other.pid(), "heap", kept.path(), "forbid = ['inn*']\n")?;
    Ok(())
}
