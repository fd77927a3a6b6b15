//! What may be asked of endpoints, how often, and where profiles are kept: the command line and a file of TOML.

use crate::cli;
use crate::source::ordinary_files;
use crate::source::pprof::{Access, Bounds, Configured, Place, Tls};
use crate::vocabulary::process::{Target, printable};
use anyhow::{Context, bail, ensure};
use glob::Pattern;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// A larger file of settings is none.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What holds for pulls.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Nobody is asked anything.
    pub forbidden: bool,
    /// Nor are processes of these names.
    pub forbidden_names: Vec<Pattern>,
    /// For one pull.
    pub bounds: Bounds,
    /// Bytes of a profile once it is unpacked.
    pub unpacked_bytes: usize,
    /// Pulls that run at the same time, of different processes.
    pub at_once: usize,
    /// Pulls of one process in an hour.
    pub per_hour: usize,
    /// Time between pulls that nothing but the clock asks for; `None` for none.
    pub every: Option<Duration>,
    /// Where profiles are kept.
    pub directory: PathBuf,
    /// How many bytes of them.
    pub kept_bytes: u64,
    prefixes: Vec<String>,
    endpoints: Vec<Named>,
}

#[derive(Clone, Debug)]
struct Named {
    process: Pattern,
    uid: Option<u32>,
    configured: Configured,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            forbidden: false,
            forbidden_names: Vec::new(),
            // The largest heap profile that we know of is 3 MiB; a busy process may take seconds for it.
            bounds: Bounds { time: Duration::from_secs(10), bytes: 16 << 20 },
            unpacked_bytes: 64 << 20,
            at_once: 4,
            per_hour: 24,
            every: None,
            directory: default_directory(),
            kept_bytes: 256 << 20,
            prefixes: Vec::new(),
            endpoints: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks what was typed and the file that it names.
    ///
    /// # Errors
    /// Where a pattern, an address, a header or a certificate is none, in one sentence.
    pub fn load(asked: &cli::Pprof) -> anyhow::Result<Settings> {
        let mut settings = match &asked.pprof_settings {
            Some(path) => {
                let what = || format!("read the settings of pulls in {}", path.display());
                let bytes = ordinary_files::read(path, MAX_FILE_BYTES).with_context(what)?;
                let text = String::from_utf8(bytes).context("it is no text").with_context(what)?;
                Settings::parse(&text).with_context(what)?
            }
            None => Settings::default(),
        };
        settings.forbidden |= asked.no_pprof;
        for name in &asked.no_pprof_of {
            settings.forbidden_names.push(pattern(name)?);
        }
        Ok(settings)
    }

    fn parse(text: &str) -> anyhow::Result<Settings> {
        let file: File = toml::from_str(text).map_err(|error| anyhow::anyhow!("{}", error.message()))?;
        let defaults = Settings::default();
        let mut settings = Settings {
            forbidden: file.forbid_all,
            forbidden_names: file.forbid.iter().map(|name| pattern(name)).collect::<Result<_, _>>()?,
            bounds: Bounds {
                time: file.timeout_seconds.map_or(Ok(defaults.bounds.time), seconds)?,
                bytes: file.wire_bytes.unwrap_or(defaults.bounds.bytes),
            },
            unpacked_bytes: file.unpacked_bytes.unwrap_or(defaults.unpacked_bytes),
            at_once: file.at_once.unwrap_or(defaults.at_once).clamp(1, 64),
            per_hour: file.per_hour.unwrap_or(defaults.per_hour),
            every: file.every_seconds.map(seconds).transpose()?,
            directory: file.directory.unwrap_or(defaults.directory),
            kept_bytes: file.kept_bytes.unwrap_or(defaults.kept_bytes),
            prefixes: file.prefixes.into_iter().map(prefix).collect::<Result<_, _>>()?,
            endpoints: Vec::new(),
        };
        for endpoint in file.endpoint {
            settings.endpoints.push(named(endpoint)?);
        }
        Ok(settings)
    }

    /// Whether this process may be asked nothing.
    pub fn forbids(&self, target: &Target) -> bool {
        self.forbidden || self.forbidden_names.iter().any(|pattern| matches(pattern, target))
    }

    /// How to ask this process.
    pub fn of(&self, target: &Target) -> Configured {
        let named = self.endpoints.iter().find(|named| {
            // Whoever runs a program chooses its name, so a secret can be tied to a user.
            named.uid.is_none_or(|uid| target.uid == Some(uid)) && matches(&named.process, target)
        });
        let mut configured = named
            .map_or(Configured { place: None, prefixes: Vec::new(), access: Access::default() }, |named| {
                named.configured.clone()
            });
        configured.prefixes.extend(self.prefixes.iter().cloned());
        configured
    }
}

fn matches(pattern: &Pattern, target: &Target) -> bool {
    let file = target.exe.as_ref().and_then(|exe| exe.file_name()).and_then(|name| name.to_str());
    pattern.matches(&target.name) || file.is_some_and(|file| pattern.matches(file))
}

/// The file as it is written. What it does not know it refuses, so that a slip does not go unnoticed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    forbid_all: bool,
    #[serde(default)]
    forbid: Vec<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    timeout_seconds: Option<f64>,
    wire_bytes: Option<usize>,
    unpacked_bytes: Option<usize>,
    at_once: Option<usize>,
    per_hour: Option<usize>,
    every_seconds: Option<f64>,
    directory: Option<PathBuf>,
    kept_bytes: Option<u64>,
    #[serde(default)]
    endpoint: Vec<EndpointTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointTable {
    process: String,
    uid: Option<u32>,
    address: Option<String>,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    tls_roots: Option<PathBuf>,
    server_name: Option<String>,
}

fn named(table: EndpointTable) -> anyhow::Result<Named> {
    let mut headers = HeaderMap::new();
    for (name, value) in &table.headers {
        let name: HeaderName = name.parse().with_context(|| format!("{name:?} is no name of a header"))?;
        // The value may be a secret: it is in no message.
        let mut value =
            HeaderValue::from_str(value).with_context(|| format!("the value of {name} is none"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let tls = match (&table.tls_roots, table.server_name) {
        (Some(roots), name) => Some(tls(roots, name.unwrap_or_else(|| "localhost".to_owned()))?),
        (None, Some(name)) => bail!("server_name {name:?} says nothing without tls_roots"),
        (None, None) => None,
    };
    Ok(Named {
        process: pattern(&table.process)?,
        uid: table.uid,
        configured: Configured {
            place: table.address.as_deref().map(place).transpose()?,
            prefixes: table.prefixes.into_iter().map(prefix).collect::<Result<_, _>>()?,
            access: Access { headers, tls },
        },
    })
}

fn tls(roots: &Path, server_name: String) -> anyhow::Result<Tls> {
    let mut store = RootCertStore::empty();
    let unreadable = || format!("read the certificates in {}", roots.display());
    let file = ordinary_files::read(roots, MAX_FILE_BYTES).with_context(unreadable)?;
    for certificate in CertificateDer::pem_slice_iter(&file) {
        store.add(certificate.with_context(unreadable)?).with_context(unreadable)?;
    }
    ensure!(!store.is_empty(), "{} holds no certificate", roots.display());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("prepare TLS")?
        .with_root_certificates(store)
        .with_no_client_auth();
    let named = format!("{server_name:?} is no server's name");
    Ok(Tls { config: Arc::new(config), server_name: ServerName::try_from(server_name).context(named)? })
}

fn pattern(text: &str) -> anyhow::Result<Pattern> {
    Pattern::new(text).map_err(|error| anyhow::anyhow!("{text:?} is no pattern: {}", error.msg))
}

/// `127.0.0.1:6060`, `unix:/run/x.sock` or `unix:@name`.
fn place(text: &str) -> anyhow::Result<Place> {
    if let Some(name) = text.strip_prefix("unix:@") {
        return Ok(Place::Abstract(name.as_bytes().to_vec()));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Place::Path(PathBuf::from(path)));
    }
    let address = text.parse().with_context(|| {
        format!("{text:?} is no address: write 127.0.0.1:6060, unix:/run/x.sock or unix:@name")
    })?;
    Ok(Place::Tcp(address))
}

fn prefix(text: String) -> anyhow::Result<String> {
    ensure!(
        text.starts_with('/') && text.ends_with('/') && printable(text.as_bytes()) == text,
        "{text:?} is no prefix: it begins and ends with a slash"
    );
    Ok(text)
}

fn seconds(number: f64) -> anyhow::Result<Duration> {
    let time = Duration::try_from_secs_f64(number).context("a time is a positive number of seconds")?;
    ensure!(!time.is_zero(), "a time is a positive number of seconds");
    Ok(time)
}

/// Below the place for state of services, or of the user.
fn default_directory() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/watcher/pulls");
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".local/state"))
    });
    state.filter(|path| path.is_absolute()).unwrap_or_else(std::env::temp_dir).join("watcher/pulls")
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::source::pprof::Place;
    use crate::source::proc::fake;
    use std::time::Duration;

    #[test]
    fn a_file_says_what_is_forbidden_and_how_to_ask() {
        let settings = Settings::parse(
            r#"
            forbid = ["redis*"]
            prefixes = ["/internal/pprof/"]
            every_seconds = 900
            [[endpoint]]
            process = "parcels*"
            uid = 1001
            address = "unix:/run/parcels.sock"
            prefixes = ["/x/"]
            headers = { authorization = "Bearer abc" }
            "#,
        )
        .unwrap();
        assert_eq!(settings.every, Some(Duration::from_secs(900)));
        let mut target = fake::target(7);
        target.name = "parcels-api".to_owned();
        target.uid = Some(1000);
        assert!(settings.of(&target).access.headers.is_empty(), "another user's process gets the secret");
        target.uid = Some(1001);
        let of = settings.of(&target);
        assert_eq!(of.place, Some(Place::Path("/run/parcels.sock".into())));
        assert_eq!(of.prefixes, ["/x/", "/internal/pprof/"]);
        assert!(of.access.headers.contains_key("Authorization"));
        assert!(!format!("{:?}", of.access).contains("abc"), "a secret is in no log");
        assert!(!settings.forbids(&target));
        target.name = "redis-proxy".to_owned();
        assert!(settings.forbids(&target));
        let of = settings.of(&target);
        assert_eq!((of.place, of.prefixes.len(), of.access.headers.len()), (None, 1, 0));
    }

    #[test]
    fn slips_are_refused() {
        for text in [
            "forbit = []",
            "forbid = [\"a[\"]",
            "prefixes = [\"debug\"]",
            "timeout_seconds = 0",
            "timeout_seconds = -1",
            "[[endpoint]]\nprocess = \"x\"\naddress = \"localhost\"",
            "[[endpoint]]\nprocess = \"x\"\nserver_name = \"y\"",
            "[[endpoint]]\nprocess = \"x\"\ntls_roots = \"/nowhere.pem\"",
            "[[endpoint]]\nprocess = \"x\"\nheaders = { \"a b\" = \"c\" }",
        ] {
            assert!(Settings::parse(text).is_err(), "{text}");
        }
    }
}
