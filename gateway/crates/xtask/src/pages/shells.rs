use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Usage;

/// Completion for bash.
pub(super) fn bash(usage: &Usage) -> String {
    let mut text = String::from(
        "# Completion of portcullis(1) for bash.\n\
         _portcullis() {\n\
         \x20   local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at='' next='' word\n\
         \x20   for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\
         \x20       [[ $word == -* ]] || at+=\" $word\"\n\
         \x20   done\n\
         \x20   case $prev in\n",
    );
    for (option, words) in usage.choices() {
        let _ = writeln!(
            text,
            "    {option}) mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\"); return ;;",
            joined(&words)
        );
    }
    text.push_str("    esac\n    case \"$at \" in\n");
    text.push_str(&cases(usage, |words| format!("next='{words}'")));
    text.push_str(
        "    esac\n\
         \x20   mapfile -t COMPREPLY < <(compgen -W \"$next\" -- \"$cur\")\n\
         \x20   ((${#COMPREPLY[@]})) || mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\
         }\n\
         complete -o filenames -F _portcullis portcullis\n",
    );
    text
}

/// Completion for zsh.
pub(super) fn zsh(usage: &Usage) -> String {
    let mut text = String::from(
        "#compdef portcullis\n\
         # Completion of portcullis(1) for zsh.\n\
         local at='' word\n\
         local -a next\n\
         for word in \"${(@)words[2,CURRENT-1]}\"; do\n\
         \x20   [[ $word == -* ]] || at+=\" $word\"\n\
         done\n\
         case ${words[CURRENT-1]} in\n",
    );
    for (option, words) in usage.choices() {
        let _ = writeln!(text, "    {option}) compadd -- {}; return ;;", joined(&words));
    }
    text.push_str("esac\ncase \"$at \" in\n");
    text.push_str(&cases(usage, |words| format!("next=({words})")));
    text.push_str("esac\ncompadd -- $next || _files\n");
    text
}

/// Completion for fish.
pub(super) fn fish(usage: &Usage) -> String {
    let mut text = String::from(
        "# Completion of portcullis(1) for fish.\n\
         function __portcullis_next\n\
         \x20   set -l at (string join ' ' -- '' (string match -v -- '-*' (commandline -opc)[2..-1]))\n\
         \x20   switch \"$at \"\n",
    );
    let choices = usage.choices();
    for (path, words) in known(usage) {
        let _ = writeln!(text, "        case '{path}*'\n            string split ' ' -- '{words}'");
    }
    text.push_str("    end\nend\ncomplete -c portcullis -a '(__portcullis_next)'\n");
    for (option, words) in choices {
        let option = option.trim_start_matches('-');
        let _ = writeln!(text, "complete -c portcullis -l {option} -x -a '{}'", joined(&words));
    }
    text
}

/// The branches of `case`, the longest paths first, as the first that fits counts.
fn cases(usage: &Usage, then: impl Fn(&str) -> String) -> String {
    let branch = |(path, words): (String, String)| {
        format!("    {}*) {} ;;\n", path.replace(' ', "\\ "), then(&words))
    };
    known(usage).into_iter().map(branch).collect()
}

/// Each path with a blank around each word, and what may follow it.
fn known(usage: &Usage) -> Vec<(String, String)> {
    let known = usage.tree().into_iter().map(|(path, next)| {
        let path = path.iter().fold(" ".to_owned(), |path, word| format!("{path}{word} "));
        (path, joined(&next.words.union(&next.options).cloned().collect()))
    });
    let mut known: Vec<_> = known.collect();
    known.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    known
}

fn joined(words: &BTreeSet<String>) -> String {
    words.iter().cloned().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::usage::tests::sample;
    use super::*;

    /// What bash offers behind a line.
    fn offered(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!(
            "complete() {{ :; }}\n{}\nCOMP_WORDS=({})\nCOMP_CWORD={}\n_portcullis\necho \"${{COMPREPLY[*]}}\"",
            bash(&sample()),
            words.join(" "),
            words.len() - 1
        );
        let out = Command::new("bash").arg("-c").arg(script).output().unwrap();
        assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    #[test]
    fn bash_offers_what_may_follow() {
        assert_eq!(offered("portcullis "), "cert explain reload run");
        assert_eq!(offered("portcullis r"), "reload run");
        assert_eq!(offered("portcullis cert c"), "ca client");
        assert_eq!(offered("portcullis run --"), "--config");
        assert_eq!(offered("portcullis reload acl --mode "), "shadow trial");
        assert_eq!(offered("portcullis reload acl --s"), "--share");
    }

    #[test]
    fn others_have_the_same_paths() {
        let usage = sample();
        let (zsh, fish) = (zsh(&usage), fish(&usage));
        assert!(zsh.contains("    \\ cert\\ *) next=(ca client) ;;\n"), "{zsh}");
        assert!(
            fish.contains("case ' cert *'\n            string split ' ' -- 'ca client'"),
            "{fish}"
        );
        assert!(fish.contains("-l mode -x -a 'shadow trial'"), "{fish}");
    }
}
