//! A new lab's directory, for its author: everything is there in its smallest form, compiles, and verifies, apart from
//! texts that are to be written.

use crate::error::LabError;
use crate::guides::TO_BE_WRITTEN;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Makes the directory of a lab below `parent`; returns its path.
///
/// # Errors
///
/// It exists, or cannot be written.
pub fn make(parent: &Path, number: &str, name: &str) -> Result<PathBuf, LabError> {
    let directory = parent.join(format!("{number}_{name}"));
    let fault = |error: io::Error| LabError::new(directory.display(), error);
    fs::create_dir(&directory).map_err(fault)?;
    for (path, text) in FILES {
        let path = directory.join(path);
        let text = text.replace("NUMBER", number).replace("NAME", name);
        let text = text.replace("WORD", &canary()).replace("TEXT", TO_BE_WRITTEN);
        fs::create_dir_all(path.parent().unwrap_or(&directory)).map_err(fault)?;
        fs::write(path, text).map_err(fault)?;
    }
    Ok(directory)
}

/// A word that is nowhere else.
fn canary() -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "wo", "xu",
        "za",
    ];
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut bits = now.as_nanos() as u64 ^ u64::from(std::process::id()) << 20;
    let syllable = |_| {
        bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        SYLLABLES[(bits >> 60) as usize]
    };
    (0..6).map(syllable).collect()
}

const FILES: [(&str, &str); 9] = [
    ("lab.toml", MANIFEST),
    ("checks.rs", CHECKS),
    ("guide.en.md", GUIDE_EN),
    ("guide.zh.md", GUIDE_ZH),
    ("reference/Cargo.toml", PACKAGE),
    ("reference/src/main.rs", REFERENCE),
    ("wrong/greets_the_world.rs", WRONG),
    ("alternative/in_pieces.rs", ALTERNATIVE_1),
    ("alternative/by_hand.rs", ALTERNATIVE_2),
];

const MANIFEST: &str = r#"title = { en = "TEXT", zh = "TEXT" }
programs = { NAME = "src/main.rs" }

[[hole]]
name = "greet"
hints = [
    { en = "TEXT: a question", zh = "TEXT：一个问题" },
    { en = "TEXT: the way", zh = "TEXT：方法" },
    { en = "TEXT: nearly the answer", zh = "TEXT：几乎就是答案" },
]

[[check]]
id = "greeting.of_the_name"
points = 10
hole = "greet"
title = { en = "TEXT: what a pass shows", zh = "TEXT：通过说明什么" }
meaning = { en = "TEXT: what it means when it fails", zh = "TEXT：失败意味着什么" }
look = { en = "TEXT: how to see it without the grader", zh = "TEXT：不用评分器怎样看到" }
"#;

const CHECKS: &str = r#"//! What the programs of lab NUMBER do, seen from outside.

use crate::context::{Check, TIMEOUT, TestContext, Verdict, fail, quote};

pub(crate) const CHECKS: &[(&str, Check)] = &[("greeting.of_the_name", of_the_name)];

fn of_the_name(context: &TestContext) -> Verdict {
    let name = format!("guest{}", context.choose(0, 1000));
    let mut program = context.program("NAME").arg(&name).start()?;
    program.close_stdin();
    let wanted = format!("hello, {name}");
    let line = program.read_line(&format!("the line {}", quote(&wanted)))?;
    if line != wanted {
        return fail(quote(&wanted), quote(&line));
    }
    let status = program.wait("the program to end", TIMEOUT)?;
    if !status.success() {
        return fail("exit code 0", program.describe());
    }
    Ok(())
}
"#;

const PACKAGE: &str = r#"[package]
name = "labNUMBER_reference"
description = "The reference of lab NUMBER"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[[bin]]
name = "labNUMBER_reference"
path = "src/main.rs"
test = false
bench = false
doc = false

[dependencies]
"#;

const REFERENCE: &str = r#"//! Lab NUMBER: greets the name on the command line.
// lab:canary WORD

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    println!("{}", greet(&name));
}

/// The greeting for this name.
fn greet(name: &str) -> String {
    // lab:hole greet
    format!("hello, {name}")
    // lab:stub todo!("greet the name")
    // lab:end
}
"#;

const WRONG: &str = r#"// check: greeting.of_the_name
// mistake: everybody is greeted as the world
// lab:fill greet
    let _ = name;
    "hello, world".to_owned()
// lab:end
"#;

const ALTERNATIVE_1: &str = r#"// way: the greeting is put together from its pieces
// lab:fill greet
    ["hello", name].join(", ")
// lab:end
"#;

const ALTERNATIVE_2: &str = r#"// way: the greeting grows
// lab:fill greet
    let mut greeting = String::from("hello, ");
    greeting.push_str(name);
    greeting
// lab:end
"#;

const GUIDE_EN: &str = r#"# Lab NUMBER: TEXT

## Goal

## Background

## What to write

`src/main.rs` has one gap, `greet`.

```sh
cargo lab test NUMBER
```

## Points

| check | points |
|---|---|
| `greeting.of_the_name` | 10 |

## How it is checked

## See for yourself

## Further reading
"#;

const GUIDE_ZH: &str = r#"# 实验 NUMBER：TEXT

## 目标

## 背景

## 要写什么

`src/main.rs` 有一个空：`greet`。

```sh
cargo lab test NUMBER
```

## 分数

| 检查项 | 分数 |
|---|---|
| `greeting.of_the_name` | 10 |

## 怎样检查

## 自己看一看

## 延伸阅读
"#;
