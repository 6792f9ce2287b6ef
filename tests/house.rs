//! The house rules that Cargo and clippy cannot enforce, read from the sources.
//!
//! The tables in `src/lib.rs` and `core/src/lib.rs` are the rules for imports; this test reads them and the sources'
//! tokens. What stands under `#[cfg(test)]` is not held to the import rules: a test may build what it needs.

#![allow(clippy::unwrap_used, reason = "clippy takes what tests share for code that ships")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const MAPS: [&str; 2] = ["src/lib.rs", "core/src/lib.rs"];
const LONGEST_FILE: usize = 450;
const LONGEST_MAP: usize = 60;

// === the sources ===

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every Rust file below a folder, as paths from the root.
fn rust_files(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                files.push(entry.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "{folder} has no Rust files");
    files
}

/// The Rust files below a folder without those that a `#[cfg(test)] mod name;` brings in.
fn shipped_files(folder: &str) -> Vec<String> {
    let mut files = rust_files(folder);
    let tests: Vec<String> = files.iter().flat_map(|file| test_modules(file)).collect();
    files.retain(|file| {
        let of = |module: &String| file.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
        !tests.iter().any(of)
    });
    files
}

/// The modules in files of their own that a file declares under `#[cfg(test)]`, as paths without `.rs`.
fn test_modules(file: &str) -> Vec<String> {
    let path = Path::new(file).with_extension("");
    let stem = path.file_name().unwrap();
    let folder = if stem == "mod" || stem == "lib" || stem == "main" { path.parent().unwrap() } else { &path };
    let text = read(file);
    let declared = text.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let name = after.trim_start().strip_prefix("mod ")?.split_once(';')?.0;
        Some(folder.join(name).to_str().unwrap().to_owned()).filter(|_| !name.contains(['{', ' ']))
    });
    declared.collect()
}

fn tokens(path: &str) -> Vec<TokenTree> {
    let stream: TokenStream = read(path).parse().unwrap_or_else(|e| panic!("{path}: {e}"));
    without_tests(stream)
}

/// The tokens without what is under `#[cfg(test)]`, and without attributes (doc comments are attributes, too).
fn without_tests(stream: TokenStream) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut skipping = false;
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        if is_punct(&tree, '#') {
            if trees.peek().is_some_and(|next| is_punct(next, '!')) {
                trees.next();
            }
            if let Some(TokenTree::Group(attribute)) = trees.next() {
                skipping |= attribute.stream().to_string().replace(' ', "") == "cfg(test)";
            }
            continue;
        }
        let ends_item = match &tree {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            other => is_punct(other, ';'),
        };
        if !skipping {
            kept.push(tree);
        }
        skipping &= !ends_item;
    }
    kept
}

fn is_punct(tree: &TokenTree, wanted: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// Every path in the tokens, `use` trees spelled out, as its segments. `a::{b, c::d}` is `a b` and `a c d`.
fn paths(trees: &[TokenTree], into: &mut Vec<Vec<String>>) {
    let mut i = 0;
    while i < trees.len() {
        match &trees[i] {
            TokenTree::Ident(_) => i = path_at(trees, i, &[], into),
            TokenTree::Group(group) => {
                paths(&without_tests(group.stream()), into);
                i += 1;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => i += 1,
        }
    }
}

/// Reads the path that begins at `i`; answers where it ends.
fn path_at(trees: &[TokenTree], mut i: usize, prefix: &[String], into: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match trees.get(i) {
            Some(TokenTree::Ident(segment)) => path.push(segment.to_string()),
            Some(tree) if is_punct(tree, '*') => path.push("*".to_owned()),
            Some(TokenTree::Group(group)) if !path.is_empty() && group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut at = 0;
                while at < inner.len() {
                    at = path_at(&inner, at, &path, into).max(at + 1);
                }
                return i + 1;
            }
            _ => break,
        }
        i += 1;
        let colons = trees.get(i..i + 2).is_some_and(|two| two.iter().all(|tree| is_punct(tree, ':')));
        if !colons {
            break;
        }
        i += 2;
    }
    if path.len() > prefix.len() {
        into.push(path);
    }
    i
}

fn paths_of(file: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    paths(&tokens(file), &mut found);
    found
}

// === the tables ===

/// For each module of a map, what it may import: `None` means everything.
fn table(map: &str) -> BTreeMap<String, Option<Vec<String>>> {
    let mut rows = BTreeMap::new();
    for line in read(map).lines() {
        let Some(row) = line.strip_prefix("//! | [`") else { continue };
        let cells: Vec<&str> = row.trim_end().trim_end_matches('|').split('|').map(str::trim).collect();
        let module = cells[0].trim_end_matches("`]").to_owned();
        let allowed = match cells[2] {
            "all" => None,
            "–" => Some(Vec::new()),
            list => Some(list.split(',').map(|name| name.trim().to_owned()).collect()),
        };
        rows.insert(module, allowed);
    }
    rows
}

/// The module of the crate that a file belongs to, and how deep the file's own module is below the crate's root.
fn place(file: &str, folder: &str) -> (String, usize) {
    let inside = file.strip_prefix(folder).unwrap().trim_start_matches('/').trim_end_matches(".rs");
    let mut parts: Vec<&str> = inside.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    (parts[0].to_owned(), parts.len())
}

/// The module of our own crates that a path from a file in `depth` leads to.
fn target(path: &[String], depth: usize) -> Option<&str> {
    match path.first()?.as_str() {
        "changehook_core" => Some("core"),
        "crate" | "changehook" => path.get(1).map(String::as_str),
        "super" => {
            let up = path.iter().take_while(|segment| *segment == "super").count();
            // a path that climbs to the root goes down into another module of the crate
            if up >= depth { path.get(up).map(String::as_str) } else { None }
        }
        _ => None,
    }
}

fn forbidden_imports(map: &str) -> Vec<String> {
    let folder = map.strip_suffix("/lib.rs").unwrap();
    let rules = table(map);
    let mut wrong = Vec::new();
    for file in shipped_files(folder) {
        let (module, depth) = place(&file, folder);
        // the root, main and the binaries are not rooms: they may use every room
        let Some(Some(allowed)) = rules.get(&module) else { continue };
        for path in paths_of(&file) {
            let Some(to) = target(&path, depth) else { continue };
            let is_room = rules.contains_key(to) || to == "core" || to == "*";
            if is_room && to != module && !allowed.iter().any(|name| name == to) {
                wrong.push(format!("{file}: `{module}` may not import `{to}` ({})", path.join("::")));
            }
        }
    }
    wrong
}

// === the rules ===

#[test]
fn every_import_follows_the_tables_in_the_maps() {
    let wrong: Vec<String> = MAPS.into_iter().flat_map(forbidden_imports).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_a_row_in_the_map_and_every_row_names_modules_that_exist() {
    for map in MAPS {
        let rules = table(map);
        let text = read(map);
        let modules = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        let modules: Vec<String> = modules.map(str::to_owned).collect();
        assert_eq!(rules.keys().collect::<Vec<_>>(), modules.iter().collect::<Vec<_>>(), "{map}");
        assert!(!text.lines().any(|line| line.starts_with("mod ")), "{map} has a private module");
        for name in rules.values().flatten().flatten() {
            assert!(modules.contains(name) || (name == "core" && map == "src/lib.rs"), "{map}: {name}");
        }
    }
}

#[test]
fn watch_and_delivery_never_import_each_other() {
    let rules = table("src/lib.rs");
    for (from, to) in [("watch", "delivery"), ("delivery", "watch")] {
        let allowed = rules[from].as_ref().expect("not everything");
        assert!(!allowed.iter().any(|name| name == to), "the table lets {from} import {to}");
    }
}

#[test]
fn core_depends_on_nothing_that_acts() {
    let text = read("core/Cargo.toml");
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        }
        let name = match section.strip_prefix("dependencies") {
            Some("") => line.split(['=', '.', ' ']).next().unwrap_or_default(),
            Some(table) => table.trim_start_matches('.'),
            None => continue,
        };
        for acts in ["tokio", "tokio-util", "futures", "kube", "k8s-openapi", "reqwest", "hyper", "axum", "rand"] {
            assert_ne!(name, acts, "core/Cargo.toml");
        }
    }
    assert!(text.contains("[dependencies]"));
}

#[test]
fn core_reads_no_clock_environment_file_socket_or_thread() {
    let modules = ["env", "fs", "os", "process", "thread"];
    let names = [
        "SystemTime",
        "Instant",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "stdin",
        "stdout",
        "stderr",
    ];
    let mut wrong = Vec::new();
    for file in shipped_files("core/src") {
        for path in paths_of(&file) {
            let touches_system = path[0] == "std" && path.get(1).is_some_and(|name| modules.contains(&name.as_str()));
            let forbidden = path.iter().any(|segment| names.contains(&segment.as_str()));
            let clock = path.ends_with(&["Timestamp".to_owned(), "now".to_owned()])
                || path.ends_with(&["Zoned".to_owned(), "now".to_owned()]);
            if touches_system || forbidden || clock {
                wrong.push(format!("{file}: {}", path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_tls_provider_is_in_the_lock_file() {
    let lock = read("Cargo.lock");
    let packages: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    for other in ["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "openssl", "openssl-sys", "native-tls", "boring"] {
        assert!(!packages.contains(&other), "{other} is in Cargo.lock");
    }
    assert_eq!(packages.iter().filter(|name| **name == "ring").count(), 1);
    assert_eq!(packages.iter().filter(|name| **name == "rustls").count(), 1);
}

#[test]
fn files_are_short_enough_to_read() {
    let mut wrong = Vec::new();
    for file in ["src", "core/src"].into_iter().flat_map(rust_files) {
        let is_map = MAPS.contains(&file.as_str()) || file == "src/main.rs";
        let (lines, most) = (read(&file).lines().count(), if is_map { LONGEST_MAP - 1 } else { LONGEST_FILE });
        if lines > most {
            wrong.push(format!("{file}: {lines} lines, at most {most}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    for file in ["src", "core/src", "testbed/src"].into_iter().flat_map(rust_files) {
        let text = read(&file);
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let words = head.join(" ").split_whitespace().count();
        assert!(words >= 4, "{file} has no head that says what it is for");
    }
}

#[test]
fn nothing_is_called_manager_helper_or_util() {
    let vague = ["Manager", "Helper", "Helpers", "Util", "Utils"];
    let mut wrong = Vec::new();
    for file in ["src", "core/src", "testbed/src"].into_iter().flat_map(rust_files) {
        let stem = Path::new(&file).file_stem().unwrap().to_str().unwrap().to_lowercase();
        let vague_file = vague.iter().any(|word| stem.split('_').any(|part| part == word.to_lowercase()));
        let declared = tokens(&file);
        let vague_types = declared.windows(2).filter_map(|two| match two {
            [TokenTree::Ident(keyword), TokenTree::Ident(name)]
                if ["struct", "enum", "trait", "type"].contains(&keyword.to_string().as_str()) =>
            {
                Some(name.to_string()).filter(|name| vague.iter().any(|word| name.ends_with(word)))
            }
            _ => None,
        });
        wrong.extend(vague_types.map(|name| format!("{file}: {name}")));
        if vague_file {
            wrong.push(file);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

// === the reading itself ===

#[test]
fn paths_are_found_in_uses_and_inline_and_not_in_tests_comments_or_strings() {
    let source = r##"
        //! crate::doc
        use crate::{a::X, b::{self, Y as Z}, c::*};
        pub(crate) use super::super::d;
        /* crate::comment */ // crate::line
        fn f() -> crate::e::T { let text = "crate::string"; r#"crate::raw"#; vec![crate::f::g::<crate::h::U>()]; 'c' }
        #[cfg(test)]
        mod tests { use crate::hidden; }
        #[cfg(test)]
        use crate::hidden_too;
        use changehook_core::object::Row;
    "##;
    let mut found = Vec::new();
    paths(&without_tests(source.parse().unwrap()), &mut found);
    let mut targets: Vec<&str> = found.iter().filter_map(|path| target(path, 2)).collect();
    targets.dedup();
    assert_eq!(targets, ["a", "b", "c", "d", "e", "f", "h", "core"]);
}

#[test]
fn test_modules_in_files_of_their_own_are_recognised() {
    assert!(test_modules("src/runtime/config.rs").contains(&"src/runtime/config/tests".to_owned()));
    assert!(rust_files("src").contains(&"src/runtime/config/tests.rs".to_owned()));
    assert!(!shipped_files("src").contains(&"src/runtime/config/tests.rs".to_owned()));
    assert!(shipped_files("src").contains(&"src/runtime/config.rs".to_owned()));
    assert!(test_modules("src/runtime/tasks.rs").is_empty());
}

#[test]
fn a_path_that_climbs_is_followed_only_to_the_root() {
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(place("src/watch/source/list.rs", "src"), ("watch".to_owned(), 3));
    assert_eq!(place("src/watch/mod.rs", "src"), ("watch".to_owned(), 1));
    assert_eq!(place("core/src/plan.rs", "core/src"), ("plan".to_owned(), 1));
    assert_eq!(target(&path("super::super::super::delivery::X"), 3), Some("delivery"));
    assert_eq!(target(&path("super::super::delivery::X"), 3), None);
    assert_eq!(target(&path("super::delivery"), 1), Some("delivery"));
    assert_eq!(target(&path("std::fs"), 1), None);
}

// === one way out ===

#[test]
fn every_request_to_an_endpoint_goes_through_one_client_that_is_built_in_one_place() {
    let places = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        let text = |file: &String| tokens(file).into_iter().collect::<TokenStream>().to_string();
        shipped_files("src").into_iter().filter(|file| wanted(&text(file))).collect()
    };
    let builds = |text: &str| {
        let http = text.contains("reqwest");
        http && ["Client :: builder", "Client :: new", "ClientBuilder", "Client :: default"]
            .iter()
            .any(|call| text.contains(call))
    };
    assert_eq!(places(&builds), ["src/delivery/client.rs"]);
    assert_eq!(places(&|text| text.contains(". execute (")), ["src/delivery/attempt.rs"]);
    // nothing dials by itself, and nothing else resolves names
    for (call, allowed) in [
        ("TcpStream :: connect", &[][..]),
        ("TcpSocket", &[]),
        ("UdpSocket", &[]),
        ("reqwest :: get", &[]),
        ("hyper_util", &["src/proxy.rs"]),
        // what it takes from there says which hosts NO_PROXY excepts, and sends nothing
        ("hyper_util :: client :: proxy :: matcher", &["src/proxy.rs"]),
        ("client :: legacy", &[]),
        ("lookup_host", &["src/delivery/resolver.rs"]),
        ("ToSocketAddrs", &[]),
    ] {
        assert_eq!(places(&|text| text.contains(call)), allowed, "{call}");
    }
}
