//! As much of HTTP as it takes to ask a server on this host for a profile, over TCP or a socket in the file system.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:8080`.
    Tcp(String),
    /// A path.
    Unix(PathBuf),
}

/// An open connection, whose other side is waited for no longer than a test may take.
pub trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

impl Address {
    /// Opens a connection.
    pub fn connect(&self) -> Result<Box<dyn Connection>> {
        match self {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
                stream.set_read_timeout(Some(LIMIT)).context("set a timeout")?;
                Ok(Box::new(stream))
            }
            Address::Unix(path) => {
                let stream =
                    UnixStream::connect(path).with_context(|| format!("connect to {}", path.display()))?;
                stream.set_read_timeout(Some(LIMIT)).context("set a timeout")?;
                Ok(Box::new(stream))
            }
        }
    }

    /// The body of the answer to `GET path`, which must be a 200.
    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        let mut stream = self.connect()?;
        let host = match self {
            Address::Tcp(address) => address,
            Address::Unix(_) => "localhost",
        };
        // HTTP/1.0: the body ends with the connection, and is not cut into chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").context("ask")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("read the answer")?;
        ensure!(answer.starts_with(b"HTTP/1.0 200"), "{path}: {}", String::from_utf8_lossy(&answer));
        let head =
            answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer has a head")?;
        Ok(answer.split_off(head + 4))
    }

    /// The same as text.
    pub fn get_text(&self, path: &str) -> Result<String> {
        String::from_utf8(self.get(path)?).with_context(|| format!("{path}: the answer is no UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::Address;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread;

    #[test]
    fn the_body_of_a_good_answer_is_read_and_a_bad_one_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            for answer in ["HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n", "HTTP/1.0 404 No\r\n\r\nnot here"] {
                let (mut stream, _) = listener.accept().unwrap();
                let expected = "GET /debug/vars HTTP/1.0\r\nHost: localhost\r\n\r\n";
                let mut question = vec![0; expected.len()];
                stream.read_exact(&mut question).unwrap();
                assert_eq!(String::from_utf8_lossy(&question), expected);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let address = Address::Unix(path);
        assert_eq!(address.get_text("/debug/vars").unwrap(), "body\r\n\r\n");
        assert!(address.get("/debug/vars").unwrap_err().to_string().contains("not here"));
        server.join().unwrap();
    }
}
