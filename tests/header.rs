//! include/virsnap.h: made from src/capi, up to date, and at peace with libvirt's own headers.
//!
//! `UPDATE_HEADER=1 cargo test --test header` writes the header anew.

#![allow(
    clippy::unwrap_used,
    reason = "whatever fails here is the test's own failure"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// The header's parts: what cbindgen reads for each, and how it writes enums and structures.
const CONSTANTS: [&str; 2] = ["constants.rs", "error_constants.rs"];
const TYPES: [&str; 1] = ["types.rs"];
const FUNCTIONS: [&str; 19] = [
    "version.rs",
    "connection.rs",
    "connection_domains.rs",
    "close_callback.rs",
    "domain.rs",
    "domain_facts.rs",
    "snapshot.rs",
    "snapshot_list.rs",
    "snapshot_handle.rs",
    "differences.rs",
    "errors.rs",
    "problem.rs",
    "size.rs",
    "plan.rs",
    "event.rs",
    "migrate.rs",
    "migrate_libvirt.rs",
    "callbacks.rs",
    "guest.rs",
];

const BEGIN: &str = r#"/*
 * virsnap.h: libvirt's domain snapshot API as a small library of its own.
 *
 * Made by cbindgen from the Rust sources (UPDATE_HEADER=1 cargo test --test header); do not edit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The functions are libvirt's, with libvirt's types. Where libvirt's headers are installed or
 * have been included already, the types and constants are taken from there, so this header can
 * stand before or after them. Otherwise they are declared here. A program that wants them from
 * here in any case defines VIRSNAP_OWN_TYPES, and then does not include libvirt's headers.
 */

#ifndef VIRSNAP_H
#define VIRSNAP_H

#if defined(VIRSNAP_OWN_TYPES)
# if defined(LIBVIR_VERSION_NUMBER)
#  error "VIRSNAP_OWN_TYPES is defined, but libvirt's headers are included already"
# endif
#elif defined(LIBVIR_VERSION_NUMBER)
# define VIRSNAP_LIBVIRT_TYPES
#elif defined(__has_include)
# if __has_include(<libvirt/libvirt.h>) && __has_include(<libvirt/virterror.h>)
#  define VIRSNAP_LIBVIRT_TYPES
# endif
#endif

#if defined(VIRSNAP_LIBVIRT_TYPES)
# include <libvirt/libvirt.h>
# include <libvirt/virterror.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

"#;

const OWN_TYPES: &str = r#"#if !defined(VIRSNAP_LIBVIRT_TYPES)

/**
 * Whether the API that this header follows is at least of that version of libvirt.
 */
#define LIBVIR_CHECK_VERSION(major, minor, micro) \
    ((major) * 1000000 + (minor) * 1000 + (micro) <= LIBVIR_VERSION_NUMBER)

"#;

const OWN_TYPES_END: &str = "\n#endif /* !VIRSNAP_LIBVIRT_TYPES */\n\n";

const END: &str = r#"
#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* VIRSNAP_H */
"#;

/// A language that a program may be written in, and its strictest compiler call.
const LANGUAGES: [&[&str]; 2] = [&["cc", "-std=c11", "-xc"], &["c++", "-std=c++17", "-xc++"]];

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

const LIBVIRT: &str = "#include <libvirt/libvirt.h>\n#include <libvirt/virterror.h>\n";
const OURS: &str = "#include <virsnap.h>\n";
const FORCED: &str = "#define VIRSNAP_OWN_TYPES\n#include <virsnap.h>\n";
/// Names one thing of each part.
const USE: &str = "virDomainSnapshotPtr make(virDomainPtr domain);\n\
    virDomainSnapshotPtr make(virDomainPtr domain) {\n\
    virErrorPtr error = virGetLastError();\n\
    if (error && error->level == VIR_ERR_ERROR && error->code == VIR_ERR_NO_DOMAIN) return 0;\n\
    return virDomainSnapshotCreateXML(domain, \"\", VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE); }\n\
    unsigned long version(void);\n\
    unsigned long version(void) { unsigned long is = 0;\n\
    return virSnapGetVersion(&is) == 0 && is >= VIRSNAP_VERSION_NUMBER ? is : 0; }\n";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn header_path() -> PathBuf {
    root().join("include/virsnap.h")
}

fn part(files: &[&str], style: cbindgen::Style) -> String {
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    config.style = style;
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in files {
        builder = builder.with_src(root().join("src/capi").join(file));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    // What Rust calls safety is what the caller owes; C has no heading for it.
    String::from_utf8(text)
        .unwrap()
        .replace(" * # Safety\n *\n * ", " * Safety: ")
}

fn header() -> String {
    // libvirt's enums have a type name only, its structures a tag.
    let constants = part(&CONSTANTS, cbindgen::Style::Type);
    let types = part(&TYPES, cbindgen::Style::Tag);
    let functions = part(&FUNCTIONS, cbindgen::Style::Tag);
    [
        BEGIN,
        OWN_TYPES,
        &constants,
        "\n",
        &types,
        OWN_TYPES_END,
        &functions,
        END,
    ]
    .concat()
}

fn compile(arguments: &[&str], source: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("source");
    fs::write(&file, source).unwrap();
    let (program, rest) = arguments.split_first().unwrap();
    Command::new(program)
        .args(rest)
        .args(STRICT)
        .arg("-I")
        .arg(root().join("include"))
        .arg(&file)
        .output()
        .unwrap()
}

fn is_valid(language: &[&str], source: &str) {
    let arguments = [language, &["-fsyntax-only"]].concat();
    let output = compile(&arguments, source);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{source}\n{said}",
        arguments.join(" ")
    );
}

/// Whether libvirt's headers are there to compare with. Says so if they are not.
fn has_libvirt() -> bool {
    let output = compile(&["cc", "-xc", "-fsyntax-only"], LIBVIRT);
    let found = output.status.success();
    if !found {
        eprintln!("SKIPPED: libvirt's headers are not installed (libvirt-dev)");
    }
    found
}

#[test]
fn header_is_fresh() {
    let fresh = header();
    if env::var_os("UPDATE_HEADER").is_some() {
        fs::write(header_path(), &fresh).unwrap();
    }
    let committed = fs::read_to_string(header_path()).unwrap_or_default();
    assert!(
        committed == fresh,
        "include/virsnap.h is not what src/capi says; run UPDATE_HEADER=1 cargo test --test header"
    );
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn header_has_each_export() {
    let header = fs::read_to_string(header_path()).unwrap();
    let mut exports = 0;
    for file in files_below(&root().join("src/capi")) {
        for name in exported_names(&fs::read_to_string(file).unwrap()) {
            assert!(
                header.contains(&format!("{name}(")),
                "{name} is not in the header"
            );
            exports += 1;
        }
    }
    // Of snapshots, of connections (with virInitialize and virGetVersion), of domains, of errors,
    // of problems, of running guests, of differences, of migration, of sizes, of plans, of events, and our
    // own version.
    assert_eq!(exports, 21 + 21 + 22 + 15 + 5 + 4 + 1 + 19 + 1 + 6 + 2 + 1);
}

fn exported_names(source: &str) -> Vec<String> {
    let name_of = |signature: &str| {
        let name = signature
            .split_once("extern \"C\" fn ")?
            .1
            .split_once('(')?
            .0;
        Some(name.to_owned())
    };
    source
        .split("#[unsafe(no_mangle)]")
        .skip(1)
        .filter_map(name_of)
        .collect()
}

#[test]
fn header_stands_alone() {
    for language in LANGUAGES {
        is_valid(language, &[OURS, USE].concat());
        is_valid(language, &[OURS, OURS, USE].concat());
        is_valid(language, &[FORCED, USE].concat());
    }
}

#[test]
fn header_stands_before_and_after_libvirts() {
    if !has_libvirt() {
        return;
    }
    for language in LANGUAGES {
        is_valid(language, &[OURS, LIBVIRT, USE].concat());
        is_valid(language, &[LIBVIRT, OURS, USE].concat());
        is_valid(
            language,
            &["#include <libvirt/libvirt.h>\n", OURS, USE].concat(),
        );
    }
}

#[test]
fn own_types_and_libvirts_do_not_mix_unseen() {
    if !has_libvirt() {
        return;
    }
    let output = compile(&["cc", "-xc", "-fsyntax-only"], &[LIBVIRT, FORCED].concat());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("VIRSNAP_OWN_TYPES is defined"));
}

/// Our own declarations are turned into assertions by one C program, and a second one puts them to
/// libvirt's declarations.
#[test]
fn own_constants_and_layouts_are_libvirts() {
    if !has_libvirt() {
        return;
    }
    let header = fs::read_to_string(header_path()).unwrap();
    let own = between(&header, OWN_TYPES, OWN_TYPES_END);
    let constants = constant_names(own);
    let fields = struct_fields(own);
    // Arithmetic: 111 numbers and 73 domains alone are more.
    assert!(constants.len() > 250, "{}", constants.len());
    assert_eq!(fields.len(), 12 + 6 + 4 + 5, "{fields:?}");
    let assertions = run(&assertion_writer(&constants, &fields));
    assert_eq!(
        assertions.lines().count(),
        constants.len() + 2 * fields.len()
    );
    is_valid(
        &["cc", "-std=c11", "-xc", "-Wno-deprecated-declarations"],
        &[LIBVIRT, "#include <stddef.h>\n", &assertions].concat(),
    );
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).unwrap().1.split_once(end).unwrap().0
}

fn constant_names(declarations: &str) -> Vec<&str> {
    declarations
        .lines()
        .filter_map(|line| match line.strip_prefix("#define ") {
            Some(definition) => definition.split(' ').next(),
            None => Some(line.trim().split_once(" = ")?.0),
        })
        .collect()
}

/// Structure and field, in pairs.
fn struct_fields(declarations: &str) -> Vec<(&str, &str)> {
    let mut fields = Vec::new();
    let mut structure = None;
    for line in declarations.lines() {
        if let Some(name) = line
            .strip_prefix("struct ")
            .and_then(|line| line.strip_suffix(" {"))
        {
            structure = Some(name);
        } else if line == "};" {
            structure = None;
        } else if let (Some(name), Some(field)) = (structure, line.strip_suffix(';')) {
            fields.push((name, field.rsplit([' ', '*']).next().unwrap()));
        }
    }
    fields
}

fn assertion_writer(constants: &[&str], fields: &[(&str, &str)]) -> String {
    let mut program =
        format!("{FORCED}#include <stddef.h>\n#include <stdio.h>\nint main(void) {{\n");
    for name in constants {
        writeln!(
            program,
            r#"printf("_Static_assert({name} == %lld, \"{name}\");\n", (long long) {name});"#
        )
        .unwrap();
    }
    for (structure, field) in fields {
        for fact in [
            format!("offsetof(struct {structure}, {field})"),
            format!(
                "sizeof(struct {structure}) * 1000 + sizeof(((struct {structure} *) 0)->{field})"
            ),
        ] {
            writeln!(
                program,
                r#"printf("_Static_assert({fact} == %zu, \"{structure}.{field}\");\n", {fact});"#
            )
            .unwrap();
        }
    }
    program + "return 0; }\n"
}

/// Compiles and runs a C program and gives what it printed.
fn run(source: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("program");
    let output = compile(
        &["cc", "-std=c11", "-xc", "-o", path_text(&program)],
        source,
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{source}\n{said}");
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
