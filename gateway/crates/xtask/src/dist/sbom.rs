//! What a release is made of, in CycloneDX 1.5 (JSON).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::command::{cargo, output};
use crate::failure::Failure;

/// A package of cargo and a version of it.
pub(crate) type Id = (String, String);

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    licence: String,
    /// Whether its sources are this repository's.
    is_ours: bool,
    /// SHA-256 of its sources as they came, or of what was built of it.
    sha256: Option<String>,
    needs: BTreeSet<Id>,
}

/// Packages, with those that they need.
#[derive(Debug, Default)]
pub(crate) struct Parts(BTreeMap<Id, Part>);

/// What cargo is to tell of a package.
const FORMAT: &str = "{p}\t{l}";

impl Parts {
    /// Adds the package and everything that is linked with it: not what only its build runs. `choice` selects target and
    /// features. What the package became has this hash.
    pub(crate) fn add(
        &mut self,
        workspace: &Path,
        package: &str,
        choice: &[&str],
        sha256: &str,
    ) -> Result<Id, Failure> {
        let mut tree = cargo();
        tree.current_dir(workspace).args(["tree", "--locked", "--package", package]).args(choice);
        tree.args(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", FORMAT]);
        let own = self.read(&output(&mut tree)?).ok_or_else(|| {
            Failure::Other(format!("cargo tree says nothing of {package} that is known here"))
        })?;
        let lock = workspace.join("Cargo.lock");
        let sums = fs::read_to_string(&lock).map_err(Failure::file("read", &lock))?;
        for (id, sum) in checksums(&sums) {
            if let Some(part) = self.0.get_mut(&id) {
                part.sha256 = Some(sum);
            }
        }
        if let Some(part) = self.0.get_mut(&own) {
            part.sha256 = Some(sha256.to_owned());
        }
        Ok(own)
    }

    /// Reads a tree in which each line begins with its depth; the answer is its root.
    fn read(&mut self, tree: &str) -> Option<Id> {
        let mut above: Vec<Id> = Vec::new();
        for line in tree.lines().filter(|line| !line.is_empty()) {
            let digits = line.find(|c: char| !c.is_ascii_digit())?;
            let (depth, rest) = line.split_at(digits);
            let (package, licence) = rest.split_once('\t')?;
            let mut words = package.split(' ');
            let id = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
            above.truncate(depth.parse().ok()?);
            if let Some(part) = above.last().and_then(|parent| self.0.get_mut(parent)) {
                part.needs.insert(id.clone());
            }
            let part = self.0.entry(id.clone()).or_default();
            // What was shown before ends with a mark.
            part.licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
            part.is_ours = words.any(|word| word.starts_with("(/"));
            above.push(id);
        }
        above.into_iter().next()
    }

    /// Adds something that is linked with another part and is no package of cargo.
    pub(crate) fn add_beside(&mut self, of: &Id, name: &str, version: &str, licence: &str) {
        let id = (name.to_owned(), version.to_owned());
        let part = Part { licence: licence.to_owned(), is_ours: true, ..Part::default() };
        self.0.insert(id.clone(), part);
        if let Some(part) = self.0.get_mut(of) {
            part.needs.insert(id);
        }
    }

    /// The document about what has this name and version and consists of `roots`; `properties` are pairs of a name and
    /// what it is.
    pub(crate) fn document(
        &self,
        (name, version): (&str, &str),
        roots: &[Id],
        properties: &[(&str, &str)],
    ) -> Value {
        let whole = format!("{name}@{version}");
        let refs = |ids: &mut dyn Iterator<Item = &Id>| {
            ids.map(|id| Value::from(self.purl(id))).collect::<Vec<_>>()
        };
        let mut dependencies = vec![json!({"ref": whole, "dependsOn": refs(&mut roots.iter())})];
        dependencies.extend(self.0.iter().map(
            |(id, part)| json!({"ref": self.purl(id), "dependsOn": refs(&mut part.needs.iter())}),
        ));
        let properties: Vec<_> = properties
            .iter()
            .map(|(name, value)| json!({"name": format!("portcullis:{name}"), "value": value}))
            .collect();
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application", "bom-ref": whole, "name": name, "version": version,
                    "licenses": [{"expression": "MIT OR Apache-2.0"}],
                },
                "properties": properties,
            },
            "components": self.0.iter().map(|(id, part)| self.component(id, part)).collect::<Vec<_>>(),
            "dependencies": dependencies,
        })
    }

    fn component(&self, id: &Id, part: &Part) -> Value {
        let (name, version) = id;
        let purl = self.purl(id);
        let mut component = json!({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "licenses": [{"expression": part.licence}],
        });
        if let (Some(sum), Some(fields)) = (&part.sha256, component.as_object_mut()) {
            fields.insert("hashes".to_owned(), json!([{"alg": "SHA-256", "content": sum}]));
        }
        component
    }

    /// What is not in the registry of crates is not to be looked for there.
    fn purl(&self, id: &Id) -> String {
        let is_ours = self.0.get(id).is_some_and(|part| part.is_ours);
        let (name, version) = id;
        // `+` means a space in some readings of a URL.
        let version = version.replace('+', "%2B");
        format!("pkg:{}/{name}@{version}", if is_ours { "generic" } else { "cargo" })
    }
}

/// The checksums in a lock file.
fn checksums(lock: &str) -> Vec<(Id, String)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
    };
    let sum = |block: &str| {
        let id = (field(block, "name")?, field(block, "version")?);
        Some((id, field(block, "checksum")?))
    };
    lock.split("[[package]]").filter_map(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
0portcullis v0.1.0 (/src/gateway)\tMIT OR Apache-2.0
1argon2 v0.5.3\tMIT/Apache-2.0
2blake2 v0.10.6\tMIT
1portcullis-auth v0.1.0 (/src/gateway/crates/auth)\tMIT OR Apache-2.0
2argon2 v0.5.3\tMIT/Apache-2.0 (*)
2ring v0.17.14+x\tISC
";

    const LOCK: &str = "\
[[package]]
name = \"portcullis\"
version = \"0.1.0\"

[[package]]
name = \"argon2\"
version = \"0.5.3\"
source = \"registry\"
checksum = \"3c36\"
";

    fn id(name: &str, version: &str) -> Id {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn a_tree_is_read() {
        let mut parts = Parts::default();
        assert_eq!(parts.read(TREE), Some(id("portcullis", "0.1.0")));
        assert_eq!(parts.0.len(), 5);
        let auth = &parts.0[&id("portcullis-auth", "0.1.0")];
        assert_eq!(auth.needs, [id("argon2", "0.5.3"), id("ring", "0.17.14+x")].into());
        assert!(auth.is_ours);
        let argon2 = &parts.0[&id("argon2", "0.5.3")];
        assert_eq!(argon2.licence, "MIT OR Apache-2.0");
        assert_eq!((argon2.is_ours, &argon2.needs), (false, &[id("blake2", "0.10.6")].into()));
        assert_eq!(Parts::default().read("no tree"), None);
    }

    #[test]
    fn what_is_linked_is_listed_with_licence_and_hash_and_what_only_builds_is_not() {
        let root = crate::root::Root::find();
        let mut parts = Parts::default();
        let choice = ["--target", "aarch64-unknown-linux-gnu"];
        let own = parts.add(root.path(), "portcullis", &choice, "00ff").unwrap();
        assert_eq!(parts.0[&own].sha256.as_deref(), Some("00ff"));
        let names: BTreeSet<_> = parts.0.keys().map(|(name, _)| name.as_str()).collect();
        for linked in ["sled", "ring", "rustls", "wasmtime", "portcullis-broker"] {
            assert!(names.contains(linked), "{linked}");
        }
        for other in ["proptest", "serde_derive", "cc", "portcullis-xtask"] {
            assert!(!names.contains(other), "{other}");
        }
        for (id, part) in &parts.0 {
            assert!(!part.licence.is_empty(), "{id:?} has no licence");
            let is_whole = part.sha256.as_ref().is_some_and(|sum| sum.len() == 64);
            assert!(part.is_ours || is_whole, "{id:?} has no hash");
        }
    }

    #[test]
    fn checksums_are_those_of_others() {
        assert_eq!(checksums(LOCK), [(id("argon2", "0.5.3"), "3c36".to_owned())]);
    }

    #[test]
    fn a_document_names_what_it_refers_to() {
        let mut parts = Parts::default();
        let root = parts.read(TREE).unwrap();
        parts.add_beside(&root, "rust-std", "1.96.0", "MIT OR Apache-2.0");
        let document = parts.document(("portcullis", "0.1.0"), &[root], &[("target", "here")]);
        let texts = |list: &Value, name: &str| {
            let list = list.as_array().unwrap();
            list.iter().map(|it| it[name].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
        };
        let there = texts(&document["components"], "bom-ref");
        assert!(there.contains("pkg:cargo/ring@0.17.14%2Bx"), "{there:?}");
        assert!(there.contains("pkg:generic/rust-std@1.96.0"), "{there:?}");
        for dependency in document["dependencies"].as_array().unwrap() {
            for to in dependency["dependsOn"].as_array().unwrap() {
                assert!(there.contains(to.as_str().unwrap()), "{to}");
            }
        }
    }
}
