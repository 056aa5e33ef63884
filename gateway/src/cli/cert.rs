use std::path::PathBuf;
use std::time::Duration;

use transport::pki::{Order, Purpose, Reason};

use super::{Words, usage};
use crate::cert_cli::Request;
use crate::failure::Failure;

/// Days of a revocation list.
const LIST_DAYS: u32 = 90;

/// Days that may be asked for: 100 years.
const DAYS_MAX: u32 = 36_500;

const DAY_S: u64 = 24 * 60 * 60;

impl Words {
    pub(super) fn cert(&mut self) -> Result<Request, Failure> {
        let verb = self.next();
        if matches!(verb.as_deref(), Some("help" | "--help" | "-h")) || self.help() {
            return Ok(Request::Help);
        }
        match verb.as_deref() {
            Some("ca") if self.next().as_deref() == Some("new") => {
                let name = self.text("--name")?;
                Ok(Request::NewAuthority { dir: self.pki()?, name, order: self.order()? })
            }
            Some("ca") => Err(usage("\"cert ca\" is followed by \"new\"".to_owned())),
            Some("server") => {
                let names = [self.texts("--name")?, self.texts("--ip")?].concat();
                Ok(Request::Server { dir: self.pki()?, names, order: self.order()? })
            }
            Some("client") => {
                let name = self.wanted("the client's name")?;
                Ok(Request::Client { dir: self.pki()?, name, order: self.order()? })
            }
            Some("sign") => {
                let request = self.wanted("the certificate request")?.into();
                let purpose = match self.flag("--server") {
                    true => Purpose::Server,
                    false => Purpose::Client,
                };
                Ok(Request::Sign { dir: self.pki()?, request, purpose, order: self.order()? })
            }
            Some("renew") => {
                let file = self.wanted("the certificate's file")?.into();
                let order = Order { days: self.days()?, ..Order::default() };
                Ok(Request::Renew { dir: self.pki()?, file, order })
            }
            Some("revoke") => {
                let which = self.wanted("the certificate's file or serial number")?;
                Ok(Request::Revoke { dir: self.pki()?, which, reason: self.reason()? })
            }
            Some("crl") => {
                let days = self.days()?.unwrap_or(LIST_DAYS);
                let validity = Duration::from_secs(u64::from(days) * DAY_S);
                Ok(Request::List { dir: self.pki()?, validity })
            }
            Some("list") => Ok(Request::Index { dir: self.pki()? }),
            Some("show") => {
                let file = self.wanted("the file")?.into();
                Ok(Request::Show { file })
            }
            _ => Err(usage(
                "\"cert\" is followed by \"ca new\", \"server\", \"client\", \"sign\", \"renew\", \
                 \"revoke\", \"crl\", \"list\" or \"show\"; more by `portcullis cert help`"
                    .to_owned(),
            )),
        }
    }

    fn pki(&mut self) -> Result<PathBuf, Failure> {
        let dir = self.option("--dir").filter(|dir| !dir.is_empty());
        Ok(dir.map_or_else(|| PathBuf::from("pki"), PathBuf::from))
    }

    fn order(&mut self) -> Result<Order, Failure> {
        let (days, force) = (self.days()?, self.flag("--force"));
        Ok(Order { days, out: self.option("--out").map(PathBuf::from), force })
    }

    fn days(&mut self) -> Result<Option<u32>, Failure> {
        let Some(text) = self.text("--days")? else { return Ok(None) };
        let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
        let wrong = || usage(format!("--days {text:?} is not a whole number from 1 to {DAYS_MAX}"));
        days.map(Some).ok_or_else(wrong)
    }

    fn reason(&mut self) -> Result<Reason, Failure> {
        let Some(text) = self.text("--reason")? else { return Ok(Reason::Unspecified) };
        Reason::named(&text).ok_or_else(|| {
            let all = Reason::ALL.map(|(name, _)| name).join(", ");
            usage(format!("--reason {text:?} is none of {all}"))
        })
    }

    fn wanted(&mut self, what: &str) -> Result<String, Failure> {
        self.next().ok_or_else(|| usage(format!("{what} is missing")))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::Command;
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words = line.split_whitespace().map(OsString::from);
        Command::parse(words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn requests_are_told_apart() {
        let pki = || PathBuf::from("pki");
        let order =
            |days, out: Option<&str>, force| Order { days, out: out.map(Into::into), force };
        for (line, request) in [
            (
                "cert ca new --name Plant --days 10 --dir d --force",
                Request::NewAuthority {
                    dir: "d".into(),
                    name: Some("Plant".to_owned()),
                    order: order(Some(10), None, true),
                },
            ),
            (
                "cert server --name a.example --ip 10.0.0.1 --name b.example --out o",
                Request::Server {
                    dir: pki(),
                    names: ["a.example", "b.example", "10.0.0.1"].map(str::to_owned).to_vec(),
                    order: order(None, Some("o"), false),
                },
            ),
            (
                "cert client pump-7 --days 30",
                Request::Client {
                    dir: pki(),
                    name: "pump-7".to_owned(),
                    order: order(Some(30), None, false),
                },
            ),
            (
                "cert sign pump.csr --server",
                Request::Sign {
                    dir: pki(),
                    request: "pump.csr".into(),
                    purpose: Purpose::Server,
                    order: Order::default(),
                },
            ),
            (
                "cert renew pki/a.pem",
                Request::Renew { dir: pki(), file: "pki/a.pem".into(), order: Order::default() },
            ),
            (
                "cert revoke 4A:0B --reason superseded",
                Request::Revoke {
                    dir: pki(),
                    which: "4A:0B".to_owned(),
                    reason: Reason::Superseded,
                },
            ),
            (
                "cert crl --days 7",
                Request::List { dir: pki(), validity: Duration::from_secs(7 * DAY_S) },
            ),
            ("cert list", Request::Index { dir: pki() }),
            ("cert show a.pem", Request::Show { file: "a.pem".into() }),
            ("cert help", Request::Help),
            ("cert server --help", Request::Help),
        ] {
            assert_eq!(parse(line), Ok(Command::Cert(request)), "{line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (line, named) in [
            ("cert", "\"cert\" is followed by \"ca new\""),
            ("cert ca", "\"cert ca\" is followed by \"new\""),
            ("cert client", "the client's name is missing"),
            ("cert client a b", "\"b\" has no meaning here"),
            ("cert client a --days 0", "--days \"0\" is not a whole number from 1"),
            ("cert revoke a --reason bored", "--reason \"bored\" is none of unspecified"),
            ("cert show a.pem --force", "\"--force\" has no meaning here"),
        ] {
            let said = parse(line).expect_err(line);
            assert!(said.contains(named), "{line}: {said}");
        }
    }
}
