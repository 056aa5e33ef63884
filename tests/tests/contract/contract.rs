//! The contract as a list of named items.

use std::collections::BTreeMap;

use wit_parser::{InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldItem};

use crate::shape::{Members, Shape};

/// All items of both packages.
pub(crate) struct Contract {
    /// Of both packages.
    pub(crate) version: String,
    /// By path: `portcullis:gateway/types.client`; a world as `portcullis:gateway/world full`.
    pub(crate) items: BTreeMap<String, Shape>,
}

impl Contract {
    pub(crate) fn parse(host: &str, gateway: &str) -> Self {
        let mut resolve = Resolve::default();
        resolve.push_str("host.wit", host).unwrap_or_else(|e| panic!("host.wit: {e:#}"));
        resolve.push_str("gateway.wit", gateway).unwrap_or_else(|e| panic!("gateway.wit: {e:#}"));
        let mut versions = resolve.packages.iter().map(|(_, package)| {
            package.name.version.as_ref().expect("a package has a version").to_string()
        });
        let version = versions.next().expect("there are packages");
        assert!(versions.all(|other| other == version), "both packages have one version");
        let reader = Reader(&resolve);
        let mut items = BTreeMap::new();
        for (id, interface) in resolve.interfaces.iter() {
            let path = reader.interface(id);
            items.insert(path.clone(), Shape::Interface);
            for (name, ty) in &interface.types {
                items.insert(format!("{path}.{name}"), reader.definition(*ty));
            }
            for (name, function) in &interface.functions {
                let parameters = function.params.iter();
                let parameters = parameters.map(|p| (p.name.clone(), reader.ty(&p.ty))).collect();
                let result = function.result.as_ref().map(|ty| reader.ty(ty));
                items.insert(format!("{path}.{name}"), Shape::Function(parameters, result));
            }
        }
        for (_, world) in resolve.worlds.iter() {
            let package = world.package.expect("a world is in a package");
            let name = &resolve.packages[package].name;
            let path = format!("{}:{}/world {}", name.namespace, name.name, world.name);
            let named = |item: &WorldItem| match item {
                WorldItem::Interface { id, .. } => reader.interface(*id),
                other => panic!("{path}: {other:?} is no interface; a world has nothing else"),
            };
            let imports = world.imports.values().map(named).collect();
            items.insert(
                path.clone(),
                Shape::World(imports, world.exports.values().map(named).collect()),
            );
        }
        Self { version, items }
    }

    /// What versions of one line have in common.
    pub(crate) fn line(&self) -> &str {
        let major = self.version.find('.').unwrap_or_default();
        let minor = self.version[major + 1..].find('.').unwrap_or_default();
        if self.version.starts_with("0.") {
            &self.version[..major + 1 + minor]
        } else {
            &self.version[..major]
        }
    }
}

struct Reader<'a>(&'a Resolve);

impl Reader<'_> {
    /// Without the version, which grows.
    fn interface(&self, id: InterfaceId) -> String {
        let interface = &self.0.interfaces[id];
        let package = &self.0.packages[interface.package.expect("an interface is in a package")];
        let name = interface.name.as_deref().expect("an interface has a name");
        format!("{}:{}/{name}", package.name.namespace, package.name.name)
    }

    fn definition(&self, id: TypeId) -> Shape {
        let members = |all: Vec<(String, Option<String>)>| Members(all);
        match &self.0.types[id].kind {
            TypeDefKind::Record(record) => Shape::Record(members(
                record.fields.iter().map(|f| (f.name.clone(), Some(self.ty(&f.ty)))).collect(),
            )),
            TypeDefKind::Variant(variant) => Shape::Variant(members(
                variant
                    .cases
                    .iter()
                    .map(|c| (c.name.clone(), c.ty.as_ref().map(|ty| self.ty(ty))))
                    .collect(),
            )),
            TypeDefKind::Enum(all) => {
                Shape::Enum(members(all.cases.iter().map(|c| (c.name.clone(), None)).collect()))
            }
            TypeDefKind::Flags(all) => {
                Shape::Flags(members(all.flags.iter().map(|f| (f.name.clone(), None)).collect()))
            }
            TypeDefKind::Resource => Shape::Resource,
            // What `use` brings in is another name for the same.
            TypeDefKind::Type(ty) => Shape::Alias(self.ty(ty)),
            kind => Shape::Alias(self.kind(kind)),
        }
    }

    fn ty(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
        let definition = &self.0.types[*id];
        match (&definition.name, &definition.kind, definition.owner) {
            // Another interface's type under a name of this one.
            (Some(_), TypeDefKind::Type(inner @ Type::Id(_)), _) => self.ty(inner),
            (Some(name), _, TypeOwner::Interface(interface)) => {
                format!("{}.{name}", self.interface(interface))
            }
            (_, kind, _) => self.kind(kind),
        }
    }

    fn kind(&self, kind: &TypeDefKind) -> String {
        let or_none = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| self.ty(ty));
        match kind {
            TypeDefKind::Option(ty) => format!("option<{}>", self.ty(ty)),
            TypeDefKind::List(ty) => format!("list<{}>", self.ty(ty)),
            TypeDefKind::Result(result) => {
                format!("result<{}, {}>", or_none(&result.ok), or_none(&result.err))
            }
            TypeDefKind::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(|ty| self.ty(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            TypeDefKind::Handle(wit_parser::Handle::Borrow(id)) => {
                format!("borrow<{}>", self.ty(&Type::Id(*id)))
            }
            TypeDefKind::Handle(wit_parser::Handle::Own(id)) => {
                format!("own<{}>", self.ty(&Type::Id(*id)))
            }
            TypeDefKind::Type(ty) => self.ty(ty),
            other => {
                panic!("{} is not used in the contract: not every toolchain has it", other.as_str())
            }
        }
    }
}
