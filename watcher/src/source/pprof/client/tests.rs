use super::{Access, Bounds, Question, get};
use crate::source::pprof::Fault;
use crate::source::pprof::dial::Connection;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const BOUNDS: Bounds = Bounds { time: Duration::from_millis(400), bytes: 1000 };

/// What comes of asking a server that does this with the connection once it has been asked.
fn ask(serve: impl FnOnce(TcpStream) + Send + 'static) -> Result<Vec<u8>, Fault> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.push(byte[0]);
        }
        serve(stream);
        String::from_utf8(asked).unwrap()
    });
    let connection = Connection::Tcp(TcpStream::connect(address).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let access = Access::default();
    let question = Question { path: "/debug/pprof/heap", host: "h:1", access: &access, bounds: BOUNDS };
    let began = Instant::now();
    let answer = runtime.block_on(get(connection, question));
    assert!(began.elapsed() < BOUNDS.time * 4, "it took {:?}", began.elapsed());
    drop(runtime);
    let asked = server.join().unwrap();
    assert!(asked.starts_with("GET /debug/pprof/heap HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nhost: h:1\r\n"), "{asked}");
    answer
}

/// Sends until nobody listens any more.
fn send_for_ever(mut stream: TcpStream, begin: &[u8], piece: &[u8], pause: Duration) {
    let mut sent = stream.write_all(begin);
    while sent.is_ok() {
        thread::sleep(pause);
        sent = stream.write_all(piece);
    }
}

fn say(text: &'static str) -> impl FnOnce(TcpStream) + Send {
    move |mut stream| stream.write_all(text.as_bytes()).unwrap()
}

#[test]
fn whole_answers_come() {
    assert_eq!(ask(say("HTTP/1.0 200 OK\r\n\r\nabc")).unwrap(), b"abc");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    assert_eq!(ask(say(chunked)).unwrap(), b"abc");
}

#[test]
fn a_server_that_hangs_or_trickles_is_given_up_in_time() {
    let hangs = ask(|stream| {
        let mut rest = Vec::new();
        // Until we hang up.
        let _ = (&stream).read_to_end(&mut rest);
    });
    assert_eq!(hangs, Err(Fault::TooSlow { within: BOUNDS.time, got: 0 }));
    let trickles = ask(|stream| {
        send_for_ever(stream, b"HTTP/1.1 200 OK\r\n\r\n", b"x", Duration::from_millis(20));
    });
    assert!(matches!(trickles, Err(Fault::TooSlow { got: 1..40, .. })), "{trickles:?}");
    let headers = ask(|stream| send_for_ever(stream, b"HTTP/1.1 2", b"0", Duration::from_millis(20)));
    assert!(matches!(headers, Err(Fault::TooSlow { got: 0, .. } | Fault::BrokenOff { .. })), "{headers:?}");
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let endless = ask(|stream| send_for_ever(stream, b"HTTP/1.1 200 OK\r\n\r\n", &[0; 600], Duration::ZERO));
    assert_eq!(endless, Err(Fault::TooLarge { limit: 1000 }));
    let headers =
        ask(|stream| send_for_ever(stream, b"HTTP/1.1 200 OK\r\n", b"a: bbbbbbbbbbbbbb\r\n", Duration::ZERO));
    assert!(matches!(headers, Err(Fault::BrokenOff { got: 0, .. })), "{headers:?}");
}

/// Each of these is a whole head, and none is the last.
#[test]
fn announcements_without_end_are_cut_off() {
    let pieces = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(400);
    let endless = ask(move |stream| send_for_ever(stream, b"", &pieces, Duration::ZERO));
    let Err(Fault::BrokenOff { got: 0, why }) = endless else { panic!("{endless:?}") };
    assert!(why.contains("bytes came without an end"), "{why}");
    let a_few = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(3);
    let answered = ask(move |mut stream| {
        stream.write_all(&a_few).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").unwrap();
    });
    assert_eq!(answered.unwrap(), b"abc");
}

#[test]
fn refusals_and_redirects_are_told_and_not_followed() {
    for (answer, fault) in [
        ("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", Fault::WantsAuthentication(401)),
        ("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", Fault::WantsAuthentication(403)),
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", Fault::Status(404)),
        ("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", Fault::Status(500)),
        (
            "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
            Fault::WantsTls,
        ),
    ] {
        assert_eq!(ask(say(answer)), Err(fault));
    }
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/x\u{1b}[31m\r\n\r\n";
    match ask(say(elsewhere)) {
        Err(Fault::Redirects { to }) => assert_eq!(to, "http://169.254.169.254/x"),
        // A control character is no part of a header.
        Err(Fault::BrokenOff { got: 0, .. }) => {}
        other => panic!("{other:?}"),
    }
    let plain = "HTTP/1.1 307 Elsewhere\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(ask(say(plain)), Err(Fault::Redirects { to: "http://10.0.0.1/".to_owned() }));
}

#[test]
fn an_answer_that_breaks_off_says_where() {
    let half = ask(say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789"));
    assert!(matches!(half, Err(Fault::BrokenOff { got: 10, .. })), "{half:?}");
    for (text, name) in
        [("", "nothing"), ("\0\0\0\x04", "frames of another protocol"), ("hello\r\n", "words")]
    {
        let other = ask(say(text));
        assert!(matches!(other, Err(Fault::BrokenOff { got: 0, .. })), "{name}: {other:?}");
    }
}
