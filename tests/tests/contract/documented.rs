//! Every item of the contract says what it is for: an author reads it in the documentation that a toolchain makes of it.

use std::fs;

use wit_parser::{Docs, Resolve, Type, TypeDefKind};

use crate::wit;

/// The items without a doc comment, by their paths.
fn undocumented(host: &str, gateway: &str) -> Vec<String> {
    let mut resolve = Resolve::default();
    resolve.push_str("host.wit", host).unwrap_or_else(|e| panic!("host.wit: {e:#}"));
    resolve.push_str("gateway.wit", gateway).unwrap_or_else(|e| panic!("gateway.wit: {e:#}"));
    let mut bare = Vec::new();
    let mut note = |path: String, docs: &Docs| {
        if docs.contents.as_deref().is_none_or(|text| text.trim().is_empty()) {
            bare.push(path);
        }
    };
    for (_, interface) in resolve.interfaces.iter() {
        let path = interface.name.as_deref().expect("an interface has a name");
        note(path.to_owned(), &interface.docs);
        for (name, function) in &interface.functions {
            note(format!("{path}.{name}"), &function.docs);
        }
        for (name, id) in &interface.types {
            let (ty, path) = (&resolve.types[*id], format!("{path}.{name}"));
            // What `use` brings in is documented where it is from.
            if !matches!(ty.kind, TypeDefKind::Type(Type::Id(_))) {
                note(path.clone(), &ty.docs);
            }
            for (member, docs) in members(&ty.kind) {
                note(format!("{path}.{member}"), docs);
            }
        }
    }
    for (_, world) in resolve.worlds.iter() {
        note(format!("world {}", world.name), &world.docs);
    }
    bare
}

/// Fields, cases and flags.
fn members(kind: &TypeDefKind) -> Vec<(&str, &Docs)> {
    match kind {
        TypeDefKind::Record(all) => all.fields.iter().map(|it| (&*it.name, &it.docs)).collect(),
        TypeDefKind::Variant(all) => all.cases.iter().map(|it| (&*it.name, &it.docs)).collect(),
        TypeDefKind::Enum(all) => all.cases.iter().map(|it| (&*it.name, &it.docs)).collect(),
        TypeDefKind::Flags(all) => all.flags.iter().map(|it| (&*it.name, &it.docs)).collect(),
        _ => Vec::new(),
    }
}

fn text(file: &str) -> String {
    let path = wit().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_item_says_what_it_is_for() {
    let bare = undocumented(&text("deps/portcullis-host/host.wit"), &text("gateway.wit"));
    assert!(bare.is_empty(), "put `///` above each of these in wit/:\n{}", bare.join("\n"));
}

#[test]
fn what_says_nothing_is_found() {
    let host = "/// A package.\npackage portcullis:host@0.1.0;\ninterface bare {\n  mute: func();\n\
        /// Said.\n  told: func();\n  /// Said.\n  record pair { a: u8,\n /// Said.\n b: u8 }\n\
        enum few { one }\n  flags many { on }\n  variant some { it(u8) }\n  resource thing { get: func(); }\n}\n\
        world empty {}\n";
    let gateway = "package portcullis:gateway@0.1.0;\n/// Said.\ninterface types { use portcullis:host/bare@0.1.0.{pair}; }\n";
    let mut bare = undocumented(host, gateway);
    bare.sort();
    let expected = [
        "bare",
        "bare.[method]thing.get",
        "bare.few",
        "bare.few.one",
        "bare.many",
        "bare.many.on",
        "bare.mute",
        "bare.pair.a",
        "bare.some",
        "bare.some.it",
        "bare.thing",
        "world empty",
    ];
    assert_eq!(bare, expected);
}
