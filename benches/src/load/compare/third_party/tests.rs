use super::*;

#[test]
fn missing_programs_are_skipped() {
    assert_eq!(program("no-such-program", &["/usr/sbin"]), None);
    assert!(program("sh", &[]).is_some());
    assert_eq!(missing("nginx"), "nginx skipped: not installed (apt install nginx)");
    assert!(missing("python-gevent").ends_with("(apt install python3-gevent)"));
    let directory = tempfile::tempdir().unwrap();
    assert!(find("apache", directory.path(), directory.path()).unwrap().servers.is_empty());
}

#[test]
fn installed_servers_have_notes() {
    let directory = tempfile::tempdir().unwrap();
    for word in WORDS {
        let found = find(word, directory.path(), directory.path()).unwrap();
        assert!(found.servers.len() + found.skipped.len() >= 1);
        found.skipped.iter().for_each(|line| eprintln!("SKIPPED: {line}"));
        for server in found.servers {
            assert!(server.note.contains(|c: char| c.is_ascii_digit()), "no version: {server:?}");
            assert!(!server.note.contains('\n') && !server.configuration.is_empty(), "{server:?}");
        }
    }
}

#[test]
fn paths_are_quoted() {
    assert_eq!(quoted(Path::new("/a b/\"c\\d")).unwrap(), r#""/a b/\"c\\d""#);
    assert!(quoted(Path::new("/a\nb")).is_err());
}

/// Under a name that needs quotes, as the current user.
#[test]
fn installed_servers_serve_odd_paths() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("a \"b\" \\c");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "content").unwrap();
    for word in WORDS {
        for server in find(word, directory.path(), &root).unwrap().servers {
            let mut command = Command::new("env");
            command.arg("--");
            let server_name = &server.name;
            let running = server.start(command, Placement::Unpinned).unwrap();
            let mut stream = TcpStream::connect(running.addr()).unwrap();
            let request = "GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(reply.starts_with("HTTP/1.1 200"), "{server_name}: {reply}");
            assert!(reply.ends_with("\r\n\r\ncontent"), "{server_name}: {reply}");
        }
    }
}

#[test]
fn failed_start_shows_last_message() {
    let directory = tempfile::tempdir().unwrap();
    let installation = Installation {
        name: "sh",
        program: "sh".into(),
        root: directory.path().into(),
        directory: directory.path().into(),
    };
    let mut command = Command::new("sh");
    command.args(["-c", "echo first >&2; echo no such option >&2; exit 3"]);
    command.stderr(installation.log().unwrap());
    let (_reserved, addr) = caddy::reserve().unwrap();
    let server = Server::spawn_at(&mut command, addr, Placement::Unpinned).unwrap();
    let error = installation.answers(server).unwrap_err().to_string();
    assert!(error.starts_with("sh does not start: it ended with exit status: 3"), "{error}");
    assert!(error.ends_with("its last message: no such option"), "{error}");
}
