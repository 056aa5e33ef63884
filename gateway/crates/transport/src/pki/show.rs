//! What a PEM file holds, in words.

use std::fmt::Write as _;
use std::path::Path;

use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::Pem;
use x509_parser::prelude::{
    CertificateRevocationList, FromDer, X509Certificate, X509CertificationRequest,
};

use super::PkiError;
use crate::identity::{Certificate, hex};
use crate::utc::utc;

/// Describes each certificate, request, revocation list and key of a PEM file. Of a key nothing is
/// shown but that it is one.
///
/// # Errors
/// If the file cannot be read, or holds nothing in PEM or something that is broken.
pub fn show(path: &Path) -> Result<String, PkiError> {
    let bytes = std::fs::read(path).map_err(|source| PkiError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    describe(&bytes).map_err(|reason| PkiError::Unusable { path: path.to_owned(), reason })
}

/// Describes what is in PEM, as [`show`] does. Whoever made it cannot have a terminal do anything: control characters are
/// shown as `\u{1b}`.
///
/// # Errors
/// A sentence: it is nothing in PEM, or something in it is broken.
pub fn describe(pem: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    for block in Pem::iter_from_buffer(pem) {
        let block = block.map_err(|cause| cause.to_string())?;
        let described = match block.label.as_str() {
            "CERTIFICATE" => certificate(&block.contents),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => request(&block.contents),
            "X509 CRL" => list(&block.contents),
            label if label.ends_with("PRIVATE KEY") => Some("private key\n".to_owned()),
            label => Some(format!("{label}\n")),
        };
        let described = described.ok_or_else(|| format!("a {} block in it is broken", block.label));
        text.push_str(&described.map_err(|why| harmless(&why))?);
    }
    if text.is_empty() {
        return Err("it holds nothing in PEM".to_owned());
    }
    Ok(harmless(text.trim_end()))
}

fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() && c != '\n' {
            true => harmless.extend(c.escape_unicode()),
            false => harmless.push(c),
        }
    }
    harmless
}

fn certificate(der: &[u8]) -> Option<String> {
    let read = Certificate::from_der(der).ok()?;
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let usage = parsed.extended_key_usage().ok().flatten().map(|found| found.value);
    let purpose = match (parsed.is_ca(), usage) {
        (true, _) => "authority",
        (false, Some(usage)) if usage.server_auth && usage.client_auth => "server and client",
        (false, Some(usage)) if usage.server_auth => "server",
        (false, Some(usage)) if usage.client_auth => "client",
        _ => "unnamed purpose",
    };
    let mut text = format!("certificate ({purpose})\n");
    let names = [read.san_dns, read.san_ip, read.san_uri, read.san_email].concat().join(", ");
    let validity = parsed.validity();
    line(&mut text, "subject", &read.subject);
    line(&mut text, "names", &names);
    line(&mut text, "issuer", &read.issuer);
    line(&mut text, "serial", &read.serial);
    line(&mut text, "valid from", &utc(validity.not_before.timestamp()));
    line(&mut text, "valid to", &utc(validity.not_after.timestamp()));
    line(&mut text, "sha256", &read.sha256);
    Some(text)
}

fn request(der: &[u8]) -> Option<String> {
    let (_, parsed) = X509CertificationRequest::from_der(der).ok()?;
    let mut text = "certificate request\n".to_owned();
    line(&mut text, "subject", &parsed.certification_request_info.subject.to_string());
    for extension in parsed.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(found) = extension {
            let names: Vec<_> = found.general_names.iter().map(ToString::to_string).collect();
            line(&mut text, "names", &names.join(", "));
        }
    }
    let signature = if parsed.verify_signature().is_ok() { "good" } else { "wrong" };
    line(&mut text, "signature", signature);
    Some(text)
}

fn list(der: &[u8]) -> Option<String> {
    let (_, parsed) = CertificateRevocationList::from_der(der).ok()?;
    let mut text = "revocation list\n".to_owned();
    line(&mut text, "issuer", &parsed.issuer().to_string());
    let number = parsed.crl_number().map(ToString::to_string).unwrap_or_default();
    line(&mut text, "number", &number);
    line(&mut text, "made", &utc(parsed.last_update().timestamp()));
    let next = parsed.next_update().map(|next| utc(next.timestamp())).unwrap_or_default();
    line(&mut text, "next due", &next);
    for revoked in parsed.iter_revoked_certificates() {
        let when = utc(revoked.revocation_date.timestamp());
        line(&mut text, "revoked", &format!("{} on {when}", hex(revoked.raw_serial())));
    }
    Some(text)
}

fn line(text: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<10}  {value}");
    }
}
