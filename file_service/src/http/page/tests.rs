use super::*;
use crate::protocol::decode_name;
use proptest::prelude::*;

fn file(name: &[u8]) -> Entry<'_> {
    Entry { kind: Kind::File, size: 1536, mtime: 784_111_777, name }
}

fn directory(name: &[u8]) -> Entry<'_> {
    Entry { kind: Kind::Directory, size: 0, mtime: 0, name }
}

fn listing(entries: &[Entry<'_>]) -> Listing {
    let mut listing = Listing::default();
    entries.iter().for_each(|entry| listing.push(*entry));
    listing
}

const SERVER: ServerInfo<'_> = ServerInfo {
    model: Some(("a_server", "a <unit> per client")),
    upload_limit: Some(1 << 20),
    host: None,
};

fn viewed(path: &str, entries: &[Entry<'_>], view: View, server: ServerInfo<'_>) -> String {
    let path = RelPath::decode(path.as_bytes()).unwrap().directory();
    let mut listing = listing(entries);
    sort(&mut listing, view);
    let page = Page::new(&path, view, server);
    let mut html = String::new();
    page.push_head(&mut html, &listing);
    listing.iter().for_each(|entry| page.push_row(&mut html, entry));
    page.push_foot(&mut html, &listing);
    html
}

fn shown(path: &str, entries: &[Entry<'_>]) -> String {
    viewed(path, entries, View::default(), SERVER)
}

/// What changes from page to page: all but style and script.
fn markup(html: &str) -> String {
    html.replace(between(html, "<style>", "</style>"), "")
        .replace(between(html, "<script>", "</script>"), "")
}

/// The targets of the links to entries.
fn links(html: &str) -> Vec<&str> {
    let rows = between(html, "<tbody>", "</tbody>");
    rows.split("<a href=\"").skip(1).map(|part| part.split('"').next().unwrap()).collect()
}

/// The names in the order of the page.
fn names(html: &str) -> Vec<&str> {
    let rows = between(html, "<tbody>", "</tbody>");
    rows.split("<bdi>").skip(1).map(|part| part.split("</bdi>").next().unwrap()).collect()
}

#[test]
fn page_lists_entries_in_a_table() {
    let html = shown("/d/e", &[file(b"a.txt"), directory(b"sub")]);
    assert_eq!(links(&html), ["/d/", "/d/e/sub/", "/d/e/a.txt"]);
    assert!(html.contains("<title>/d/e/</title>"));
    assert!(html.contains("<caption>1 folder, 1 file, 1.5 KiB</caption>"));
    assert!(html.contains("<bdi>a.txt</bdi></a></th><td title=\"1,536 bytes\">1.5 KiB</td>"));
    let time = "<time datetime=\"1994-11-06T08:49:37Z\">1994-11-06 08:49</time>";
    assert!(html.contains(time), "{html}");
    let button = "<button form=\"get\" name=\"download\" formaction=\"/d/e/a.txt\" aria-label=\"Download a.txt\"></button>";
    assert!(html.contains(button), "{html}");
    assert_eq!(html.matches("<form id=\"get\">").count(), 1);
    assert!(
        html.contains("<tr class=\"d\"><th scope=\"row\"><a href=\"/d/e/sub/\"><bdi>sub</bdi>")
    );
    assert!(html.contains("name=\"viewport\"") && html.contains("color-scheme"));
    assert!(!html.contains("empty."));
}

#[test]
fn page_loads_nothing_from_elsewhere() {
    // The name of SVG's namespace is no address.
    let known = "xmlns='http://www.w3.org/2000/svg'";
    let rest = TEMPLATE.replace(known, "");
    assert!(!rest.contains("://"), "an address in the page");
    for external in
        ["@import", " src=", "<link rel=\"stylesheet", " action=", "<iframe", "innerHTML"]
    {
        assert!(!TEMPLATE.contains(external), "{external}");
    }
    // The policy allows neither of these.
    assert!(!markup(TEMPLATE).contains(" style=") && !markup(TEMPLATE).contains(" onclick="));
}

#[test]
fn template_has_every_placeholder() {
    for placeholder in
        ["path", "crumbs", "model", "upload", "noscript", "summary", "columns", "rows", "empty"]
    {
        assert!(TEMPLATE.contains(&format!("{{{{{placeholder}}}}}")), "{placeholder}");
    }
    assert_eq!(TEMPLATE.matches("{{").count(), 10);
    for tag in ["<script>", "</script>", "<style>", "</style>"] {
        assert_eq!(TEMPLATE.matches(tag).count(), 1, "{tag}");
    }
    // Their hashes must not change from page to page.
    let (script, style) =
        (between(TEMPLATE, "<script>", "</script>"), between(TEMPLATE, "<style>", "</style>"));
    assert!(!script.contains("{{") && !style.contains("{{"));
    let html = shown("/d", &[file(b"a"), file(b"{{rows}}"), file(b"</script><script>")]);
    assert_eq!(between(&html, "<script>", "</script>"), script);
    assert_eq!(between(&html, "<style>", "</style>"), style);
    assert!(!markup(&html).contains("{{path") && names(&html).contains(&"{{rows}}"));
    for source in [script, style] {
        assert!(PAGE_POLICY.contains(&source_hash(source)));
    }
    assert!(!PAGE_POLICY.contains("unsafe"));
}

#[test]
fn placeholders_are_replaced() {
    let filled = |template: &str| {
        let mut out = String::new();
        fill(template, &mut out, |name, out| out.push_str(&name.to_uppercase()));
        out
    };
    for (template, text) in
        [("", ""), ("a", "a"), ("{{a}}", "A"), ("x{{a}}y{{b}}z", "xAyBz"), ("{a}}}", "{a}}}")]
    {
        assert_eq!(filled(template), text);
    }
}

#[test]
fn breadcrumbs_lead_to_the_root() {
    let crumbs = |path: &str, view: View| {
        between(&viewed(path, &[], view, SERVER), "<ol>", "</ol>").to_owned()
    };
    let plain = View::default();
    assert_eq!(crumbs("/", plain), "<li aria-current=\"page\"><bdi>Files</bdi></li>");
    assert_eq!(
        crumbs("/d%20d/e/f", View { descending: true, ..plain }),
        concat!(
            "<li><a href=\"/?sort=name&amp;order=desc\"><bdi>Files</bdi></a></li>",
            "<li><a href=\"/d%20d/?sort=name&amp;order=desc\"><bdi>d d</bdi></a></li>",
            "<li><a href=\"/d%20d/e/?sort=name&amp;order=desc\"><bdi>e</bdi></a></li>",
            "<li aria-current=\"page\"><bdi>f</bdi></li>"
        )
    );
    assert_eq!(links(&shown("/", &[file(b"a")])), ["/a"]);
    assert_eq!(links(&shown("/d", &[])), ["/"]);
    assert!(shown("/", &[]).contains("This folder is empty."));
}

#[test]
fn page_shows_model_and_upload_limit() {
    let html = shown("/a%22b", &[]);
    assert!(html.contains(
        "<span>served by </span><b>a_server</b><span>, a &lt;unit&gt; per client</span>"
    ));
    assert!(html.contains("hidden data-to=\"/a%22b/\" data-most=\"1048576\">"));
    let bare = viewed("/", &[], View::default(), ServerInfo::default());
    assert!(!bare.contains("served by") && !markup(&bare).contains("data-to"));
}

#[test]
fn name_with_markup_is_escaped() {
    let html = shown("/%3Cd%3E", &[file(br#"<b a="x'y">&?#%: .txt"#)]);
    let link = "/%3Cd%3E/%3Cb%20a%3D%22x%27y%22%3E%26%3F%23%25%3A%20.txt";
    assert_eq!(links(&html), ["/", link]);
    assert!(html.contains("<bdi>&lt;b a=&quot;x&#39;y&quot;&gt;&amp;?#%: .txt</bdi>"));
    assert!(html.contains("aria-label=\"Download &lt;b a=&quot;x&#39;y&quot;&gt;&amp;?#%: .txt\""));
    assert!(html.contains("<title>/&lt;d&gt;/</title>"));
    assert!(!html.contains("<b a"));
}

#[test]
fn invisible_characters_are_replaced() {
    let html = shown("/", &[file("ä\u{202e}txt.exe\u{85}".as_bytes()), file(b"a\xffb\x1b")]);
    assert_eq!(links(&html), ["/a%FFb%1B", "/%C3%A4%E2%80%AEtxt.exe%C2%85"]);
    let marked = |text: &str| format!("<i data-is=\"{text}\">\u{fffd}</i>");
    let (first, second) = (marked("U+202E"), marked("U+0085"));
    assert!(html.contains(&format!("<bdi>ä{first}txt.exe{second}</bdi>")), "{html}");
    let (first, second) = (marked("%FF"), marked("U+001B"));
    assert!(html.contains(&format!("<bdi>a{first}b{second}</bdi>")), "{html}");
    assert!(html.contains("aria-label=\"Download a\u{fffd}b\u{fffd}\""));
    // Composed and decomposed are two names, and stay so.
    let html = shown("/", &[file("é".as_bytes()), file("e\u{301}".as_bytes())]);
    assert_eq!(links(&html), ["/e%CC%81", "/%C3%A9"]);
    assert_eq!(names(&html), ["e\u{301}", "é"]);
}

#[test]
fn different_names_look_different() {
    for (name, shown) in [
        ("a b", "a b"),
        ("a  b", "a<i> </i><i> </i>b"),
        (" a", "<i> </i>a"),
        ("a ", "a<i> </i>"),
        (" ", "<i> </i>"),
        ("a\u{a0}b", "a<i title=\"U+00A0\">\u{a0}</i>b"),
        ("a \u{3000}b", "a<i> </i><i title=\"U+3000\">\u{3000}</i>b"),
        ("a\u{ad}b", "a<i data-is=\"U+00AD\">\u{fffd}</i>b"),
        ("a\u{200b}b", "a<i data-is=\"U+200B\">\u{fffd}</i>b"),
        ("a\u{fffd}b", "a\u{fffd}b"),
        ("👩\u{200d}💻 \u{2764}\u{fe0f}", "👩\u{200d}💻 \u{2764}\u{fe0f}"),
    ] {
        let html = shown_name(name.as_bytes());
        assert_eq!(html, shown, "{name:?}");
    }
    assert_eq!(shown_name(b"\xff"), "<i data-is=\"%FF\">\u{fffd}</i>");
    assert_eq!(
        shown_name(b"\xe2\x82 \xfe"),
        "<i data-is=\"%E2%82\">\u{fffd}</i> <i data-is=\"%FE\">\u{fffd}</i>"
    );
    // A breadcrumb is a name as well.
    assert!(between(&shown("/a%20", &[]), "<ol>", "</ol>").contains("<bdi>a<i> </i></bdi>"));
}

/// A name as the row of a file has it.
fn shown_name(name: &[u8]) -> String {
    names(&shown("/", &[file(name)]))[0].to_owned()
}

#[test]
fn page_links_each_entry_once() {
    let html = shown("/d", &[file(b"a"), file(b"b"), directory(b"c")]);
    let markup = markup(&html);
    let targets: Vec<&str> =
        markup.split(" href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(targets, ["data:,", "/", "/", "/d/c/", "/d/a", "/d/b"]);
}

#[test]
fn upload_hint_has_the_address() {
    let hint = |path: &str, host: Option<&str>| {
        let server = ServerInfo { host: host.map(str::as_bytes), ..SERVER };
        let html = viewed(path, &[], View::default(), server);
        between(&html, "<noscript>", "</noscript>").to_owned()
    };
    for (host, shown) in [
        (Some("127.0.0.1:9000"), "127.0.0.1:9000"),
        (Some("[::1]:9000"), "[::1]:9000"),
        (Some("files.example"), "files.example"),
        // A name that a shell would expand, and no name.
        (Some("$(reboot)"), "HOST:PORT"),
        (Some(""), "HOST:PORT"),
        (None, "HOST:PORT"),
    ] {
        let command = format!("<code>curl -T FILE &quot;http://{shown}/a%20b/&quot;</code>");
        let html = hint("/a%20b", host);
        assert!(html.contains(&command), "{html}");
    }
    let read_only = ServerInfo { upload_limit: None, ..SERVER };
    assert!(!viewed("/", &[], View::default(), read_only).contains("noscript"));
}

#[test]
fn directories_sort_before_files() {
    fn entry(name: &str, size: u64, mtime: i64) -> Entry<'_> {
        Entry { size, mtime, ..file(name.as_bytes()) }
    }
    let entries = [
        Entry { mtime: 9, ..directory(b"z") },
        entry("b", 1, 5),
        entry("A", 3, 4),
        entry("a10", 2, 6),
        entry("a9", 2, 3),
        Entry { mtime: 1, ..directory(b"y") },
    ];
    let sorted = |sort, descending| {
        let view = View { sort, descending, download: false };
        let html = viewed("/", &entries, view, SERVER);
        names(&html).join(" ")
    };
    assert_eq!(sorted(Sort::Name, false), "y z A a9 a10 b");
    assert_eq!(sorted(Sort::Name, true), "z y b a10 a9 A");
    assert_eq!(sorted(Sort::Size, false), "y z b a9 a10 A");
    assert_eq!(sorted(Sort::Size, true), "y z A a9 a10 b");
    assert_eq!(sorted(Sort::Date, false), "y z a9 A b a10");
    assert_eq!(sorted(Sort::Date, true), "z y a10 b A a9");
}

#[test]
fn column_header_sorts_the_other_way() {
    let header = |sort, descending| {
        let html =
            viewed("/d", &[directory(b"e")], View { sort, descending, download: false }, SERVER);
        assert!(links(&html).iter().all(|link| link.ends_with(query(View {
            sort,
            descending,
            download: false
        }))));
        between(&html, "<thead>", "</thead>").to_owned()
    };
    let html = header(Sort::Name, false);
    assert_eq!(html.matches("aria-sort").count(), 1);
    let button = |key: &str, order: &str, title: &str| {
        format!(
            "<form><input type=\"hidden\" name=\"sort\" value=\"{key}\">\
             <button id=\"by-{key}\" name=\"order\" value=\"{order}\">{title}"
        )
    };
    let current = "<th scope=\"col\" aria-labelledby=\"by-name\" aria-sort=\"ascending\">";
    assert!(html.contains(&format!("{current}{}", button("name", "desc", "Name</button>"))));
    assert!(html.contains(&button("size", "desc", "Size</button>")));
    let html = header(Sort::Size, true);
    assert!(html.contains("aria-sort=\"descending\"><form>"));
    assert!(html.contains(&button("size", "asc", "Size")));
    assert!(html.contains(&button("name", "asc", "Name")));
    assert!(header(Sort::Date, false).contains(&button("date", "desc", "Modified")));
}

#[test]
fn names_sort_by_numeric_value() {
    let mut names = [
        "b",
        "a",
        "B",
        "A",
        "a10",
        "a2",
        "a02",
        "a1b",
        "a1",
        "é",
        "É",
        "z",
        "",
        "9",
        "10",
        "a.txt",
        "a 1",
        "00",
        "0",
        "a18446744073709551616",
        "a18446744073709551615",
    ];
    names.sort_by(|a, b| natural(a.as_bytes(), b.as_bytes()));
    assert_eq!(
        names,
        [
            "",
            "0",
            "00",
            "9",
            "10",
            "A",
            "a",
            "a 1",
            "a.txt",
            "a1",
            "a1b",
            "a02",
            "a2",
            "a10",
            "a18446744073709551615",
            "a18446744073709551616",
            "B",
            "b",
            "z",
            "É",
            "é",
        ]
    );
}

#[test]
fn exact_size_groups_digits() {
    assert_eq!(exact(1), "1 byte");
    assert_eq!(exact(0), "0 bytes");
    assert_eq!(exact(999), "999 bytes");
    assert_eq!(exact(1000), "1,000 bytes");
    assert_eq!(exact(u64::MAX), "18,446,744,073,709,551,615 bytes");
}

#[test]
fn summary_counts_files_and_bytes() {
    let text = |entries: &[Entry<'_>]| summary(&listing(entries));
    assert_eq!(text(&[]), "0 files");
    assert_eq!(text(&[file(b"a")]), "1 file, 1.5 KiB");
    assert_eq!(text(&[directory(b"a"), directory(b"b")]), "2 folders");
    assert_eq!(text(&[directory(b"a"), file(b"b"), file(b"c")]), "1 folder, 2 files, 3.0 KiB");
    let most = Entry { size: u64::MAX, ..file(b"a") };
    assert_eq!(text(&[most, most]), "2 files, 16.0 EiB");
}

#[test]
fn source_hash_equals_that_of_csp() {
    // As in the specification of content security policies.
    let hash = "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=";
    assert_eq!(source_hash("alert('Hello, world.');"), hash);
}

#[test]
fn large_page_size_is_bounded() {
    let names: Vec<String> = (0..10_000).map(|number| format!("file-{number:06}.txt")).collect();
    let entries: Vec<Entry<'_>> = names.iter().map(|name| file(name.as_bytes())).collect();
    let html = shown("/", &entries);
    assert!(html.len() / entries.len() < 400, "{} bytes a row", html.len() / entries.len());
}

#[test]
fn json_entry_has_five_members() {
    for (entry, text) in [
        (
            file(b"a \"b\".txt"),
            r#"{"name":"a \"b\".txt","encoded":"a%20%22b%22.txt","kind":"file","size":1536,"mtime":784111777}"#,
        ),
        (
            directory("ä?#".as_bytes()),
            r#"{"name":"ä?#","encoded":"%C3%A4%3F%23","kind":"directory","size":0,"mtime":0}"#,
        ),
        (
            file(b"50%\xff"),
            "{\"name\":\"50%\u{fffd}\",\"encoded\":\"50%25%FF\",\"kind\":\"file\",\"size\":1536,\"mtime\":784111777}",
        ),
        (
            file(b"50%25%FF"),
            r#"{"name":"50%25%FF","encoded":"50%2525%25FF","kind":"file","size":1536,"mtime":784111777}"#,
        ),
    ] {
        assert_eq!(json(entry), text);
    }
}

fn json(entry: Entry<'_>) -> String {
    let mut json = Vec::new();
    push_json(&mut json, entry);
    String::from_utf8(json).unwrap()
}

proptest! {
    #[test]
    fn any_link_decodes_to_its_name(name in prop::collection::vec(any::<u8>(), 1..60)) {
        let html = shown("/d", &[file(&name)]);
        let links = links(&html);
        prop_assert_eq!(links.len(), 2);
        prop_assert!(links[1].bytes().all(|b| b.is_ascii_graphic() && !b"\"<>&'?#".contains(&b)));
        if let Ok(path) = RelPath::decode(links[1].as_bytes()).and_then(RelPath::file) {
            prop_assert_eq!(path.as_bytes(), [b"d/", &name[..]].concat());
        }
    }

    #[test]
    fn any_name_keeps_the_markup(name in any::<String>(), mtime in any::<i64>(), size in any::<u64>()) {
        let entry = Entry { kind: Kind::File, size, mtime, name: name.as_bytes() };
        let plain = shown("/", &[Entry { name: b"a", ..entry }]);
        let html = shown("/", &[entry]);
        // Only the marks of the page itself are added: `<i>`, `<i title="">` and `<i data-is="">`.
        let marks = html.matches("<i>").count() + html.matches("<i title=\"U+").count() + html.matches("<i data-is=\"").count();
        prop_assert_eq!(html.matches('<').count(), plain.matches('<').count() + 2 * marks);
        let quotes = 2 * (marks - html.matches("<i>").count());
        prop_assert_eq!(html.matches('"').count(), plain.matches('"').count() + quotes);
    }

    #[test]
    fn natural_order_is_total(names in prop::collection::vec("[aAbé019 .]{0,6}", 3)) {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let (ab, bc, ac) =
            (natural(names[0], names[1]), natural(names[1], names[2]), natural(names[0], names[2]));
        prop_assert_eq!(ab, natural(names[1], names[0]).reverse());
        prop_assert_eq!(ab.is_eq(), names[0] == names[1]);
        if ab == bc {
            prop_assert_eq!(ac, ab);
        }
    }

    #[test]
    fn any_json_entry_encodes_its_name(name in prop::collection::vec(any::<u8>(), 1..60), mtime in any::<i64>()) {
        let entry = Entry { kind: Kind::File, size: 1, mtime, name: &name };
        let value: serde_json::Value = serde_json::from_str(&json(entry)).unwrap();
        prop_assert_eq!(value["mtime"].as_i64(), Some(mtime));
        let lossy = String::from_utf8_lossy(&name);
        prop_assert_eq!(value["name"].as_str(), Some(&*lossy));
        let encoded = value["encoded"].as_str().unwrap();
        let mut decoded = Vec::new();
        prop_assert_eq!(decode_name(encoded.as_bytes(), &mut decoded), Some(()));
        prop_assert_eq!(decoded, name);
    }
}
