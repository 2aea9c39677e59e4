//! The structure of the workspace, read from its sources: no circles of imports, crates that depend only on the
//! storeys below them, and a `file_service` without threads, signals and locks. `ARCHITECTURE.md` has the reasons.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn modules_import_without_circles() {
    let Some(root) = workspace() else { return };
    assert_none("circles of imports", &import_circles(&root));
}

#[test]
fn crates_depend_only_downwards() {
    let Some(root) = workspace() else { return };
    assert_none("dependencies that do not run downwards", &upward_dependencies(&root));
}

#[test]
fn file_service_serves_one_client_only() {
    let Some(root) = workspace() else { return };
    assert_none("concurrency in file_service", &impurities(&root.join("file_service")));
}

#[test]
fn lab_checks_import_only_their_context() {
    let Some(root) = workspace() else { return };
    assert_none("imports of a lab's checks", &foreign_imports(&root.join("labs")));
}

#[test]
fn servers_print_only_what_may_fail() {
    let Some(root) = workspace() else { return };
    assert_none("macros that panic where nothing can be printed", &panicking_prints(&root));
}

/// A check that finds nothing anywhere proves nothing.
#[test]
fn violations_are_found() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let write = |path: &str, text: &str| {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    };
    write(
        "file_service/Cargo.toml",
        "[package]\nname = \"file_service\"\n[dependencies]\nipc.workspace = true\nnix = \"1\"\n",
    );
    write(
        "ipc/Cargo.toml",
        "[package]\nname = \"ipc\"\n[dev-dependencies]\nfile_service.workspace = true\n",
    );
    write("file_service/src/lib.rs", "mod a; mod b; mod client; mod d; pub use b::B;");
    write(
        "file_service/src/a.rs",
        "// crate::d\nuse crate::B;\n#[cfg(test)] mod tests { use crate::client; }",
    );
    write(
        "file_service/src/b/mod.rs",
        "mod deep; const S: &str = \"crate::d\"; pub use std::fmt as B;",
    );
    write("file_service/src/b/deep.rs", "fn f() -> crate::a::A { super::super::a::f('\"') }");
    write("file_service/src/client.rs", "use std::sync::Mutex; use crate::a;");
    write("file_service/src/d.rs", "use std::sync::Mutex; fn f() { std::thread::spawn(f); }");

    write(
        "labs/00_x/checks.rs",
        "use crate::context; use harness::{proc, Server};\nuse file_service::A;",
    );

    assert_eq!(
        foreign_imports(&root.join("labs")),
        ["00_x/checks.rs: file_service", "00_x/checks.rs: harness::Server"]
    );
    let circles = import_circles(root);
    assert_eq!(circles.len(), 1, "{circles:?}");
    for part in ["a.rs:2: crate::B", "b/deep.rs:1: crate::a::A", "b/deep.rs:1: super::super::a::f"]
    {
        assert!(circles[0].contains(part), "{}", circles[0]);
    }
    assert_eq!(upward_dependencies(root), ["file_service depends on ipc"]);
    write("my_server/Cargo.toml", "[package]\nname = \"my_server\"\n");
    write(
        "my_server/src/lib.rs",
        "fn f() { eprintln!(); tracing::warn!(); }\n#[cfg(test)] mod tests { fn t() { println!(); } }",
    );
    assert_eq!(panicking_prints(root), ["my_server/src/lib.rs:1"]);
    let found = impurities(&root.join("file_service"));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].ends_with("depends on nix"), "{found:?}");
    assert_eq!(found[1..], ["src/d.rs:1: std::thread", "src/d.rs:1: Mutex"]);
}

// ---- The checks ----

/// A circle has modules of one parent, each with everything below it. Parent and child are no circle, since a module
/// and its parts are one thing; test modules do not count.
fn import_circles(root: &Path) -> Vec<String> {
    let mut circles = BTreeSet::new();
    for member in members(root) {
        for target in targets(&member) {
            let tree = ModuleTree::load(&target);
            for (parent, edges) in tree.imports_between_siblings() {
                for circle in shortest_circles(&edges) {
                    let mut text = format!("below {}:", tree.modules[parent].path);
                    for (from, to) in circle {
                        let names = (&tree.modules[from].path, &tree.modules[to].path);
                        text += &format!("\n  {} imports {}", names.0, names.1);
                        for (file, line, path) in &edges[&(from, to)] {
                            let file = file.strip_prefix(root).unwrap_or(file).display();
                            text += &format!("\n    {file}:{line}: {path}");
                        }
                    }
                    circles.insert(text);
                }
            }
        }
    }
    circles.into_iter().collect()
}

/// The storey of a member; a member depends only on lower ones. Programs of labs depend on nothing but each other.
fn storey(name: &str) -> Option<u32> {
    Some(match name {
        "file_service" | "ipc" | "harness" => 0,
        "server_core" => 1,
        _ if name.ends_with("_server") => 2,
        "benches" | "labs" | "file_client" => 3,
        _ => return None,
    })
}

fn upward_dependencies(root: &Path) -> Vec<String> {
    let members: BTreeMap<String, Vec<String>> =
        members(root).iter().map(|member| read_manifest(member)).collect();
    let mut found = Vec::new();
    let mut edges = BTreeMap::new();
    for (name, dependencies) in &members {
        for dependency in dependencies.iter().filter(|name| members.contains_key(*name)) {
            edges.insert((name.as_str(), dependency.as_str()), ());
            let is_downwards = match (storey(name), storey(dependency)) {
                (Some(upper), Some(lower)) => lower < upper,
                (None, None) => name.starts_with("lab") && dependency.starts_with("lab"),
                _ => false,
            };
            if !is_downwards {
                found.push(format!("{name} depends on {dependency}"));
            }
        }
        if storey(name).is_none() && !name.starts_with("lab") {
            found.push(format!("{name} has no storey"));
        }
    }
    found.extend(shortest_circles(&edges).iter().map(|circle| format!("circle: {circle:?}")));
    found
}

/// Words that `file_service` must not use outside of its client, and the files that may.
const FORBIDDEN: [(&[&str], &[&str]); 4] = [
    // A line of the trace has the number and the name of its thread.
    (&["std::thread", "thread::", "spawn", "JoinHandle"], &["trace/lines.rs", "trace/mod.rs"]),
    (&["signal", "Signal", "signalfd", "SignalFd", "sigaction"], &[]),
    (&["socket2", "setsockopt", "set_socket_", "sockopt", "set_nodelay", "set_nonblocking"], &[]),
    // The buffer of the trace, the locks of files, and the buffers of uploads, whose lock is only tried: no session waits
    // while it holds one.
    (
        &["Mutex", "RwLock", "Condvar", "flock", "try_lock"],
        &["trace/mod.rs", "store/lock.rs", "buffers.rs"],
    ),
];

/// Crates that bring any of this along.
const FORBIDDEN_CRATES: [&str; 7] =
    ["clap", "crossbeam", "libc", "nix", "signal-hook", "socket2", "tracing-subscriber"];

fn impurities(file_service: &Path) -> Vec<String> {
    let (_, dependencies) = read_manifest(file_service);
    let forbidden = dependencies.iter().filter(|name| FORBIDDEN_CRATES.contains(&name.as_str()));
    let mut found: Vec<String> =
        forbidden.map(|name| format!("file_service depends on {name}")).collect();
    let src = file_service.join("src");
    for target in targets(file_service) {
        let files: BTreeSet<PathBuf> =
            ModuleTree::load(&target).modules.into_iter().map(|module| module.file).collect();
        for file in files {
            let name = file.strip_prefix(&src).unwrap_or(&file).display().to_string();
            if name == "client.rs" || name.starts_with("client/") {
                continue;
            }
            for (line, code) in lines(&without_tests(tokens(&read(&file)))) {
                for (words, exceptions) in FORBIDDEN {
                    let mut words = words.iter();
                    if !exceptions.contains(&name.as_str())
                        && let Some(word) = words.find(|word| code.contains(**word))
                    {
                        found.push(format!("src/{name}:{line}: {word}"));
                    }
                }
            }
        }
    }
    found
}

/// Where a server prints by a macro that panics if it cannot. `server_core::log` and `server_core::print` do not.
fn panicking_prints(root: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    for member in members(root) {
        let name = member.file_name().unwrap_or_default().to_string_lossy();
        if !matches!(&*name, "file_service" | "server_core") && !name.ends_with("_server") {
            continue;
        }
        let modules =
            targets(&member).into_iter().flat_map(|target| ModuleTree::load(&target).modules);
        for file in modules.map(|module| module.file) {
            for (line, code) in lines(&without_tests(tokens(&read(&file)))) {
                if code.contains("print!(") || code.contains("println!(") {
                    let file = file.strip_prefix(root).unwrap_or(&file).display();
                    found.insert(format!("{file}:{line}"));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// What the checks of a lab may use: the context, what `harness` reads of the kernel, and the crates that make
/// system calls. So a check knows the student's program from outside alone.
const CHECKS_MAY_USE: [&str; 9] = [
    "crate::context",
    "harness::oracles",
    "harness::proc",
    "harness::sockets",
    "harness::wait",
    "libc",
    "nix",
    "rustix",
    "std",
];

fn foreign_imports(labs: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    for file in entries(labs).into_iter().map(|lab| lab.join("checks.rs")) {
        if !file.is_file() {
            continue;
        }
        let name = file.strip_prefix(labs).unwrap_or(&file).display().to_string();
        let code: String = lines(&tokens(&read(&file))).into_values().collect::<Vec<_>>().join(" ");
        for import in code.split("use ").skip(1).filter_map(|rest| rest.split(';').next()) {
            let import = import.replace(' ', "");
            let (root, rest) = import.split_once("::").unwrap_or((&import, ""));
            let first = |part: &str| part.split("::").next().unwrap_or_default().to_owned();
            let paths: Vec<String> = match (root, rest.strip_prefix('{')) {
                ("crate" | "harness", None) => vec![format!("{root}::{}", first(rest))],
                ("crate" | "harness", Some(group)) => top_level(group.trim_end_matches('}'))
                    .map(|part| format!("{root}::{}", first(part)))
                    .collect(),
                _ => vec![root.to_owned()],
            };
            let foreign = |path: &String| !CHECKS_MAY_USE.contains(&path.as_str());
            found.extend(paths.into_iter().filter(foreign).map(|path| format!("{name}: {path}")));
        }
    }
    found.into_iter().collect()
}

/// The parts of a group of imports, each with the groups inside of it.
fn top_level(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let is_end = move |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    group.split(is_end).filter(|part| !part.is_empty())
}

// ---- Crates ----

/// The root of the workspace; a test binary that was copied away from its sources has none.
fn workspace() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.to_path_buf();
    if root.join("file_service/src/lib.rs").is_file() {
        return Some(root);
    }
    eprintln!("SKIPPED: the sources of the workspace are not at {}", root.display());
    None
}

/// The directories with a `Cargo.toml` below the root.
fn members(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for directory in entries(root).into_iter().filter(|path| path.is_dir()) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "target" || name.starts_with('.') {
            continue;
        }
        if directory.join("Cargo.toml").is_file() {
            found.push(directory.clone());
        }
        found.extend(members(&directory));
    }
    found
}

/// The name of a crate, and what it depends on in normal operation.
fn read_manifest(directory: &Path) -> (String, Vec<String>) {
    let (mut name, mut section, mut dependencies) = (String::new(), String::new(), Vec::new());
    for line in read(&directory.join("Cargo.toml")).lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            dependencies.extend(section.strip_prefix("dependencies.").map(str::to_owned));
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().split('.').next().unwrap_or_default();
            if section == "dependencies" {
                dependencies.push(key.to_owned());
            } else if section == "package" && key == "name" {
                name = value.trim().trim_matches('"').to_owned();
            }
        }
    }
    (name, dependencies)
}

/// The root files of a crate's library, programs and examples.
fn targets(member: &Path) -> BTreeSet<PathBuf> {
    let mut found: BTreeSet<PathBuf> =
        ["src/lib.rs", "src/main.rs"].map(|path| member.join(path)).into();
    for directory in ["src/bin", "examples"] {
        for path in entries(&member.join(directory)) {
            found.insert(if path.is_dir() { path.join("main.rs") } else { path });
        }
    }
    for line in read(&member.join("Cargo.toml")).lines() {
        found.extend(
            line.strip_prefix("path = \"src/")
                .map(|path| member.join("src").join(path.trim_end_matches('"'))),
        );
    }
    found.retain(|path| path.is_file() && path.extension().is_some_and(|ext| ext == "rs"));
    found
}

// ---- Modules ----

struct Module {
    /// As in code, from `crate` on.
    path: String,
    file: PathBuf,
    parent: usize,
    children: BTreeMap<String, usize>,
    /// The names that `use` brings in, and where each comes from.
    names: BTreeMap<String, Vec<String>>,
    /// Every path to another module, and its line.
    paths: Vec<(usize, Vec<String>)>,
}

/// The modules of one target; the first is its root.
struct ModuleTree {
    modules: Vec<Module>,
}

/// File, line and path of an import.
type Import = (PathBuf, usize, String);

impl ModuleTree {
    fn load(target: &Path) -> ModuleTree {
        let mut tree = ModuleTree { modules: Vec::new() };
        let root = tree.add("crate".to_owned(), target, 0);
        tree.read_file(root, target.parent().unwrap_or(target));
        tree
    }

    fn add(&mut self, path: String, file: &Path, parent: usize) -> usize {
        let (file, id) = (file.to_path_buf(), self.modules.len());
        let (children, names, paths) = Default::default();
        self.modules.push(Module { path, file, parent, children, names, paths });
        id
    }

    /// Reads the file of a module and its child modules, whose files are in `directory`.
    fn read_file(&mut self, id: usize, directory: &Path) {
        let tokens = without_tests(tokens(&read(&self.modules[id].file)));
        let mut current = id;
        let mut directory = directory.to_path_buf();
        let mut depth = 0;
        // The depths at which inline modules end.
        let mut inline = Vec::new();
        let mut at = 0;
        while let Some((line, token)) = tokens.get(at) {
            let next = |offset: usize| tokens.get(at + offset).map_or("", |(_, token)| token);
            at += match token.as_str() {
                "mod" if matches!(next(2), ";" | "{") => {
                    let name = next(1).to_owned();
                    let below = directory.join(&name);
                    let files = [below.with_extension("rs"), below.join("mod.rs")];
                    let own = self.modules[current].file.clone();
                    let is_inline = next(2) == "{";
                    let file = files.into_iter().find(|file| file.is_file());
                    if let Some(file) = if is_inline { Some(own) } else { file } {
                        let path = format!("{}::{name}", self.modules[current].path);
                        let child = self.add(path, &file, current);
                        self.modules[current].children.insert(name, child);
                        if is_inline {
                            inline.push(depth);
                            depth += 1;
                            (current, directory) = (child, below);
                        } else {
                            self.read_file(child, &below);
                        }
                    }
                    3
                }
                "use" if next(1) != "<" => {
                    let end = tokens[at..].iter().position(|(_, token)| token == ";");
                    let end = end.map_or(tokens.len(), |length| at + length);
                    let module = &mut self.modules[current];
                    read_use(&tokens[at + 1..end], &[], &mut |line, path, name| {
                        module.names.insert(name.to_owned(), path.to_vec());
                        module.paths.push((line, path.to_vec()));
                    });
                    end - at
                }
                "crate" | "super" | "self" if next(1) == "::" => {
                    let mut path = vec![token.clone()];
                    while next(2 * path.len() - 1) == "::" && is_name(next(2 * path.len())) {
                        path.push(next(2 * path.len()).to_owned());
                    }
                    let length = 2 * path.len() - 1;
                    self.modules[current].paths.push((*line, path));
                    length
                }
                "{" => {
                    depth += 1;
                    1
                }
                "}" => {
                    depth -= 1;
                    if inline.pop_if(|end| *end == depth).is_some() {
                        current = self.modules[current].parent;
                        directory.pop();
                    }
                    1
                }
                _ => 1,
            };
        }
    }

    /// The module that a path leads to, through re-exports too; `None` outside of the crate.
    fn resolve(&self, from: usize, path: &[String], hops: u32) -> Option<usize> {
        let mut module = from;
        for (at, name) in path.iter().enumerate() {
            let here = &self.modules[module];
            module = match name.as_str() {
                "crate" => 0,
                "super" => here.parent,
                "self" => module,
                _ => match (here.children.get(name), here.names.get(name)) {
                    (Some(child), _) => *child,
                    // Not a name's own `use`, which would lead back here.
                    (None, Some(source)) if (at > 0 || source.as_slice() != path) && hops < 8 => {
                        match self.resolve(module, source, hops + 1) {
                            Some(module) => module,
                            None => return (at > 0).then_some(module),
                        }
                    }
                    // An item of this module, or another crate.
                    _ => return (at > 0).then_some(module),
                },
            };
        }
        Some(module)
    }

    /// For each module the imports between its children, with everything below them.
    fn imports_between_siblings(&self) -> BTreeMap<usize, BTreeMap<(usize, usize), Vec<Import>>> {
        let mut found: BTreeMap<_, BTreeMap<_, Vec<_>>> = BTreeMap::new();
        for (id, module) in self.modules.iter().enumerate() {
            for (line, path) in &module.paths {
                let Some(target) = self.resolve(id, path, 0) else { continue };
                let (from, to) = (self.ancestry(id), self.ancestry(target));
                let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                // Otherwise one of the two is above the other.
                if let (Some(&a), Some(&b)) = (from.get(shared), to.get(shared)) {
                    let import = (module.file.clone(), *line, path.join("::"));
                    found
                        .entry(from[shared - 1])
                        .or_default()
                        .entry((a, b))
                        .or_default()
                        .push(import);
                }
            }
        }
        found
    }

    /// The modules from the root down to this one.
    fn ancestry(&self, id: usize) -> Vec<usize> {
        let mut line = if id == 0 { Vec::new() } else { self.ancestry(self.modules[id].parent) };
        line.push(id);
        line
    }
}

/// One shortest circle for each edge that is part of one, without repetitions.
fn shortest_circles<N: Copy + Ord, T>(edges: &BTreeMap<(N, N), T>) -> Vec<Vec<(N, N)>> {
    let mut circles = Vec::new();
    let mut covered = BTreeSet::new();
    for &(first, second) in edges.keys() {
        if covered.contains(&(first, second)) {
            continue;
        }
        // Back from the second to the first, breadth first.
        let mut came_from = BTreeMap::from([(second, first)]);
        let mut queue = VecDeque::from([second]);
        while let Some(node) = queue.pop_front().filter(|node| *node != first) {
            for &(_, to) in edges.keys().filter(|(from, _)| *from == node) {
                came_from.entry(to).or_insert_with(|| {
                    queue.push_back(to);
                    node
                });
            }
        }
        if let Some(&last) = came_from.get(&first) {
            let mut circle = vec![(last, first)];
            while circle[0].0 != first {
                let node = circle[0].0;
                circle.insert(0, (came_from[&node], node));
            }
            covered.extend(circle.iter().copied());
            circles.push(circle);
        }
    }
    circles
}

// ---- Code ----

/// A line number, and a name, a `::` or a single character.
type Token = (usize, String);

/// The tokens of Rust code, without comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let starts_with = |at: usize, what: &str| bytes[at..].starts_with(what.as_bytes());
    let after =
        |at: usize, what: &str| text[at..].find(what).map_or(text.len(), |n| at + n + what.len());
    let (mut found, mut line, mut at) = (Vec::new(), 1, 0);
    while at < bytes.len() {
        let start = at;
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
        let word = bytes[at..].iter().take_while(|byte| is_word(byte)).count();
        let hashes = bytes[at + word..].iter().take_while(|byte| **byte == b'#').count();
        let is_raw = matches!(&bytes[at..at + word], b"r" | b"br" | b"cr")
            && bytes.get(at + word + hashes) == Some(&b'"');
        at = if is_raw {
            after(at + word + hashes + 1, &format!("\"{}", "#".repeat(hashes)))
        } else if word > 0 {
            found.push((line, text[at..at + word].to_owned()));
            at + word
        } else if starts_with(at, "//") {
            text[at..].find('\n').map_or(text.len(), |length| at + length)
        } else if starts_with(at, "/*") {
            after(at, "*/")
        } else if bytes[at] == b'"' {
            let mut end = at + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            end + 1
        } else if starts_with(at, "'\\") {
            after(at + 3, "'")
        } else if bytes[at] == b'\'' {
            // A character, or else a lifetime.
            let character = text[at + 1..].chars().next().map_or(1, char::len_utf8);
            at + if starts_with(at + 1 + character, "'") { character + 2 } else { 1 }
        } else if starts_with(at, "::") {
            found.push((line, "::".to_owned()));
            at + 2
        } else {
            if !bytes[at].is_ascii_whitespace() {
                found.push((line, char::from(bytes[at]).to_string()));
            }
            at + 1
        };
        at = at.min(text.len());
        line += bytes[start..at].iter().filter(|byte| **byte == b'\n').count();
    }
    found
}

/// Leaves out the items that are compiled for tests only.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    while let Some(token) = rest.next() {
        kept.push(token);
        let is_attribute = kept.len() >= 3
            && kept[kept.len() - 3..].iter().map(|(_, token)| token.as_str()).eq(["#", "[", "cfg"]);
        if !is_attribute {
            continue;
        }
        let condition: Vec<Token> =
            std::iter::from_fn(|| rest.next_if(|(_, token)| token != "]")).collect();
        let has = |word: &str| condition.iter().any(|(_, token)| token == word);
        if !has("test") || has("not") {
            kept.extend(condition);
            continue;
        }
        kept.truncate(kept.len() - 3);
        rest.next(); // the bracket
        let mut depth = 0;
        while let Some((_, token)) = rest.next_if(|(_, token)| depth > 0 || token != "}") {
            match token.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(token.as_str(), ";" | "}") {
                break;
            }
        }
    }
    kept
}

/// Calls `found` with line, path and name of each leaf of a `use` declaration.
fn read_use(tokens: &[Token], prefix: &[String], found: &mut impl FnMut(usize, &[String], &str)) {
    let mut path = prefix.to_vec();
    for (at, (line, token)) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => {
                // A group is the last part of its tree.
                let mut depth = 0;
                let members = tokens[at + 1..tokens.len() - 1].split(|(_, token)| {
                    depth += i32::from(token == "{") - i32::from(token == "}");
                    depth == 0 && token == ","
                });
                return members.for_each(|member| read_use(member, &path, found));
            }
            "as" => return found(*line, &path, &tokens[at + 1].1),
            "self" if !path.is_empty() => {}
            token if is_name(token) => path.push(token.to_owned()),
            _ => {}
        }
    }
    if let (Some((line, _)), Some(name)) = (tokens.first(), path.last()) {
        found(*line, &path, name);
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The code of each line, with a space between names only.
fn lines(tokens: &[Token]) -> BTreeMap<usize, String> {
    let mut lines: BTreeMap<usize, String> = BTreeMap::new();
    for (line, token) in tokens {
        let code = lines.entry(*line).or_default();
        if is_name(token) && code.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            code.push(' ');
        }
        code.push_str(token);
    }
    lines
}

// ---- Files ----

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"))
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}: {}\n{}", found.len(), found.join("\n"));
}
