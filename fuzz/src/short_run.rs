//! Every target on its corpus, and on mutations of it.
//!
//! Short enough for `make test`; `make fuzz` looks further. A mutation that fails is shrunk, and its
//! bytes are shown so that they can be added to the corpus.

use std::{fmt, fs, panic, path::Path};

use proptest::{
    prelude::*,
    sample::{Index, Selector},
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::{TARGETS, Target};

/// Mutations of each target.
const CASES: u32 = 1_000;

/// Edits of one mutation.
const EDITS_MAX: usize = 6;

/// Shown as text in failures.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0.escape_ascii())
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, Vec<u8>),
    Overwrite(Index, u8),
    Remove(Index, Index),
    Repeat(Index, Index),
    /// Goes on as another seed does.
    Splice(Index, Vec<u8>),
}

impl Edit {
    fn apply(self, bytes: &mut Vec<u8>) {
        let position = |index: Index| index.index(bytes.len() + 1);
        let range = |one: Index, other: Index| {
            let (one, other) = (position(one), position(other));
            one.min(other)..one.max(other)
        };
        match self {
            Self::Insert(at, word) => {
                let at = position(at);
                bytes.splice(at..at, word);
            }
            Self::Overwrite(at, byte) => {
                let at = at.index(bytes.len().max(1));
                bytes.get_mut(at).into_iter().for_each(|old| *old = byte);
            }
            Self::Remove(from, to) => drop(bytes.drain(range(from, to))),
            Self::Repeat(from, to) => bytes.extend_from_within(range(from, to)),
            Self::Splice(at, seed) => {
                let at = position(at);
                bytes.truncate(at);
                bytes.extend_from_slice(seed.get(at..).unwrap_or_default());
            }
        }
    }
}

/// The targets' seeds; inputs of defects that were found and mended are among them.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|_| panic!("{} is missing", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The words of the dictionary, which libFuzzer reads too.
fn words() -> Vec<Vec<u8>> {
    let lines = include_str!("../protocol.dict").lines();
    let quoted = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescape).collect()
}

fn unescape(word: &str) -> Vec<u8> {
    let mut parts = word.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(byte, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

fn mutations(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    let words = words();
    let one_of = |choices: Vec<Vec<u8>>| {
        any::<Selector>().prop_map(move |selector| selector.select(&choices).clone())
    };
    let edit = prop_oneof![
        (any::<Index>(), one_of(words)).prop_map(|(at, word)| Edit::Insert(at, word)),
        any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Overwrite(at, byte)),
        any::<(Index, Index)>().prop_map(|(from, to)| Edit::Remove(from, to)),
        any::<(Index, Index)>().prop_map(|(from, to)| Edit::Repeat(from, to)),
        (any::<Index>(), one_of(seeds.clone())).prop_map(|(at, seed)| Edit::Splice(at, seed)),
    ];
    (one_of(seeds), prop::collection::vec(edit, 1..=EDITS_MAX)).prop_map(|(mut bytes, edits)| {
        for edit in edits {
            edit.apply(&mut bytes);
        }
        Input(bytes)
    })
}

#[test]
fn every_target_holds_on_its_corpus() {
    for target in TARGETS {
        let seeds = corpus(target);
        assert!(!seeds.is_empty(), "{} has no corpus", target.name);
        for seed in seeds {
            let outcome = panic::catch_unwind(|| (target.run)(&seed));
            assert!(outcome.is_ok(), "{}: {:?}", target.name, Input(seed));
        }
    }
}

#[test]
fn every_target_holds_on_mutations_of_its_corpus() {
    for target in TARGETS {
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let outcome = runner.run(&mutations(corpus(target)), |input| {
            panic::catch_unwind(|| (target.run)(&input.0))
                .map_err(|_| TestCaseError::fail("it does not hold"))
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", target.name);
        }
    }
}
