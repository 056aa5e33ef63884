use std::path::{Path, PathBuf};
use std::time::Duration;

use transport::pki::{self, Issued, Order, Purpose, Reason, RevocationList, Site};
use transport::utc;

use crate::cli::say;
use crate::clock;
use crate::failure::Failure;

/// What `portcullis cert` is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Help,
    NewAuthority { dir: PathBuf, name: Option<String>, order: Order },
    Server { dir: PathBuf, names: Vec<String>, order: Order },
    Client { dir: PathBuf, name: String, order: Order },
    Sign { dir: PathBuf, request: PathBuf, purpose: Purpose, order: Order },
    Renew { dir: PathBuf, file: PathBuf, order: Order },
    Revoke { dir: PathBuf, which: String, reason: Reason },
    List { dir: PathBuf, validity: Duration },
    Index { dir: PathBuf },
    Show { file: PathBuf },
}

const HELP: &str = "\
A private authority for a site that has no PKI: who may call itself this server, and who that client.
Everything is in one directory, --dir DIR (\"pki\" if it is not named), as `portcullis init` makes it.

  portcullis cert ca new [--name NAME] [--days N] [--force]
                        ca.pem, which clients are to trust, and ca.key, which never leaves this machine
  portcullis cert server (--name DNS | --ip IP)... [--days N] [--out FILES] [--force]
                        a key and a certificate for a server with these names; \"*\" as the first label is allowed
  portcullis cert client NAME [--days N] [--out FILES] [--force]
                        a key and a certificate for a client of that name
  portcullis cert sign FILE.csr [--server] [--days N] [--out FILES] [--force]
                        the certificate that a request asks for, whose key stays on its device: for a client, or
                        for a server with --server
  portcullis cert renew FILE [--days N]
                        the same certificate with the same key for another time, in place of the one in FILE
  portcullis cert revoke FILE|SERIAL [--reason unspecified|key-compromise|superseded|cessation-of-operation]
                        takes a certificate back, and makes the next revocation list
  portcullis cert crl [--days N]
                        the next revocation list, crl.pem, for N days (90)
  portcullis cert list  what was issued by these commands, and what is revoked
  portcullis cert show FILE
                        what a certificate, a request or a revocation list says

A certificate lasts 825 days, the authority 3650, unless --days says otherwise. --out FILES names FILES.pem and
FILES.key. A running gateway takes over what its configuration names within seconds. gateway/TLS.md has more.";

/// `portcullis cert`
pub(crate) fn run(request: &Request) -> Result<(), Failure> {
    let now = clock::wall();
    let text = match request {
        Request::Help => HELP.to_owned(),
        Request::NewAuthority { dir, name, order } => {
            let issued = Site::at(dir).new_authority(name.as_deref(), order, now);
            authority(&issued.map_err(Failure::Pki)?)
        }
        Request::Server { dir, names, order } => {
            issued(&Site::at(dir).server(names, order, now).map_err(Failure::Pki)?)
        }
        Request::Client { dir, name, order } => {
            issued(&Site::at(dir).client(name, order, now).map_err(Failure::Pki)?)
        }
        Request::Sign { dir, request, purpose, order } => {
            let signed = Site::at(dir).sign(request, *purpose, order, now);
            issued(&signed.map_err(Failure::Pki)?)
        }
        Request::Renew { dir, file, order } => {
            let renewed = Site::at(dir).renew(file, order, now).map_err(Failure::Pki)?;
            let more = "The earlier one counts until it ends, unless it is revoked.";
            format!("{}\n{more}", issued(&renewed))
        }
        Request::Revoke { dir, which, reason } => {
            let revoked = Site::at(dir).revoke(which, *reason, now);
            let (entry, made) = revoked.map_err(Failure::Pki)?;
            format!("revoked {} ({})\n{}", entry.subject, entry.serial, list(&made))
        }
        Request::List { dir, validity } => {
            list(&Site::at(dir).crl(*validity, now).map_err(Failure::Pki)?)
        }
        Request::Index { dir } => index(dir)?,
        Request::Show { file } => pki::show(file).map_err(Failure::Pki)?,
    };
    say(&text)
}

fn authority(issued: &Issued) -> String {
    format!(
        "{}\nGive clients {} to trust. Whoever has {} can be any server and any client: keep a copy of it \
         elsewhere, and let nobody read it.",
        self::issued(issued),
        issued.cert.display(),
        issued.key.as_deref().unwrap_or(Path::new("the key")).display()
    )
}

fn issued(issued: &Issued) -> String {
    let mut text = format!("made {}", issued.cert.display());
    if let Some(key) = &issued.key {
        text.push_str(&format!(" and its key {}", key.display()));
    }
    let names = match issued.names.as_slice() {
        [] => String::new(),
        names => format!("  names     {}\n", names.join(", ")),
    };
    format!(
        "{text}\n  subject   {}\n{names}  serial    {}\n  valid to  {}",
        issued.subject,
        issued.serial,
        utc(i64::try_from(issued.not_after_unix_s).unwrap_or(i64::MAX))
    )
}

fn list(made: &RevocationList) -> String {
    format!(
        "made {}, number {}, with {} revoked certificates; the next is due by {}\n\
         A listener heeds it if tls.client-crl names it.",
        made.path.display(),
        made.number,
        made.revoked,
        utc(i64::try_from(made.next_update_unix_s).unwrap_or(i64::MAX))
    )
}

fn index(dir: &Path) -> Result<String, Failure> {
    let entries = Site::at(dir).list().map_err(Failure::Pki)?;
    if entries.is_empty() {
        return Ok(format!("nothing was issued by `portcullis cert` in {}", dir.display()));
    }
    let at = |seconds: u64| utc(i64::try_from(seconds).unwrap_or(i64::MAX));
    let line = |entry: &pki::Entry| {
        let standing = match entry.revoked {
            None => "valid".to_owned(),
            Some((when, reason)) => format!("revoked {} ({})", at(when), reason.as_str()),
        };
        let (serial, end) = (&entry.serial, at(entry.not_after_unix_s));
        format!("{serial}  {:<6}  to {end}  {}  {standing}", entry.purpose, entry.subject)
    };
    Ok(entries.iter().map(line).collect::<Vec<_>>().join("\n"))
}
