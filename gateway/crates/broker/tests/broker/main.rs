//! The broker driven as a value: by scripts (`tests/scripts/*.txt`, in the words of
//! `script`) and by random devices (`simulation`).

#[cfg(test)]
#[path = "../checks/mod.rs"]
mod checks;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod device;
#[cfg(test)]
mod model;
#[cfg(test)]
mod script;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod words;
#[cfg(test)]
mod world;
