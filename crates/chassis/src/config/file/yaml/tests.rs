//! What is read of YAML, and what is refused.

use std::fmt::Write as _;

use super::*;

/// The entries as text, each with its place.
fn entries(text: &str) -> Vec<String> {
    let Document { entries, faults } = read(text);
    assert_eq!(faults, [], "{text}");
    let shown = |entry: Entry| {
        let (keys, place) = (entry.keys.join("."), entry.place);
        match entry.value {
            Value::Nothing => format!("{place} {keys} nothing"),
            Value::One(value) => format!("{place} {keys} {value:?}"),
            Value::Many(values) => format!("{place} {keys} {values:?}"),
        }
    };
    entries.into_iter().map(shown).collect()
}

fn faults(text: &str) -> Vec<String> {
    let shown = |(place, reason): (Place, String)| format!("{place} {reason}");
    read(text).faults.into_iter().map(shown).collect()
}

#[test]
fn values_stay_as_they_are_written_but_for_what_yaml_has_several_words_for() {
    let text = "
a: 007
b: 0x10
c: yes
d: 'null'
e: True
f: 'True'
g: ~
h:
i: a:b#c
j: \"two\\nlines\"
k: [1, b, ]
l: {}
m:
    n: 1e3  # a comment
    o: |
      text
";
    let expected = [
        "2:1 a \"007\"",
        "3:1 b \"0x10\"",
        "4:1 c \"yes\"",
        "5:1 d \"null\"",
        "6:1 e \"true\"",
        "7:1 f \"True\"",
        "8:1 g nothing",
        "9:1 h nothing",
        "10:1 i \"a:b#c\"",
        "11:1 j \"two\\nlines\"",
        "12:1 k [\"1\", \"b\"]",
        "13:1 l nothing",
        "15:5 m.n \"1e3\"",
        "16:5 m.o \"text\\n\"",
    ];
    assert_eq!(entries(text), expected);
}

#[test]
fn a_file_without_settings_says_nothing() {
    let comments = "a:\n".to_owned() + &"  # a comment\n".repeat(1_000);
    assert_eq!(entries(&comments), ["1:1 a nothing"]);
    for text in ["", "\n", "# a comment\n", "---\n", "null\n", "{}", "\u{feff}", "---\n...\n"] {
        assert_eq!(entries(text), [""; 0], "{text:?}");
    }
}

#[test]
fn json_is_yaml() {
    let expected = ["1:2 a \"1\"", "1:16 b.c \"x\""];
    assert_eq!(entries(r#"{"a": 1, "b": {"c": "x"}}"#), expected);
}

#[test]
fn every_fault_is_found_and_what_is_good_beside_it_is_read() {
    let text = "
a: &anchor 1
b: *anchor
c: !include secrets
d: {x: 1, x: 2}
[a, b]: {c: [1]}
e: [[1, 2], {f: g}, last]
h: 8
a: {again: 1}
";
    let expected = [
        "3:4 aliases are not supported",
        "4:13 tags are not supported",
        "5:11 a key is given twice",
        "6:1 a key is no plain word",
        "7:5 an element of a list is not one plain value",
        "7:13 an element of a list is not one plain value",
        "9:1 a key is given twice",
    ];
    assert_eq!(faults(text), expected);
    let read: Vec<_> = read(text).entries.into_iter().map(|entry| entry.keys.join(".")).collect();
    assert_eq!(read, ["a", "d.x", "e", "h"]);
}

#[test]
fn what_is_no_yaml_is_a_fault_with_its_line_and_without_its_value() {
    for text in [
        "a: 1\nb: [hunter2\n",
        "a: 1\nb: \"hunter2\n",
        "a: 1\nb:\n\tc: hunter2\n",
        "a: 1\nb: hunter2: x\n",
        "a: 1\nb: %hunter2\n",
        "a: 1\nb: *hunter2\n",
        "a: 1\nb: !hunter2!x 1\n",
        "a: 1\nb: \"\\hunter2\"\n",
        "a: 1\nb: @hunter2\n",
    ] {
        let faults = faults(text);
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        assert!(faults[0].starts_with(['2', '3']), "{text}: {faults:?}");
        assert!(!faults[0].contains("hunter"), "{text}: {faults:?}");
        assert_eq!(read(text).entries[0].keys, ["a"], "{text}");
    }
}

#[test]
fn what_is_no_mapping_is_a_fault() {
    for (text, expected) in [
        ("hunter2", "1:1 it is no mapping of settings"),
        ("A=b\nC=d\n", "1:1 it is no mapping of settings"),
        ("- a\n- b: c\n", "1:1 it is no mapping of settings"),
        ("a: 1\n---\nb: 2\n", "2:1 there is a second document"),
    ] {
        assert_eq!(faults(text), [expected], "{text}");
    }
}

#[test]
fn a_file_made_to_do_harm_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 8].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    assert!(!faults(&bomb).is_empty());
    for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        assert!(!faults(&format!("a: {deep}")).is_empty());
    }
    let mut nested = String::new();
    for level in 0..1_000 {
        writeln!(nested, "{}a:", " ".repeat(level)).unwrap();
    }
    assert!(!faults(&nested).is_empty());
    let mut wide = String::new();
    for number in 0..100_000 {
        writeln!(wide, "k{number}: 1").unwrap();
    }
    let read = read(&wide);
    assert_eq!((read.entries.len(), read.faults.len()), (1_000, 1));
    let long = format!("? {}\n: {{a: 1, b: 2}}\nc: 3\n", "k".repeat(500_000));
    assert_eq!(faults(&long), ["1:3 this is no setting's name"]);
}
