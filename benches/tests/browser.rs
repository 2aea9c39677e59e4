//! The page of a folder, in a real browser, against servers of three kinds.
//!
//! Where no browser is installed, each test says SKIPPED. With `SHOTS=FOLDER` in the environment pictures of the page
//! are left there: `SHOTS=/tmp/shots cargo test -p benches --test browser pictures`.

use harness::browser::{Browser, Page};
use harness::{Launch, Root, Server, wait};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A thread, a process and a coroutine per connection.
const MODELS: [&str; 3] = ["thread_server", "fork_server", "coroutine_server"];

/// Runs `check` with a new browser and a new server of each model on a folder that `prepare` has filled.
fn with_each(options: &[&str], prepare: impl Fn(&Root), check: impl Fn(&Browser, &Server, &str)) {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(reason) => return eprintln!("SKIPPED the page in the browser: {reason}"),
    };
    for model in MODELS {
        let root = Arc::new(Root::new());
        prepare(&root);
        check(&browser, &start(model, &root, "127.0.0.1:0", options), model);
    }
}

fn start(model: &str, root: &Arc<Root>, address: &str, options: &[&str]) -> Server {
    let launch = Launch::new(env!("CARGO_BIN_EXE_serve")).args([model]).args(options);
    launch.root(root).address(address).start().unwrap_or_else(|failure| panic!("{failure}"))
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

/// The names of the entries in the order of the page.
fn names(page: &Page<'_>) -> Vec<String> {
    let joined = page.text(
        "[...document.querySelectorAll('#list tbody bdi')].map((e) => e.textContent).join('\\n')",
    );
    joined.lines().map(str::to_owned).collect()
}

/// A file on the user's side.
fn local(browser: &Browser, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let folder = browser.home().join("desk");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), content).unwrap();
    folder.join(name)
}

/// Waits until the last upload on the page says `note`.
fn wait_for_note(page: &Page<'_>, note: &str) {
    page.until(&format!(
        "document.querySelector('#jobs li:last-child .note')?.textContent.includes({note:?})"
    ));
}

/// Waits until a file is saved that has not been waited for, and returns its name.
fn wait_for_download(browser: &Browser) -> String {
    let begun = browser.event("Browser.downloadWillBegin", |_| true);
    browser.event("Browser.downloadProgress", |event| {
        event["guid"] == begun["guid"] && event["state"] == "completed"
    });
    begun["suggestedFilename"].as_str().unwrap_or_default().to_owned()
}

fn assert_no_complaints(page: &Page<'_>) {
    assert_eq!(page.console_errors(), [""; 0]);
}

fn a_small_tree(root: &Root) {
    for (name, size, time) in [("b.txt", 2000, 3), ("a10.txt", 10, 1), ("a9.txt", 1_500_000, 2)] {
        root.write(name, vec![b'x'; size]);
        root.set_mtime(name, 1_700_000_000 + time);
    }
    root.write("docs/deep/inner.txt", "inner");
}

#[test]
fn folders_are_opened_and_sorted() {
    with_each(&[], a_small_tree, |browser, server, model| {
        let page = browser.page();
        page.open(&url(server, "/"));
        assert_eq!(names(&page), ["docs", "a9.txt", "a10.txt", "b.txt"]);
        assert!(page.text("document.querySelector('#model').textContent").contains(model));
        page.follow(|page| page.click("#by-size"));
        assert_eq!(names(&page), ["docs", "a9.txt", "b.txt", "a10.txt"]);
        assert_eq!(page.text("document.querySelector('[aria-sort]').ariaSort"), "descending");
        page.follow(|page| page.click("#by-size"));
        assert_eq!(names(&page), ["docs", "a10.txt", "b.txt", "a9.txt"]);
        page.follow(|page| page.click("#by-date"));
        assert_eq!(names(&page), ["docs", "b.txt", "a9.txt", "a10.txt"]);
        page.follow(|page| page.click("tbody .d a"));
        page.follow(|page| page.click("tbody .d a"));
        assert_eq!(page.text("document.querySelector('nav').innerText"), "Files\ndocs\ndeep");
        assert_eq!(names(&page), ["inner.txt"]);
        page.follow(|page| page.click("tbody .up a"));
        assert_eq!(names(&page), ["deep"]);
        page.follow(|page| page.click("nav a"));
        // Sorted as before all the way.
        assert_eq!(names(&page), ["docs", "b.txt", "a9.txt", "a10.txt"]);
        let title = page.text("document.querySelector('tbody td[title^=\"1,\"]').title");
        assert_eq!(title, "1,500,000 bytes");
        assert_no_complaints(&page);
        for asked in page.requests() {
            assert!(asked.starts_with(&url(server, "/")) || asked.starts_with("data:"), "{asked}");
        }
    });
}

#[test]
fn dates_follow_the_readers_zone() {
    with_each(&[], a_small_tree, |browser, server, _| {
        let page = browser.page();
        page.call(
            "Emulation.setTimezoneOverride",
            serde_json::json!({"timezoneId": "Asia/Kolkata"}),
        );
        page.call("Emulation.setLocaleOverride", serde_json::json!({"locale": "en-GB"}));
        page.open(&url(server, "/"));
        let time =
            "document.querySelector('a[href=\"/b.txt\"]').closest('tr').querySelector('time')";
        // 22:13:23 UTC is 3:43 on the next day in India.
        assert_eq!(page.text(&format!("{time}.dateTime")), "2023-11-14T22:13:23Z");
        let shown = page.text(&format!("{time}.textContent"));
        assert!(shown.contains("15 Nov 2023") && shown.contains("03:43"), "{shown}");
        assert_eq!(page.eval("document.querySelector('#zone')"), serde_json::Value::Null);
        assert_no_complaints(&page);
    });
}

#[test]
fn files_are_shown_or_saved() {
    let prepare = |root: &Root| {
        root.write("note.txt", "just a note");
        root.write("naïve \"name\".html", "<script>document.title = 'ran'</script>");
    };
    with_each(&[], prepare, |browser, server, model| {
        let folder = browser.home().join(model);
        fs::create_dir(&folder).unwrap();
        browser.save_into(&folder);
        let page = browser.page();
        page.open(&url(server, "/"));
        let saved = |act: &dyn Fn()| {
            act();
            wait_for_download(browser)
        };
        assert_eq!(saved(&|| page.click("button[formaction=\"/note.txt\"]")), "note.txt");
        assert_eq!(fs::read(folder.join("note.txt")).unwrap(), b"just a note");
        // What a browser could run is saved even if its name is clicked.
        let name = saved(&|| page.click("tbody th a[href$=\".html\"]"));
        assert_no_complaints(&page);
        assert!(name.starts_with("naïve ") && name.ends_with(".html"), "{name}");
        assert_eq!(page.text("location.pathname"), "/");
        page.follow(|page| page.click("tbody th a[href=\"/note.txt\"]"));
        assert_eq!(page.text("document.body.innerText"), "just a note");
    });
}

#[test]
fn button_uploads_files() {
    with_each(&[], a_small_tree, |browser, server, _| {
        let page = browser.page();
        page.open(&url(server, "/docs/?sort=size&order=desc"));
        // Every value that the bar ever had.
        page.eval("(() => { window.seen = []; new MutationObserver(() => { const bar = document.querySelector('#jobs progress');
            if (bar && !bar.hidden) seen.push(bar.value) }).observe(document.querySelector('#jobs'), {subtree: true, childList: true, attributes: true}) })()");
        let content: Vec<u8> = (0..40_000_000u32).map(|at| (at % 251) as u8).collect();
        // A slow line, so that there is a progress to be seen.
        let line = serde_json::json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 50_000_000});
        page.call("Network.emulateNetworkConditions", line);
        page.choose("#pick", &[&local(browser, "grüße & 50%?#.bin", &content)]);
        wait_for_note(&page, "uploaded, 38.1 MiB");
        page.until("document.querySelector('tbody .new bdi')?.textContent === 'grüße & 50%?#.bin'");
        assert!(server.root().read("docs/grüße & 50%?#.bin") == content);
        assert_eq!(names(&page), ["deep", "grüße & 50%?#.bin"]);
        let seen = page.eval("seen");
        let seen: Vec<f64> = seen.as_array().unwrap().iter().filter_map(|v| v.as_f64()).collect();
        assert!(seen.iter().any(|&share| share > 0.0 && share < 1.0), "no progress: {seen:?}");
        assert!(seen.is_sorted(), "{seen:?}");
        assert!(page.text("document.querySelector('#said').textContent").contains("uploaded"));
        // Several at once, and names in any script.
        let many: Vec<PathBuf> = ["日本語.txt", "e\u{301}.txt", "é.txt", "'()*!.txt"]
            .map(|name| local(browser, name, name))
            .into();
        page.choose("#pick", &many.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        page.until("document.querySelectorAll('#jobs .done').length === 5");
        page.until("document.querySelectorAll('tbody .new').length === 5");
        for path in &many {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(server.root().read(format!("docs/{name}")), name.as_bytes());
        }
        page.click("#jobs li .cancel");
        page.until("document.querySelectorAll('#jobs li').length === 4");
        assert_no_complaints(&page);
    });
}

#[test]
fn drag_and_drop_uploads_files() {
    with_each(&[], a_small_tree, |browser, server, _| {
        let page = browser.page();
        page.open(&url(server, "/docs"));
        let files = [local(browser, "dropped.txt", "dropped"), local(browser, "two.txt", "two")];
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        page.drag("#list", &files, false);
        page.until("document.body.classList.contains('over')");
        page.until("!document.body.classList.contains('over')");
        assert_eq!(names(&page), ["deep"]);
        page.drag("#list", &files, true);
        page.until("document.querySelectorAll('tbody .new').length === 2");
        assert_eq!(server.root().read("docs/dropped.txt"), b"dropped");
        assert_eq!(page.text("location.pathname"), "/docs");
        // A folder is refused, and says so.
        let folder = browser.home().join("desk/folder");
        fs::create_dir_all(&folder).unwrap();
        page.drag("#list", &[&folder], true);
        wait_for_note(&page, "folders cannot be uploaded");
        assert_no_complaints(&page);
    });
}

#[test]
fn replacing_needs_confirmation() {
    with_each(&[], a_small_tree, |browser, server, _| {
        let page = browser.page();
        page.open(&url(server, "/"));
        let file = local(browser, "b.txt", "new");
        page.choose("#pick", &[&file]);
        wait_for_note(&page, "a file of this name already");
        page.click("#jobs .cancel");
        page.until("!document.querySelector('#jobs li')");
        assert_eq!(server.root().read("b.txt").len(), 2000);
        page.choose("#pick", &[&file]);
        wait_for_note(&page, "a file of this name already");
        page.click("#jobs .replace");
        wait_for_note(&page, "uploaded");
        assert_eq!(server.root().read("b.txt"), b"new");
        assert_no_complaints(&page);
        // The list need not know of the file.
        server.root().write("late.txt", "first");
        page.choose("#pick", &[&local(browser, "late.txt", "second")]);
        wait_for_note(&page, "a file of this name already");
        assert_eq!(server.root().read("late.txt"), b"first");
        page.click("#jobs li:last-child .replace");
        wait_for_note(&page, "uploaded");
        assert_eq!(server.root().read("late.txt"), b"second");
    });
}

#[test]
fn failed_uploads_show_reasons() {
    with_each(&["--max-file-size", "1MiB"], a_small_tree, |browser, server, model| {
        let page = browser.page();
        page.open(&url(server, "/"));
        page.choose("#pick", &[&local(browser, "large.bin", vec![0; 1_100_000])]);
        wait_for_note(
            &page,
            "not uploaded: too large: it has 1.0 MiB, and this server takes at most 1.0 MiB",
        );
        assert_no_complaints(&page);
        // The server's own words, where the page did not know better.
        page.eval("(() => { document.querySelector('tbody .d').remove() })()");
        page.choose("#pick", &[&local(browser, "docs", "no folder")]);
        wait_for_note(&page, "not uploaded: this is not a regular file");
        // Another server in its place, which takes no uploads.
        let (address, root) = (server.address(), Arc::clone(server.root()));
        server.kill();
        let other = start(model, &root, &address.to_string(), &["--read-only"]);
        page.choose("#pick", &[&local(browser, "a.txt", "a")]);
        wait_for_note(&page, "not uploaded: this server takes no uploads");
        // Nobody at all.
        drop(other);
        page.choose("#pick", &[&local(browser, "b1.txt", "b")]);
        wait_for_note(&page, "not uploaded: the connection to the server broke off");
        assert!(page.text("document.querySelector('#said').textContent").contains("broke off"));
    });
}

#[test]
fn cancelled_upload_leaves_nothing() {
    with_each(&[], a_small_tree, |browser, server, _| {
        let page = browser.page();
        page.open(&url(server, "/docs/"));
        let line = serde_json::json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000});
        page.call("Network.emulateNetworkConditions", line);
        let files =
            [local(browser, "slow.bin", vec![7; 30_000_000]), local(browser, "next.bin", "next")];
        page.choose("#pick", &[&files[0], &files[1]]);
        page.until("document.querySelector('#jobs progress').value > 0");
        page.click("#jobs li:first-child .cancel");
        page.until(
            "document.querySelector('#jobs li:first-child .note').textContent === 'cancelled'",
        );
        let line = serde_json::json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        page.call("Network.emulateNetworkConditions", line);
        wait_for_note(&page, "uploaded");
        wait::eventually("nothing left of the cancelled upload", || {
            server.root().names()
                == [
                    "a10.txt",
                    "a9.txt",
                    "b.txt",
                    "docs",
                    "docs/deep",
                    "docs/deep/inner.txt",
                    "docs/next.bin",
                ]
        });
        assert_no_complaints(&page);
    });
}

#[test]
fn read_only_server_offers_no_uploads() {
    with_each(&["--read-only"], a_small_tree, |browser, server, _| {
        let page = browser.page();
        page.open(&url(server, "/"));
        assert_eq!(names(&page).len(), 4);
        assert_eq!(page.eval("document.querySelector('#upload').checkVisibility()"), false);
        let accessible = page.accessibility_tree();
        assert!(!accessible.iter().any(|(_, name)| name.contains("Upload")), "{accessible:?}");
        assert_no_complaints(&page);
    });
}

/// Pages that try to write to the server from elsewhere, or to run in its name.
#[test]
fn third_party_pages_cannot_write() {
    let prepare = |root: &Root| {
        root.write("page.txt", "a page");
        let attack = "<!DOCTYPE html><title>assert_no_complaints</title><script>document.title = 'ran'; parent.postMessage('ran', '*')</script>";
        for name in ["attack.html", "attack.xhtml", "attack.svg", "attack.xml"] {
            root.write(name, attack.replace("<!DOCTYPE html>", ""));
        }
        root.write("attack.svg", "<svg xmlns='http://www.w3.org/2000/svg'><script>parent.postMessage('ran', '*')</script></svg>");
    };
    with_each(&[], prepare, |browser, server, model| {
        let elsewhere = start(model, &Arc::new(Root::new()), "127.0.0.1:0", &[]);
        elsewhere.root().write("page.txt", "a page");
        let page = browser.page();
        let put = |target: &str, name: &str| {
            format!(
                "fetch('{target}{name}', {{method: 'PUT', body: 'x'}}).then((r) => r.status, () => 'refused')"
            )
        };
        let own = url(server, "");
        page.open(&url(&elsewhere, "/page.txt"));
        assert_eq!(page.eval(&put(&own, "/foreign.txt")), "refused");
        let post = format!(
            "fetch('{own}/', {{method: 'POST', mode: 'no-cors', body: 'PUT posted.txt 1\\nx\\n'}}).then(() => 'sent')"
        );
        assert_eq!(page.eval(&post), "sent");
        // The same port under another name is another origin, and may not write there either.
        let alias = format!("http://localhost:{}", server.address().port());
        page.open(&format!("{own}/page.txt"));
        assert_eq!(page.eval(&put(&alias, "/foreign.txt")), "refused");
        assert_eq!(page.eval(&put(&own, "/own.txt")), 201);
        assert_eq!(server.root().read("own.txt"), b"x");
        assert!(
            !server
                .root()
                .names()
                .iter()
                .any(|name| name.contains("foreign") || name == "posted.txt")
        );
        // A stranger's name that leads here makes the page and the server one origin, and is refused all the same.
        let rebound = format!("http://rebound.test:{}", server.address().port());
        page.open(&format!("{rebound}/page.txt"));
        assert_eq!(page.text("document.body.innerText"), "a page");
        assert_eq!(page.eval(&put("", "/foreign.txt")), 403);
        assert!(!server.root().names().iter().any(|name| name.contains("foreign")));
        // What was uploaded does not run, neither as a page nor in a frame of one.
        page.console_errors();
        page.open(&format!("{own}/page.txt"));
        page.eval(
            "(() => { window.received = 0; addEventListener('message', () => received++) })()",
        );
        for name in ["attack.html", "attack.xhtml", "attack.svg", "attack.xml"] {
            let framed = format!(
                "new Promise((done) => {{ const frame = document.createElement('iframe'); frame.src = '/{name}';
                 frame.onload = frame.onerror = () => done(received); document.body.append(frame); setTimeout(() => done(received), 300) }})"
            );
            assert_eq!(page.eval(&framed), 0, "{name}");
            let outcome =
                page.call("Page.navigate", serde_json::json!({"url": format!("{own}/{name}")}));
            assert_eq!(outcome["isDownload"], true, "{outcome}");
            assert_eq!(page.text("document.title"), "", "{name}");
        }
    });
}

#[test]
fn injected_scripts_do_not_run() {
    with_each(&[], a_small_tree, |browser, server, _| {
        let page = browser.page();
        page.open(&url(server, "/"));
        page.eval(
            "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';
             document.body.append(script); const image = document.createElement('img');
             image.setAttribute('onerror', 'window.ran = true'); image.src = 'data:,'; document.body.append(image); })()",
        );
        page.until("document.querySelector('img').complete");
        assert_eq!(page.eval("window.ran === undefined"), true);
        let complaints = page.console_errors();
        assert!(
            !complaints.is_empty()
                && complaints.iter().all(|line| line.contains("Content Security Policy")),
            "{complaints:?}"
        );
    });
}

#[test]
fn hostile_names_are_escaped() {
    use std::os::unix::ffi::OsStrExt;
    let hostile = [
        "<script>ran=1<",
        "\"><img src=x onerror=ran=1>",
        "a'b`${x}",
        "{{rows}}",
        "50%25",
        "sp ace",
        "#?x",
        "c:d",
        "\u{202e}txt.exe",
        "שלום.txt",
        "日本語",
        "🦀",
        "&lt;b&gt;",
        "javascript:alert(1)",
    ];
    let prepare = |root: &Root| {
        for name in hostile {
            root.write(name, name);
        }
        root.write("line\nbreak", "hidden");
        root.write(Path::new(std::ffi::OsStr::from_bytes(b"no\xffutf8")), "no utf8");
        root.write("<b>folder\"/in.txt", "in");
    };
    with_each(&[], prepare, |browser, server, _| {
        let page = browser.page();
        page.open(&url(server, "/"));
        let shown = names(&page);
        assert_eq!(shown.len(), hostile.len() + 2, "{shown:?}");
        for name in hostile {
            let harmless = name.replace('\u{202e}', "\u{fffd}");
            assert!(shown.contains(&harmless), "{name:?} in {shown:?}");
        }
        assert!(shown.contains(&"no\u{fffd}utf8".to_owned()));
        assert_eq!(
            page.eval(
                "window.ran === undefined && !document.querySelector('img, b:not(#model b)')"
            ),
            true
        );
        // Every link leads to a file that holds its own name.
        let contents = page.eval(
            "Promise.all([...document.querySelectorAll('tbody tr:not(.d) th a')].map(async (a) =>
                [a.textContent, await (await fetch(a.href)).text()]))",
        );
        for pair in contents.as_array().unwrap() {
            let (name, content) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
            let same = content.replace('\u{202e}', "\u{fffd}") == name;
            assert!(
                same || (name, content) == ("no\u{fffd}utf8", "no utf8"),
                "{name:?}: {content:?}"
            );
        }
        page.follow(|page| page.click("tbody .d a"));
        assert_eq!(names(&page), ["in.txt"]);
        assert_eq!(
            page.text("document.querySelector('[aria-current]').textContent"),
            "<b>folder\""
        );
        assert_no_complaints(&page);
    });
}

#[test]
fn page_is_accessible_by_keyboard() {
    with_each(&[], a_small_tree, |browser, server, model| {
        let page = browser.page();
        page.open(&url(server, "/docs/deep"));
        let accessible = page.accessibility_tree();
        let has = |role: &str, name: &str| {
            let found = accessible.iter().any(|(r, n)| r == role && n.contains(name));
            assert!(found, "no {role} {name:?} in {accessible:?}");
        };
        has("navigation", "Path");
        has("heading", "Folder /docs/deep/");
        has("table", "1 file, 5 B");
        has("columnheader", "Name");
        has("columnheader", "Size");
        has("columnheader", "Modified");
        has("columnheader", "Download");
        has("rowheader", "inner.txt");
        has("link", "inner.txt");
        has("button", "Download inner.txt");
        has("button", "Name");
        has("link", "Files");
        has("button", "Upload files");
        has("status", "");
        assert!(accessible.iter().any(|(_, name)| name.contains(model)), "{accessible:?}");
        // Every place that the tabulator key leads to can be seen to have it, and Enter follows a link.
        let mut stops = Vec::new();
        for _ in 0..9 {
            page.press("Tab");
            let stop = page.eval(
                "(() => { const e = document.activeElement; const shown = e.id === 'pick' ? e.nextElementSibling : e;
                 return [e.id || e.getAttribute('href') || e.getAttribute('formaction'), getComputedStyle(shown).outlineStyle] })()",
            );
            assert_eq!(stop[1], "solid", "{stop}");
            stops.push(stop[0].as_str().unwrap_or_default().to_owned());
        }
        let expected = [
            "/",
            "/docs/",
            "pick",
            "by-name",
            "by-size",
            "by-date",
            "/docs/",
            "/docs/deep/inner.txt",
            "/docs/deep/inner.txt",
        ];
        assert_eq!(stops, expected);
        page.eval("document.querySelector('tbody .up a').focus()");
        page.follow(|page| page.press("Enter"));
        assert_eq!(page.text("location.pathname"), "/docs/");
        assert_no_complaints(&page);
    });
}

#[test]
fn page_works_without_scripts() {
    with_each(&[], a_small_tree, |browser, server, model| {
        let page = browser.page();
        page.run_scripts(false);
        page.open(&url(server, "/"));
        let html = || {
            let document = page.call("DOM.getDocument", serde_json::json!({}));
            let root = serde_json::json!({"nodeId": document["root"]["nodeId"]});
            page.call("DOM.getOuterHTML", root)["outerHTML"].as_str().unwrap().to_owned()
        };
        let text = html();
        assert!(
            text.contains("<caption>1 folder, 3 files, 1.4 MiB</caption>") && text.contains(model)
        );
        assert!(text.contains("2023-11-14 22:13") && text.contains("(UTC)"));
        let accessible = page.accessibility_tree();
        assert!(!accessible.iter().any(|(_, name)| name.contains("Upload")), "{accessible:?}");
        let hint = format!("curl -T FILE \"{}\"", url(server, "/"));
        assert!(text.contains(&hint), "{text}");
        // The buttons sort and save.
        let press = |selector: &str| {
            let document = page.call("DOM.getDocument", serde_json::json!({}));
            let query =
                serde_json::json!({"nodeId": document["root"]["nodeId"], "selector": selector});
            let node = page.call("DOM.querySelector", query);
            page.call("DOM.focus", serde_json::json!({"nodeId": node["nodeId"]}));
            page.press("Enter");
        };
        page.follow(|_| press("#by-size"));
        let text = html();
        let place = |name: &str| text.find(&format!("<bdi>{name}</bdi>")).unwrap();
        assert!(
            place("docs") < place("a9.txt")
                && place("a9.txt") < place("b.txt")
                && place("b.txt") < place("a10.txt")
        );
        let folder = browser.home().join(format!("{model}-plain"));
        fs::create_dir(&folder).unwrap();
        browser.save_into(&folder);
        press("button[formaction=\"/b.txt\"]");
        wait_for_download(browser);
        assert_eq!(fs::read(folder.join("b.txt")).unwrap().len(), 2000);
        assert_no_complaints(&page);
        // Where no uploads are taken, nothing is said of them.
        let read_only = start(model, server.root(), "127.0.0.1:0", &["--read-only"]);
        page.open(&url(&read_only, "/"));
        assert!(!html().contains("curl"));
    });
}

#[test]
fn download_spares_running_uploads() {
    with_each(&[], a_small_tree, |browser, server, model| {
        let folder = browser.home().join(format!("{model}-during"));
        fs::create_dir(&folder).unwrap();
        browser.save_into(&folder);
        let page = browser.page();
        page.open(&url(server, "/"));
        let line = serde_json::json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000});
        page.call("Network.emulateNetworkConditions", line);
        page.choose("#pick", &[&local(browser, "slow.bin", vec![7; 30_000_000])]);
        page.until("document.querySelector('#jobs progress').value > 0");
        // A form that is sent would have the browser ask whether to leave the page.
        page.click("button[formaction=\"/b.txt\"]");
        wait_for_download(browser);
        assert_eq!(fs::read(folder.join("b.txt")).unwrap().len(), 2000);
        page.click("#jobs .cancel");
        wait_for_note(&page, "cancelled");
    });
}

#[test]
fn icons_keep_forced_colours_visible() {
    with_each(&[], a_small_tree, |browser, server, _| {
        let page = browser.page();
        page.emulate(1200, 900, "forced");
        page.open(&url(server, "/docs/"));
        assert_eq!(page.eval("matchMedia('(forced-colors: active)').matches"), true);
        server.root().write("docs/file", "x");
        page.open(&url(server, "/docs/"));
        let invisible = page.eval(
            "(() => { const canvas = getComputedStyle(document.body).backgroundColor;
               const icons = [...document.querySelectorAll('tbody a, tbody button')];
               const shown = icons.map((e) => getComputedStyle(e, '::before').backgroundColor);
               return [icons.length, shown.filter((c) => c === canvas || c === 'rgba(0, 0, 0, 0)')]; })()",
        );
        // The parent, a folder, a file and its download.
        assert_eq!(invisible, serde_json::json!([4, []]));
    });
}

#[test]
fn different_names_look_different() {
    let names = ["a b", "a  b", " a b", "a b ", "a\u{a0}b", "a\u{ad}b", "ab", " ", "  "];
    let prepare = |root: &Root| {
        for name in names {
            root.write(name, name);
        }
    };
    with_each(&[], prepare, |browser, server, model| {
        let page = browser.page();
        page.emulate(1000, 900, "light");
        page.open(&url(server, "/"));
        // Pixels of each name, in the order of the page.
        let rows = page.eval("document.querySelectorAll('tbody bdi').length").as_u64().unwrap();
        assert_eq!(rows, names.len() as u64);
        let mut pictures = Vec::new();
        for row in 0..rows {
            let place = page.eval(&format!(
                "(() => {{ const box = document.querySelectorAll('tbody bdi')[{row}].getBoundingClientRect();
                   return [box.x, box.y, box.width]; }})()"
            ));
            let clip = serde_json::json!({
                "x": place[0], "y": place[1], "width": 100, "height": 24, "scale": 1});
            assert!(place[2].as_f64().unwrap() >= 4.0, "{place}");
            let shot = page
                .call("Page.captureScreenshot", serde_json::json!({"format": "png", "clip": clip}));
            pictures.push(shot["data"].as_str().unwrap().to_owned());
        }
        pictures.sort();
        pictures.dedup();
        assert_eq!(pictures.len(), names.len(), "{model}: two names look the same");
        // A name of one space can be clicked on; it has no type, and is saved.
        let folder = browser.home().join(model);
        fs::create_dir(&folder).unwrap();
        browser.save_into(&folder);
        page.click("a[href=\"/%20\"] bdi");
        let begun = browser.event("Browser.downloadWillBegin", |_| true);
        assert_eq!(begun["url"], url(server, "/%20"));
    });
}

#[test]
fn page_fits_phones_and_dark_mode() {
    let prepare = |root: &Root| {
        a_small_tree(root);
        root.write("a-very-long-name-without-any-space-".repeat(6), "x");
        root.write("Characteristically incomprehensible.txt", "x");
        root.mkdir(&"deep/".repeat(30));
    };
    with_each(&[], prepare, |browser, server, _| {
        let page = browser.page();
        let colours = |scheme| {
            page.emulate(1200, 900, scheme);
            page.open(&url(server, "/"));
            let style = |name: &str| page.text(&format!("getComputedStyle(document.body).{name}"));
            (style("color"), style("backgroundColor"))
        };
        let (light, dark) = (colours("light"), colours("dark"));
        assert!(light.0 != dark.0 && light.1 != dark.1, "{light:?} {dark:?}");
        for width in [320, 390, 768] {
            page.emulate(width, 844, "light");
            for path in ["/", &format!("/{}", "deep/".repeat(30))] {
                page.open(&url(server, path));
                let wide = page.eval("document.documentElement.scrollWidth");
                assert!(wide.as_u64().unwrap() <= width.into(), "{path}: {wide} at {width}");
                // Nothing is cut off at the right, either.
                let beyond = page.eval(
                    "[...document.querySelectorAll('tbody td, tbody th, nav li, #model')]
                    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).length",
                );
                assert_eq!(beyond, 0, "{path} at {width}");
            }
            page.open(&url(server, "/"));
            // No word that fits on a line is broken: each lies in one box.
            let broken = page.eval(
                "[...document.querySelectorAll('tbody bdi, nav bdi, caption, thead button, #model, .button')].flatMap((e) => {
                   const text = document.createTreeWalker(e, NodeFilter.SHOW_TEXT).nextNode();
                   return [...text.data.matchAll(/[^ -]+/g)].filter((word) => {
                     const range = document.createRange();
                     range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);
                     return range.getClientRects().length > 1; }).map(String); })",
            );
            assert_eq!(broken, serde_json::json!([]), "at {width}");
            // However it is laid out, it stays a table for a screen reader.
            let accessible = page.accessibility_tree();
            for role in ["table", "columnheader", "rowheader", "cell"] {
                assert!(accessible.iter().any(|(r, _)| r == role), "no {role}: {accessible:?}");
            }
        }
        assert_no_complaints(&page);
    });
}

#[test]
fn upload_leaves_other_rows() {
    let prepare = |root: &Root| {
        for n in 0..300 {
            root.write(format!("file {n} & more.txt"), "x".repeat(n));
        }
        root.mkdir("docs");
    };
    with_each(&[], prepare, |browser, server, _| {
        let page = browser.page();
        for path in ["/", "/?sort=date&order=desc", "/?sort=size&order=asc"] {
            page.open(&url(server, path));
            page.eval(
                "(() => { window.made = 0; window.gone = 0;
                   const rows = (nodes) => [...nodes].filter((e) => e.matches?.('tr')).length
                     + [...nodes].reduce((sum, e) => sum + (e.querySelectorAll?.('tr').length ?? 0), 0);
                   new MutationObserver((list) => { for (const one of list) {
                     made += rows(one.addedNodes); gone += rows(one.removedNodes); } })
                   .observe(document.querySelector('main'), {subtree: true, childList: true});
                   document.querySelector('tbody tr:nth-child(200) a').focus();
                   window.kept = document.activeElement; })()",
            );
            let tag = path.len();
            let upload = |name: &str| {
                page.choose("#pick", &[&local(browser, name, name)]);
                wait_for_note(&page, "uploaded");
                page.until(&format!(
                    "[...document.querySelectorAll('tbody .new bdi')].some((e) => e.textContent === {name:?})"
                ));
            };
            for name in ["a", "m & 'q'", "日本語"].map(|name| format!("{name} {tag}.txt")) {
                upload(&name);
            }
            page.until("made === 3 && gone === 0");
            assert_eq!(page.eval("kept.isConnected"), true);
            // What else has happened in the folder is shown, too.
            fs::remove_file(server.root().join(format!("file {tag} & more.txt"))).unwrap();
            server.root().mkdir(&format!("docs {tag}"));
            upload(&format!("z {tag}.txt"));
            page.until("made === 5 && gone === 1");
            let shown = names(&page);
            let summary = page.text("document.querySelector('caption').textContent");
            page.open(&url(server, path));
            assert_eq!(names(&page), shown, "{path}");
            assert_eq!(page.text("document.querySelector('caption').textContent"), summary);
            assert_no_complaints(&page);
        }
        // The note on an empty folder goes.
        page.open(&url(server, "/docs/"));
        assert_eq!(page.eval("document.querySelectorAll('.none').length"), 1);
        page.choose("#pick", &[&local(browser, "first.txt", "first")]);
        page.until("document.querySelectorAll('tbody .new').length === 1");
        assert_eq!(page.eval("document.querySelectorAll('.none').length"), 0);
        assert_no_complaints(&page);
        fs::remove_file(server.root().join("docs/first.txt")).unwrap();
        page.choose("#pick", &[&local(browser, "second.txt", "second")]);
        page.until("[...document.querySelectorAll('tbody bdi')].map((e) => e.textContent).join() === 'second.txt'");
        assert_eq!(page.text("document.querySelector('caption').textContent"), "1 file, 6 B");
    });
}

#[test]
fn states_differ_in_forced_colours() {
    with_each(&[], a_small_tree, |browser, server, _| {
        let page = browser.page();
        for scheme in ["light", "dark"] {
            page.emulate(900, 700, "forced");
            let features = serde_json::json!([
                {"name": "forced-colors", "value": "active"},
                {"name": "prefers-color-scheme", "value": scheme}]);
            page.call("Emulation.setEmulatedMedia", serde_json::json!({"features": features}));
            page.open(&url(server, "/"));
            page.choose("#pick", &[&local(browser, &format!("{scheme}.txt"), "new")]);
            page.until("document.querySelectorAll('tbody .new').length === 1");
            let style = |element: &str, pseudo: &str, property: &str| {
                let element = format!("document.querySelector({element:?})");
                page.text(&format!("getComputedStyle({element}, {pseudo:?})[{property:?}]"))
            };
            // Words and signs, not colours alone.
            assert_eq!(style("tbody .new a", "::after", "content"), "\"new\"");
            assert!(style("#jobs .done .note", "::before", "content").starts_with("\"✓"));
            // A ring that is drawn outside of the table is cut off at its edge.
            page.eval("document.querySelector('tbody a').focus()");
            page.press("Tab");
            let ring = |property| style(":focus", "", property);
            assert_eq!(
                (ring("outlineStyle"), ring("outlineOffset")),
                ("solid".into(), "-3px".into())
            );
            // A button under the pointer looks different, and what is on it can be seen.
            let icon = "tbody tr:last-child button";
            let look =
                || (style(icon, "", "backgroundColor"), style(icon, "::before", "backgroundColor"));
            let before = look();
            let place = page.eval(&format!(
                "(() => {{ const box = document.querySelector({icon:?}).getBoundingClientRect(); return [box.x + 9, box.y + 9]; }})()"
            ));
            let pointer = serde_json::json!({"type": "mouseMoved", "x": place[0], "y": place[1]});
            page.call("Input.dispatchMouseEvent", pointer);
            page.until(&format!("document.querySelector({icon:?}).matches(':hover')"));
            let over = look();
            assert!(before.0 != over.0 && over.0 != over.1, "{before:?} {over:?}");
            assert_no_complaints(&page);
        }
    });
}

/// A look at the page, for people: leaves pictures where SHOTS says.
#[test]
fn pictures() {
    let Some(shots) = std::env::var_os("SHOTS").map(PathBuf::from) else {
        return;
    };
    fs::create_dir_all(&shots).unwrap();
    let prepare = |root: &Root| {
        for (name, size, day) in [
            ("Lecture 01 – Processes.pdf", 2_480_000, 3),
            ("Lecture 02 – Threads.pdf", 3_120_000, 10),
            ("Lecture 10 – Coroutines.pdf", 1_940_000, 66),
            ("measurements.csv", 18_300, 70),
            ("README.md", 1_204, 1),
            ("figures.tar.gz", 48_201_993, 44),
            ("naïve_server.rs", 734, 12),
            ("日本語のノート.txt", 5_120, 30),
            ("שלום עולם.txt", 96, 31),
            ("<b>not bold<b> & \"quoted\".html", 25, 55),
            ("two  spaces.txt", 1, 56),
            ("two spaces.txt", 2, 57),
            (" ", 3, 58),
            ("no-break\u{a0}space and\u{200b}invisible.txt", 4, 59),
            (
                "a-name-that-is-so-long-that-it-does-not-fit-on-one-line-of-any-telephone-whatever-you-do.bin",
                1 << 30,
                60,
            ),
        ] {
            root.sparse(name, size);
            root.set_mtime(name, 1_760_000_000 + day * 86_400 + day * 977);
        }
        for name in ["exercises", "labs", "slides"] {
            root.mkdir(name);
            root.set_mtime(name, 1_761_000_000);
        }
        root.write("labs/week 3/fork/notes.txt", "notes");
    };
    with_each(&["--max-file-size", "40MiB"], prepare, |browser, server, model| {
        let page = browser.page();
        for (name, width, height, colours) in [
            ("light", 1100, 820, "light"),
            ("dark", 1100, 820, "dark"),
            ("forced", 1100, 820, "forced"),
            ("phone", 390, 844, "light"),
            ("phone-dark", 390, 844, "dark"),
            ("small", 320, 844, "light"),
            ("small-forced", 320, 844, "forced"),
        ] {
            page.emulate(width, height, colours);
            page.open(&url(server, "/?sort=date&order=desc"));
            page.picture(&shots.join(format!("{model}-{name}.png")));
            page.choose("#pick", &[&local(browser, "README.md", "x")]);
            wait_for_note(&page, "already");
            page.choose("#pick", &[&local(browser, "huge.bin", vec![0; 50_000_000])]);
            wait_for_note(&page, "too large");
            page.choose("#pick", &[&local(browser, &format!("new {name}.txt"), "new")]);
            wait_for_note(&page, "uploaded");
            let line = serde_json::json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 4_000_000});
            page.call("Network.emulateNetworkConditions", line);
            page.choose(
                "#pick",
                &[&local(browser, &format!("slow {name}.bin"), vec![0; 20_000_000])],
            );
            page.until("document.querySelector('#jobs li:last-child progress').value > 0.3");
            page.picture(&shots.join(format!("{model}-{name}-upload.png")));
            page.click("#jobs li:last-child .cancel");
            wait_for_note(&page, "cancelled");
            let line = serde_json::json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
            page.call("Network.emulateNetworkConditions", line);
            page.open(&url(server, "/labs/week%203/fork"));
            page.picture(&shots.join(format!("{model}-{name}-deep.png")));
            page.open(&url(server, "/exercises/"));
            page.eval("document.body.classList.add('over')");
            page.picture(&shots.join(format!("{model}-{name}-drop.png")));
        }
        page.run_scripts(false);
        page.open(&url(server, "/labs/"));
        page.picture(&shots.join(format!("{model}-plain.png")));
    });
}
