//! The files of the house, and who imports whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::paths::{Written, bare, paths};

/// `["engine", "facts"]`; empty for the crate itself.
pub(crate) type Module = Vec<String>;

/// A file of the library.
pub(crate) struct File {
    /// Below src/.
    pub(crate) path: String,
    pub(crate) module: Module,
    /// Without comments and tests.
    pub(crate) text: String,
    paths: Vec<Written>,
}

/// All of them.
pub(crate) struct House {
    files: BTreeMap<Module, File>,
}

impl House {
    /// The house below this folder. `main.rs` imports everything and nobody imports it; `lib.rs` only says what
    /// rooms there are.
    pub(crate) fn read(source: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![source.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder of src").map(|entry| entry.expect("an entry"))
            {
                let path = entry.path();
                let name = path.strip_prefix(source).expect("below src").display().to_string();
                if path.is_dir() {
                    folders.push(path);
                } else if name.ends_with(".rs") && !["main.rs", "lib.rs"].contains(&name.as_str()) {
                    files.push((name, fs::read_to_string(&path).expect("a text")));
                }
            }
        }
        Self::of(files.iter().map(|(name, text)| (name.as_str(), text.as_str())))
    }

    /// The house of these files.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let roots: Vec<String> =
            ["crate", "super", "std"].into_iter().map(str::to_owned).chain(dependencies()).collect();
        let files = files.into_iter().filter(|(path, _)| !path.ends_with("_tests.rs")).map(|(path, text)| {
            let stem = path.trim_end_matches(".rs");
            let stem = stem.strip_suffix("/mod").unwrap_or(stem);
            let module: Module = stem.split('/').map(str::to_owned).collect();
            let text = bare(text);
            let paths = paths(&text, &roots);
            (module.clone(), File { path: path.to_owned(), module, text, paths })
        });
        Self { files: files.collect() }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    /// The files of the house that this one imports.
    pub(crate) fn imports(&self, file: &File) -> Vec<Module> {
        let targets: BTreeSet<Module> = file
            .paths
            .iter()
            .filter_map(|path| self.absolute(file, path))
            .map(|path| self.origin(&path))
            .collect();
        targets.into_iter().filter(|target| *target != file.module).collect()
    }

    /// What it imports from elsewhere.
    pub(crate) fn foreign<'a>(&'a self, file: &'a File) -> Vec<&'a Written> {
        file.paths.iter().filter(|path| self.absolute(file, path).is_none() && !is_local(path)).collect()
    }

    /// A text for each set of units that import each other in a circle, with the files that do. Files whose unit is
    /// `None` do not count.
    pub(crate) fn circles(&self, unit: impl Fn(&[String]) -> Option<String>) -> Vec<String> {
        let mut arrows = Arrows::new();
        for file in self.files() {
            let Some(from) = unit(&file.module) else { continue };
            for to in self.imports(file).iter().filter_map(|target| unit(target)).filter(|to| *to != from) {
                arrows.entry(from.clone()).or_default().entry(to).or_default().insert(&file.path);
            }
        }
        let reached: BTreeMap<&String, BTreeSet<&String>> =
            arrows.keys().map(|from| (from, reach(&arrows, from))).collect();
        let meet = |a: &String, b: &String| {
            let to = |a, b| reached.get(a).is_some_and(|seen| seen.contains(b));
            to(a, b) && to(b, a)
        };
        let mut circles: BTreeMap<&String, String> = BTreeMap::new();
        for (from, targets) in &arrows {
            let Some(first) = reached.keys().find(|other| meet(from, other)) else { continue };
            for (to, files) in targets.iter().filter(|(to, _)| meet(from, to)) {
                let files: Vec<&str> = files.iter().copied().collect();
                *circles.entry(first).or_default() += &format!("{from} -> {to}, by {}\n", files.join(", "));
            }
        }
        circles.into_values().collect()
    }

    /// From the crate on; `None` if it leads out of it.
    fn absolute(&self, file: &File, path: &Written) -> Option<Written> {
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([&file.module, &path[1..]].concat()),
            "super" => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                let above = file.module.len().saturating_sub(ups);
                Some([&file.module[..above], &path[ups..]].concat())
            }
            _ => {
                let path = [&file.module[..], path].concat();
                self.files.contains_key(&path[..=file.module.len()]).then_some(path)
            }
        }
    }

    /// The file that a path leads to: the longest part of it that is a module, or whoever hands the name to that.
    fn origin(&self, path: &[String]) -> Module {
        let length = (0..=path.len()).rev().find(|length| self.files.contains_key(&path[..*length]));
        let (module, rest) = path.split_at(length.unwrap_or(path.len().min(1)));
        let handed_on = self.files.get(module).zip(rest.first()).and_then(|(file, name)| {
            let from =
                file.paths.iter().find(|p| p.last() == Some(name) && p.len() > 1 && p[0] != "crate")?;
            self.absolute(file, from)
                .filter(|from| from.len() > module.len() && from[..module.len()] == *module)
        });
        match handed_on {
            Some(from) if from != path => self.origin(&from),
            _ => module.to_vec(),
        }
    }
}

/// Whom a unit imports, and the files that do.
type Arrows<'a> = BTreeMap<String, BTreeMap<String, BTreeSet<&'a str>>>;

/// Every unit that the arrows lead to from this one.
fn reach<'a>(arrows: &'a Arrows<'_>, start: &'a String) -> BTreeSet<&'a String> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
    while let Some(at) = next.pop() {
        next.extend(arrows.get(at).into_iter().flat_map(BTreeMap::keys).filter(|to| seen.insert(*to)));
    }
    seen
}

/// `Self::X`, or an enumeration's variants: a `use` within a function.
fn is_local(path: &Written) -> bool {
    path.first().is_none_or(|first| first.chars().next().is_none_or(char::is_uppercase))
}

/// The names of the packages that Cargo.toml names, as code writes them.
fn dependencies() -> impl Iterator<Item = String> {
    let manifest = include_str!("../../Cargo.toml").split("[dependencies]").nth(1).unwrap_or_default();
    let section = manifest.split("\n[").next().unwrap_or_default();
    section.lines().filter_map(|line| Some(line.split_once('=')?.0.trim().replace('-', "_")))
}
