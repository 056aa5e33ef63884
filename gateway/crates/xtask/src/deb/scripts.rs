//! What the scripts of the package do, beside programs that only note how they are called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::root::Root;

use super::tree::put;

/// Notes its call, and does nothing.
const NOTES: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>\"$BOX/calls\"\n";

/// Makes files as the gateway does: an authority or a server certificate, whose key may be there already.
const PORTCULLIS: &str = r#"#!/bin/sh
echo "portcullis $*" >>"$BOX/calls"
pki=$BOX/etc/portcullis/pki
case "$1 $2" in
"cert $FAILS") echo "cannot" >&2 && exit 1 ;;
"cert ca") file=$pki/ca ;;
"cert server") file=$pki/server && [ -e "$pki/ca.key" ] && [ -e "$pki/ca.pem" ] ;;
*) exit 0 ;;
esac || exit 1
case "$*" in *_*) exit 1 ;; esac
[ ! -e "$file.pem" ] || exit 1
[ -e "$file.key" ] || (umask 077 && echo "a new key" >"$file.key")
echo "a certificate" >"$file.pem"
"#;

/// Answers what the variable of its name says, or fails without one.
const SAYS: &str = r#"#!/bin/sh
name=${0##*/}
eval "said=\$SAYS_${name#dpkg-}"
[ -n "$said" ] && echo "$said"
"#;

/// A machine of folders.
struct Board {
    at: PathBuf,
    host: String,
    /// What of `portcullis cert` fails.
    fails: &'static str,
    /// What dpkg-statoverride knows.
    overridden: &'static str,
}

impl Board {
    fn new(name: &str) -> Self {
        let at = std::env::temp_dir().join(format!("portcullis-{name}-{}", std::process::id()));
        // Written by a process that has ended: one that another test starts meanwhile would inherit a file that is open for
        // writing, and such a file cannot be run.
        let program = |name: &str, text: &str| {
            let text = put(&at.join("texts").join(name), text, 0o644).unwrap();
            let mut install = Command::new("install");
            install.args(["-D", "-m", "0755"]).arg(text).arg(at.join("bin").join(name));
            assert!(install.status().unwrap().success(), "{name}");
        };
        for name in [
            "adduser",
            "chgrp",
            "deb-systemd-helper",
            "deb-systemd-invoke",
            "deluser",
            "getent",
            "setpriv",
            "systemctl",
        ] {
            program(name, NOTES);
        }
        program("portcullis", PORTCULLIS);
        // Files of a user that this machine does not have.
        program("install", "#!/bin/sh\nfor last do :; done\nmkdir -p \"$last\"\n");
        program("hostname", SAYS);
        program("dpkg-statoverride", SAYS);
        fs::create_dir_all(at.join("run/systemd/system")).unwrap();
        fs::create_dir_all(at.join("etc/portcullis/pki")).unwrap();
        Self { at, host: "gate.example".to_owned(), fails: "nothing", overridden: "" }
    }

    fn pki(&self, name: &str) -> PathBuf {
        self.at.join("etc/portcullis/pki").join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.pki(name)).unwrap().permissions().mode() & 0o777
    }

    /// Runs a script as dpkg does; what it has called, and what it says.
    fn run(&self, script: &str, words: &[&str]) -> (String, String) {
        let from = Root::find().join("gateway/packaging/debian").join(script);
        let mut text = fs::read_to_string(from).unwrap().replace("@COMPILES@", "yes");
        for path in
            ["/etc/portcullis", "/var/lib/portcullis", "/run/systemd", "/usr/bin/portcullis"]
        {
            text = text.replace(path, &format!("{}{path}", self.at.display()));
        }
        let script = put(&self.at.join(script), text, 0o755).unwrap();
        let calls = put(&self.at.join("calls"), "", 0o644).unwrap();
        let output = Command::new("sh")
            .arg(script)
            .args(words)
            .env("PATH", format!("{}:/usr/bin:/bin", self.at.join("bin").display()))
            .envs([("BOX", self.at.as_os_str()), ("SAYS_hostname", self.host.as_ref())])
            .envs([("FAILS", self.fails), ("SAYS_statoverride", self.overridden)])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        (fs::read_to_string(calls).unwrap(), said)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.at);
    }
}

#[test]
fn an_installation_makes_what_is_missing_and_starts_the_service() {
    let machine = Board::new("postinst");
    let (calls, _) = machine.run("postinst", &["configure", ""]);
    for part in ["cert ca new", "--name localhost --name gate.example --ip 127.0.0.1"] {
        assert!(calls.contains(part), "\"{part}\" is not in {calls}");
    }
    assert_eq!((machine.mode("server.key"), machine.mode("ca.key")), (0o640, 0o600));
    assert!(calls.contains("deb-systemd-invoke restart portcullis.service\n"), "{calls}");

    // After a removal dpkg names the version that was removed, and nothing runs.
    let (calls, _) = machine.run("postinst", &["configure", "0.0.9"]);
    assert!(calls.contains("deb-systemd-invoke restart portcullis.service\n"), "{calls}");
    assert!(!calls.contains("cert "), "{calls}");
}

#[test]
fn an_installation_that_was_cut_short_is_completed() {
    let all = ["ca.key", "ca.pem", "server.key"];
    for there in 1..=all.len() {
        let machine = Board::new("cut");
        for name in &all[..there] {
            put(&machine.pki(name), "from before", 0o600).unwrap();
        }
        machine.run("postinst", &["configure", ""]);
        for name in &all[..there] {
            let text = fs::read_to_string(machine.pki(name)).unwrap();
            assert_eq!(text, "from before", "{name}, after {there} files");
        }
        assert!(machine.pki("server.pem").exists(), "after {there} files");
        assert_eq!(machine.mode("server.key"), 0o640);
    }
}

#[test]
fn what_belongs_to_the_administrator_stays() {
    let mut machine = Board::new("kept");
    // Keys that lie elsewhere.
    put(&machine.pki("server.pem"), "from before", 0o644).unwrap();
    let (calls, _) = machine.run("postinst", &["configure", ""]);
    assert!(!calls.contains("cert "), "{calls}");
    // A key that systemd hands over.
    put(&machine.pki("server.key"), "from before", 0o600).unwrap();
    machine.overridden = "root root 600 /etc/portcullis/pki/server.key";
    machine.run("postinst", &["configure", ""]);
    assert_eq!(machine.mode("server.key"), 0o600);
}

#[test]
fn a_host_may_be_called_what_no_certificate_can_hold() {
    let too_long = "a.".repeat(127);
    assert_eq!(too_long.trim_end_matches('.').len(), 253);
    let too_long = format!("{too_long}a");
    for host in ["box_7", "-box", "box-.example", "a..b", "", "(none)", &too_long] {
        let mut machine = Board::new("host");
        machine.host = host.to_owned();
        let (calls, _) = machine.run("postinst", &["configure", ""]);
        assert!(calls.contains("--name localhost --ip 127.0.0.1"), "{host:?}: {calls}");
        assert!(machine.pki("server.pem").exists());
    }
}

#[test]
fn what_cannot_be_made_is_said_and_tried_again() {
    for fails in ["ca", "server"] {
        let mut machine = Board::new("fails");
        machine.fails = fails;
        let (calls, said) = machine.run("postinst", &["configure", ""]);
        assert!(said.contains("no server certificate; mend what is said above"), "{said}");
        assert!(calls.contains("deb-systemd-invoke restart"), "{calls}");
        machine.fails = "nothing";
        machine.run("postinst", &["configure", "0.1.0"]);
        assert!(machine.pki("server.pem").exists());
    }
}

#[test]
fn purging_takes_nothing_of_a_package_that_has_taken_the_place() {
    let machine = Board::new("purge");
    put(&machine.pki("ca.key"), "from before", 0o600).unwrap();
    put(&machine.at.join("usr/bin/portcullis"), "another", 0o755).unwrap();
    let (calls, _) = machine.run("postrm", &["purge"]);
    assert!(calls.is_empty() && machine.pki("ca.key").exists(), "{calls}");
    fs::remove_file(machine.at.join("usr/bin/portcullis")).unwrap();
    let (calls, _) = machine.run("postrm", &["purge"]);
    assert!(calls.contains("deb-systemd-helper purge"), "{calls}");
    assert!(!machine.pki("ca.key").exists());
}
