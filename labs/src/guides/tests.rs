//! What is compared of two guides.

use super::{Outline, differences};

const EN: &str = "\
# One
## Two

Say `ps -e` or `not a call`.

| check | points |
|---|---|
| `a.b` | 5 |

```sh
cargo lab test 1    # a comment
```
";

#[test]
fn outline_is_independent_of_language() {
    let zh = "# 一\n## 二\n用 `ps -e`。\n| `a.b` | 5 |\n```sh\ncargo lab test 1 # 注释\n```\n";
    assert_eq!(Outline::of(EN), Outline::of(zh));
    let outline = Outline::of(EN);
    assert_eq!(outline.headings, [1, 2]);
    assert_eq!(outline.points, [("a.b".to_owned(), 5)]);
    assert_eq!(outline.calls, ["ps -e"]);
    assert_eq!(outline.blocks, [("sh".to_owned(), vec!["cargo lab test 1".to_owned()])]);
}

#[test]
fn every_drift_is_found() {
    let drift = |from: &str, to: &str| {
        let found = differences(&Outline::of(EN), &Outline::of(&EN.replace(from, to)));
        found.join("; ")
    };
    assert_eq!(drift("# One", "# Another"), "");
    assert!(drift("## Two", "### Two").contains("different headings"));
    assert!(drift("test 1", "test 2").contains("`cargo lab test 1` and `cargo lab test 2`"));
    assert!(drift("`ps -e`", "ps").contains("guide.zh.md: lacks `ps -e`"));
    assert!(drift("```sh", "```").contains("different commands"));
}
