//! Every path that a file names, made absolute: through its `use` items, `self` and `super`.
//!
//! Code under `#[cfg(test)]` is left out: a test may know more than what it tests.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::HashMap;
use std::path::Path;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree};

/// A path that a file names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// Where.
    pub line: usize,
    /// From its crate on, such as `std::time::SystemTime::now` or `crate::judge::Kind`.
    pub path: Vec<String>,
}

/// What `file` names; `module` is its own path from `crate` on.
pub fn named(file: &syn::File, module: Vec<String>) -> Vec<Named> {
    let mut finder = Finder { module, imports: Vec::new(), named: Vec::new() };
    finder.enter(&file.items);
    visit::visit_file(&mut finder, file);
    finder.named
}

/// What `file` hands on under a name of its own, and what that is: `pub use` of single names.
pub fn handed_on(file: &syn::File, module: Vec<String>) -> HashMap<String, Vec<String>> {
    let mut finder = Finder { module, imports: vec![HashMap::new()], named: Vec::new() };
    for item in &file.items {
        if let Item::Use(import) = item
            && !matches!(import.vis, syn::Visibility::Inherited)
        {
            finder.learn(&import.tree, Vec::new());
        }
    }
    let below = |path: Vec<String>| match path.first() {
        Some(first) if first != "crate" => finder.module.iter().cloned().chain(path).collect(),
        _ => path,
    };
    finder.imports.pop().unwrap_or_default().into_iter().map(|(name, path)| (name, below(path))).collect()
}

/// `judge/trend.rs` is `crate::judge::trend`, `judge.rs` and `judge/mod.rs` are `crate::judge`.
pub fn module_of(inside: &Path) -> Vec<String> {
    let names = inside.with_extension("");
    let names = names.iter().map(|name| name.to_string_lossy().into_owned());
    let names = names.filter(|name| name != "mod" && name != "lib" && name != "main");
    ["crate".to_owned()].into_iter().chain(names).collect()
}

struct Finder {
    module: Vec<String>,
    /// Names brought in by `use`, innermost module last.
    imports: Vec<HashMap<String, Vec<String>>>,
    named: Vec<Named>,
}

impl Finder {
    /// Learns what the `use` items of a module bring in, which holds for all of it whatever the order.
    fn enter(&mut self, items: &[Item]) {
        self.imports.push(HashMap::new());
        for item in items {
            if let Item::Use(import) = item
                && !is_for_tests(&import.attrs)
            {
                self.learn(&import.tree, Vec::new());
            }
        }
    }

    fn learn(&mut self, tree: &UseTree, mut prefix: Vec<String>) {
        match tree {
            UseTree::Path(step) => {
                prefix.push(step.ident.to_string());
                self.learn(&step.tree, prefix);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.learn(tree, prefix.clone())),
            UseTree::Name(name) => self.bring_in(name.ident.to_string(), prefix, name.ident.to_string()),
            UseTree::Rename(rename) => {
                self.bring_in(rename.ident.to_string(), prefix, rename.rename.to_string());
            }
            UseTree::Glob(_) => {}
        }
    }

    fn bring_in(&mut self, name: String, mut path: Vec<String>, known_as: String) {
        // `use a::b::{self}` brings in `b`.
        let known_as = if name == "self" { path.last().cloned().unwrap_or(known_as) } else { known_as };
        if name != "self" {
            path.push(name);
        }
        let path = self.absolute(path);
        if let Some(scope) = self.imports.last_mut() {
            scope.insert(known_as, path);
        }
    }

    fn name(&mut self, line: usize, path: Vec<String>) {
        let path = self.absolute(path);
        self.named.push(Named { line, path });
    }

    /// The same path from its crate on.
    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let Some(first) = path.first() else { return path };
        let mut base = match first.as_str() {
            "self" | "super" => self.module.clone(),
            _ => {
                return match self.imports.last().and_then(|scope| scope.get(first)) {
                    Some(imported) => imported.iter().cloned().chain(path.into_iter().skip(1)).collect(),
                    None => path,
                };
            }
        };
        let mut rest = path.into_iter().peekable();
        while let Some(step) = rest.next_if(|step| step == "self" || step == "super") {
            if step == "super" {
                base.pop();
            }
        }
        base.into_iter().chain(rest).collect()
    }

    fn name_tree(&mut self, tree: &UseTree, mut prefix: Vec<String>) {
        match tree {
            UseTree::Path(step) => {
                prefix.push(step.ident.to_string());
                self.name_tree(&step.tree, prefix);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.name_tree(tree, prefix.clone())),
            UseTree::Name(name) => self.name_leaf(&name.ident, prefix),
            UseTree::Rename(rename) => self.name_leaf(&rename.ident, prefix),
            UseTree::Glob(glob) => {
                prefix.push("*".to_owned());
                self.name(glob.star_token.spans[0].start().line, prefix);
            }
        }
    }

    fn name_leaf(&mut self, ident: &proc_macro2::Ident, mut path: Vec<String>) {
        if ident != "self" {
            path.push(ident.to_string());
        }
        self.name(ident.span().start().line, path);
    }

    /// Paths in the arguments of a macro, which are only tokens: names joined by `::`.
    fn name_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 || path.is_empty() {
                        self.name_if_qualified(line, std::mem::take(&mut path));
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.name_if_qualified(line, std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.name_tokens(group.stream());
                    }
                }
            }
        }
        self.name_if_qualified(line, path);
    }

    fn name_if_qualified(&mut self, line: usize, path: Vec<String>) {
        if !path.is_empty() {
            self.name(line, path);
        }
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).is_some_and(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let Some((_, items)) = &module.content else { return };
        self.module.push(module.ident.to_string());
        self.enter(items);
        visit::visit_item_mod(self, module);
        self.imports.pop();
        self.module.pop();
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        // A `use` inside a function was not learnt on entering the module.
        self.learn(&import.tree, Vec::new());
        self.name_tree(&import.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.name(first.ident.span().start().line, names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.name_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

fn attributes(item: &Item) -> Option<&[Attribute]> {
    match item {
        Item::Mod(it) => Some(&it.attrs),
        Item::Fn(it) => Some(&it.attrs),
        Item::Use(it) => Some(&it.attrs),
        Item::Impl(it) => Some(&it.attrs),
        Item::Struct(it) => Some(&it.attrs),
        Item::Const(it) => Some(&it.attrs),
        _ => None,
    }
}

/// `#[cfg(test)]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

#[cfg(test)]
mod tests {
    use super::named;

    /// What a file of the module `crate::judge::trend` names, qualified paths only.
    fn paths(text: &str) -> Vec<String> {
        let module = ["crate", "judge", "trend"].map(str::to_owned).to_vec();
        let named = named(&syn::parse_file(text).unwrap(), module);
        named.iter().filter(|it| it.path.len() > 1).map(|it| it.path.join("::")).collect()
    }

    #[test]
    fn paths_are_made_absolute() {
        let rows: [(&str, &[&str]); 12] = [
            ("use std::fs;", &["std::fs"]),
            ("use std::{fs::{self, File}, io};", &["std::fs", "std::fs::File", "std::io"]),
            ("use std::time::*;", &["std::time::*"]),
            ("use super::super::source::proc;", &["crate::source::proc"]),
            ("use self::inner::X;", &["crate::judge::trend::inner::X"]),
            ("fn f() { std::fs::read(p); }", &["std::fs::read"]),
            (
                "fn f() { SystemTime::now(); } use std::time::SystemTime;",
                &["std::time::SystemTime::now", "std::time::SystemTime"],
            ),
            ("use std::time as t; fn f(x: t::Instant) {}", &["std::time", "std::time::Instant"]),
            ("fn f() { use tokio::time as t; t::sleep(1) }", &["tokio::time", "tokio::time::sleep"]),
            ("fn f() { g!(1, tracing::info(x), [a::b], c: d) }", &["tracing::info", "a::b"]),
            ("mod inner { fn f() { super::super::x::y() } }", &["crate::judge::x::y"]),
            ("fn f() { tracing::info!(\"x\") }", &["tracing::info"]),
        ];
        for (text, expected) in rows {
            assert_eq!(paths(text), expected, "{text}");
        }
    }

    #[test]
    fn tests_may_know_more() {
        let text =
            "#[cfg(test)] mod tests { use std::fs; } #[cfg(test)] use std::env; #[cfg(unix)] use std::net;";
        assert_eq!(paths(text), ["std::net"]);
    }
}
