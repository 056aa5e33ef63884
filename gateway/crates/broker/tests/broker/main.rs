//! The broker driven by scripts (`tests/scripts/*.txt`, in the words of `script`) and by the inputs
//! that fuzzing has found. Random devices drive it in `tests/simulation`.

#[cfg(test)]
#[path = "../checks/mod.rs"]
mod checks;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod drafts;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod permits;
#[cfg(test)]
mod script;
#[cfg(test)]
mod words;
