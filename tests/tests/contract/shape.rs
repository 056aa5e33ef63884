//! What an item of the contract is, and which changes of it break a component that was built before.

/// Names with their types, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Members(pub(crate) Vec<(String, Option<String>)>);

/// What an item is. Types are named by where they are defined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Interface,
    /// Parameters and result.
    Function(Vec<(String, String)>, Option<String>),
    Record(Members),
    Variant(Members),
    Enum(Members),
    Flags(Members),
    Resource,
    Alias(String),
    /// Imports and exports.
    World(Vec<String>, Vec<String>),
}

impl Shape {
    /// What of it is not as it was; nothing where nothing that matters has changed. `path` is the item's.
    pub(crate) fn broken_by(&self, now: &Self, path: &str) -> Option<String> {
        if self == now {
            return None;
        }
        let sentence = match (self, now) {
            (Self::Function(..), Self::Function(..)) => format!(
                "was {self}, is {now}; a signature is final: leave it and add a function beside it",
                self = self.signature(),
                now = now.signature()
            ),
            (Self::Record(was), Self::Record(is)) => format!(
                "{}; a record is final: put what is new behind a getter of `connection`, or give it to a new \
                 function",
                was.difference(is, "field")
            ),
            (Self::Variant(was), Self::Variant(is)) | (Self::Enum(was), Self::Enum(is)) => format!(
                "{}; cases are final: say it with the case `other` where there is one, or answer it from a new \
                 function",
                was.difference(is, "case")
            ),
            (Self::Flags(was), Self::Flags(is)) => {
                format!("{}; flags are final: make a new type", was.difference(is, "flag"))
            }
            (Self::Alias(was), Self::Alias(is)) => {
                format!("was {was}, is {is}; a type is final: give the new one another name")
            }
            (Self::World(..), Self::World(..)) => return self.world_broken_by(now, path),
            _ => format!(
                "is another kind of item than it was: give the new one another name ({self:?})"
            ),
        };
        Some(sentence)
    }

    /// A world that extensions are built for asks for what it asked for and offers what it offered; `everything` is what
    /// the gateway has, which grows.
    fn world_broken_by(&self, now: &Self, path: &str) -> Option<String> {
        let (Self::World(imports, exports), Self::World(imports_now, exports_now)) = (self, now)
        else {
            return None;
        };
        let may_grow = path.ends_with("/world everything") || path.ends_with("/world services");
        for (was, is, what) in
            [(imports, imports_now, "imports"), (exports, exports_now, "exports")]
        {
            if let Some(gone) = was.iter().find(|name| !is.contains(name)) {
                return Some(format!(
                    "no longer {what} {gone}; whoever builds for this world would miss it: put it back"
                ));
            }
            if let Some(new) = grows(was, is).filter(|_| !may_grow) {
                return Some(format!(
                    "{what} {new} now, which it did not; toolchains that take all of a world would ask for it, and \
                     an operator would have to grant it: make another world, or add it to `services`"
                ));
            }
        }
        None
    }

    fn signature(&self) -> String {
        let Self::Function(parameters, result) = self else { return String::new() };
        let parameters: Vec<_> =
            parameters.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        let result = result.as_ref().map(|ty| format!(" -> {ty}")).unwrap_or_default();
        format!("func({}){result}", parameters.join(", "))
    }
}

/// The first that is new.
fn grows<'a>(was: &[String], is: &'a [String]) -> Option<&'a String> {
    is.iter().find(|name| !was.contains(name))
}

impl Members {
    /// The first difference, in words.
    fn difference(&self, now: &Self, noun: &str) -> String {
        let names =
            |members: &Self| members.0.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let (was, is) = (names(self), names(now));
        if let Some(gone) = was.iter().find(|name| !is.contains(name)) {
            return format!("the {noun} `{gone}` is gone");
        }
        if let Some(new) = is.iter().find(|name| !was.contains(name)) {
            return format!("the {noun} `{new}` is new");
        }
        if was != is {
            return format!("the order of its {noun}s has changed");
        }
        let changed = self.0.iter().zip(&now.0).find(|(was, is)| was != is);
        let of = |ty: &Option<String>| ty.clone().unwrap_or_else(|| "nothing".to_owned());
        changed.map_or_else(
            || "nothing has changed".to_owned(),
            |((name, was), (_, is))| format!("the {noun} `{name}` was {}, is {}", of(was), of(is)),
        )
    }
}
