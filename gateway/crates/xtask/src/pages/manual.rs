use std::fmt::Write as _;

use super::Usage;

/// `portcullis(1)`.
pub(super) fn page(usage: &Usage, version: &str, date: &str) -> String {
    let mut text = format!(
        ".TH PORTCULLIS 1 \"{date}\" \"portcullis {version}\" \"User Commands\"\n\
         .SH NAME\nportcullis \\- MQTT gateway whose decisions are made by WebAssembly extensions\n\
         .SH SYNOPSIS\n.B portcullis\n.I COMMAND\n.RI [ ARGUMENTS ]\n\
         .SH COMMANDS\n"
    );
    for entry in &usage.entries {
        for (number, call) in entry.calls.iter().enumerate() {
            let macro_name = if number == 0 { ".TP" } else { ".TQ" };
            // Writing to a text does not fail.
            let _ = writeln!(text, "{macro_name}\n.B {}", escaped(call));
        }
        let _ = writeln!(text, "{}", escaped(&entry.about));
    }
    text.push_str(".SH NOTES\n");
    for remark in &usage.remarks {
        let _ = writeln!(text, ".PP\n{}", escaped(remark));
    }
    text.push_str(
        ".SH EXIT STATUS\n0 where it was done, 1 where it was not, 2 where the command line makes no sense; some \
         commands say more above.\n\
         .SH ENVIRONMENT\n.TP\n.BR NOTIFY_SOCKET \", \" WATCHDOG_USEC\nwhere \\fBrun\\fR says that it serves, reloads, stops and \
         lives.\n.TP\n.B LISTEN_FDS\nsockets for listeners with bind = \"systemd:NAME\".\n.TP\n.B CREDENTIALS_DIRECTORY\n\
         where files are whose path in the configuration is credential:NAME.\n\
         .SH FILES\n.TP\n.I /etc/portcullis/gateway.toml\nthe configuration.\n.TP\n.I /var/lib/portcullis\n\
         what the gateway keeps: nothing else is written.\n\
         .SH SEE ALSO\n.BR systemctl (1),\n.BR mosquitto_pub (1)\n",
    );
    text
}

/// A line begins with no control character, and hyphens are those that can be typed.
fn escaped(text: &str) -> String {
    let text =
        text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::usage::tests::sample;
    use super::*;

    #[test]
    fn every_call_and_remark_is_there() {
        let page = page(&sample(), "1.2", "2026-01-01");
        for line in [
            ".B portcullis run \\-\\-config FILE",
            ".TQ\n.B portcullis explain \\-\\-connect FILE [ACT...] GATEWAY",
            "certificates; \\(gaportcullis cert help\\(ga",
            ".PP\nSignals are for others.",
        ] {
            assert!(page.contains(&format!("{line}\n")), "{line}\n{page}");
        }
        assert!(
            page.lines().all(|line| !line.starts_with('\'')),
            "no line is a request by mistake"
        );
    }
}
