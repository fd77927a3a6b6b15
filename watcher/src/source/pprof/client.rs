//! One HTTP request over a connection that has been accepted: bounded in time and bytes, following nothing.

use super::dial::Connection;
use super::fault::Fault;
use super::metered::Metered;
use crate::vocabulary::process::printable;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT_ENCODING, CONNECTION, HOST, HeaderMap, LOCATION, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Longest text of a redirect that is shown.
const MAX_LOCATION_BYTES: usize = 200;

/// How an endpoint is spoken to, where that was configured.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Sent with every request, such as one that authenticates.
    pub headers: HeaderMap,
    /// TLS with these roots, where it is wanted.
    pub tls: Option<Tls>,
}

/// How a server proves who it is.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The roots that vouch for it.
    pub config: Arc<ClientConfig>,
    /// The name that its certificate must have.
    pub server_name: ServerName<'static>,
}

/// How much an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From the request to the last byte.
    pub time: Duration,
    /// Bytes of the body, as they come.
    pub bytes: usize,
}

/// What is asked for, and of whom.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The path with its query.
    pub path: &'a str,
    /// What stands in the `Host` header: servers that guard against DNS rebinding want their own address there.
    pub host: &'a str,
    /// How it is asked.
    pub access: &'a Access,
    /// How much the answer may take.
    pub bounds: Bounds,
}

/// Asks a question and gives the body of an answer of status 200.
///
/// # Errors
/// See [`Fault`]; a redirect is one.
pub async fn get(connection: Connection, question: Question<'_>) -> Result<Vec<u8>, Fault> {
    let bounds = question.bounds;
    let mut body = Vec::new();
    let answered = tokio::time::timeout(bounds.time, async {
        let broken = |error: std::io::Error| Fault::Unreachable { why: error.to_string() };
        match connection {
            Connection::Tcp(stream) => {
                stream.set_nonblocking(true).map_err(broken)?;
                let stream = tokio::net::TcpStream::from_std(stream).map_err(broken)?;
                secured(stream, question, &mut body).await
            }
            Connection::Unix(stream) => {
                stream.set_nonblocking(true).map_err(broken)?;
                let stream = tokio::net::UnixStream::from_std(stream).map_err(broken)?;
                secured(stream, question, &mut body).await
            }
        }
    })
    .await;
    match answered {
        Ok(Ok(())) => Ok(body),
        Ok(Err(fault)) => Err(fault),
        Err(_) => Err(Fault::TooSlow { within: bounds.time, got: body.len() }),
    }
}

async fn secured(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    question: Question<'_>,
    body: &mut Vec<u8>,
) -> Result<(), Fault> {
    match &question.access.tls {
        None => exchange(stream, question, body).await,
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(&tls.config));
            let secured = connector.connect(tls.server_name.clone(), stream).await;
            let secured = secured.map_err(|error| Fault::Tls(printable(error.to_string().as_bytes())))?;
            exchange(secured, question, body).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    question: Question<'_>,
    body: &mut Vec<u8>,
) -> Result<(), Fault> {
    let Question { path, host, access, bounds: Bounds { bytes: limit, .. } } = question;
    let broken = |error: hyper::Error, got: usize| Fault::BrokenOff { got, why: why(&error) };
    let (stream, allowed) = Metered::new(stream);
    let (mut sender, driver) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error, 0))?;
    // Dropped with us, and with it the connection.
    let mut drivers = JoinSet::new();
    drivers.spawn(driver);
    let mut request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("watcher/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        // A profile is packed already, and its packing is checked here.
        .header(ACCEPT_ENCODING, "identity")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Fault::Unreachable { why: format!("{path:?} is no path: {error}") })?;
    for (name, value) in &access.headers {
        request.headers_mut().insert(name, value.clone());
    }
    let mut response = sender.send_request(request).await.map_err(|error| broken(error, 0))?;
    allowed.add_body(limit);
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refusal(status, response.headers(), access));
    }
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|error| broken(error, body.len()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit.saturating_sub(body.len()) {
            return Err(Fault::TooLarge { limit });
        }
        body.extend_from_slice(&data);
    }
    Ok(())
}

fn refusal(status: StatusCode, headers: &HeaderMap, access: &Access) -> Fault {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::WantsAuthentication(status.as_u16()),
        // Go's server says so to whoever speaks HTTP where TLS is spoken (`net/http/server.go`, `serve`).
        StatusCode::BAD_REQUEST if access.tls.is_none() && headers.is_empty() => Fault::WantsTls,
        _ if status.is_redirection() => {
            let to = headers.get(LOCATION).map_or(&b"nowhere"[..], |to| to.as_bytes());
            Fault::Redirects { to: printable(&to[..to.len().min(MAX_LOCATION_BYTES)]) }
        }
        _ => Fault::Status(status.as_u16()),
    }
}

/// What was wrong, with what lies beneath it. Neither holds anything of the answer itself.
fn why(error: &hyper::Error) -> String {
    use std::error::Error;
    match error.source() {
        Some(source) => printable(format!("{error}: {source}").as_bytes()),
        None => printable(error.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests;
