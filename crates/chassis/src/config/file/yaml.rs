//! A YAML document as a list of what stands at which keys.
//!
//! It is read event by event rather than into a struct, so that every fault is found at once, with its line, and
//! values stay as they were written. What a configuration does not need is a fault: aliases, with which a small
//! file could stand for a huge one, tags, and a key that is given twice.

use std::{collections::BTreeSet, fmt};

use granit_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

/// The longest key, in bytes. No setting's name is longer.
const KEY_MAX: usize = 64;

/// Settings and faults of a document, which is read no further after so many.
const ENTRIES_MAX: usize = 1_000;

/// What stands at a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The keys that lead to it, the outermost first.
    pub(super) keys: Vec<String>,
    /// Where the last of them is.
    pub(super) place: Place,
    /// What stands there.
    pub(super) value: Value,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `null`, or no value at all.
    Nothing,
    /// A word, number or text, as it was written.
    One(String),
    /// A list of such.
    Many(Vec<String>),
}

/// A place in a document, written as line and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    line: usize,
    column: usize,
}

impl From<&Marker> for Place {
    fn from(marker: &Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A document, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) entries: Vec<Entry>,
    /// What is wrong with it, and where. No value is repeated: it may be a secret.
    pub(super) faults: Vec<(Place, String)>,
}

/// Reads a document, which must be a mapping or empty.
pub(super) fn read(text: &str) -> Document {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        keys: Vec::new(),
        document: Document::default(),
    };
    // A document that ends early has a fault that says why.
    let _ = reader.stream();
    reader.document
}

/// Goes through a document, whose depth the parser bounds. Functions return none when there is nothing more to
/// be read.
struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    keys: Vec<String>,
    document: Document,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(Event<'a>, Place)> {
        match self.parser.next()? {
            Ok((event, span)) => Some((event, Place::from(&span.start))),
            Err(error) => {
                self.fault(Place::from(error.marker()), error.info());
                None
            }
        }
    }

    fn fault(&mut self, place: Place, reason: impl Into<String>) {
        self.document.faults.push((place, reason.into()));
    }

    fn stream(&mut self) -> Option<()> {
        let mut documents = 0;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => return Some(()),
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        self.fault(place, "there is a second document");
                        return None;
                    }
                }
                Event::MappingStart(..) => {
                    self.mapping()?;
                }
                Event::Scalar(value, style, ..) if is_nothing(&value, style) => {}
                other => {
                    self.fault(place, "it is no mapping of settings");
                    self.skip(&other)?;
                }
            }
        }
    }

    /// Reads a mapping that has begun: whether there was anything in it.
    fn mapping(&mut self) -> Option<bool> {
        let mut seen = BTreeSet::new();
        loop {
            let (event, place) = self.next()?;
            if self.document.entries.len() + self.document.faults.len() >= ENTRIES_MAX {
                self.fault(place, format!("there are more than {ENTRIES_MAX} settings"));
                return None;
            }
            match event {
                Event::MappingEnd => return Some(!seen.is_empty()),
                Event::Scalar(key, _, _, None) if key.len() > KEY_MAX => {
                    self.fault(place, "this is no setting's name");
                    self.skip_next()?;
                }
                Event::Scalar(key, _, _, None) => {
                    let key = key.into_owned();
                    if seen.insert(key.clone()) {
                        self.keys.push(key);
                        self.value(place)?;
                        self.keys.pop();
                    } else {
                        self.fault(place, "a key is given twice");
                        self.skip_next()?;
                    }
                }
                other => {
                    self.fault(place, "a key is no plain word");
                    self.skip(&other)?;
                    self.skip_next()?;
                }
            }
        }
    }

    /// Reads what stands at the key at `place`.
    fn value(&mut self, place: Place) -> Option<()> {
        let (event, at) = self.next()?;
        let value = match event {
            Event::Scalar(value, style, _, None) => scalar(&value, style),
            Event::SequenceStart(_, _, None) => Value::Many(self.list()?),
            Event::MappingStart(_, _, None) => {
                if self.mapping()? {
                    return Some(());
                }
                Value::Nothing
            }
            other => {
                let reason = match &other {
                    Event::Alias(_) => "aliases are not supported",
                    _ => "tags are not supported",
                };
                self.fault(at, reason);
                return self.skip(&other);
            }
        };
        self.document.entries.push(Entry { keys: self.keys.clone(), place, value });
        Some(())
    }

    /// Reads a list that has begun.
    fn list(&mut self) -> Option<Vec<String>> {
        let mut items = Vec::new();
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::SequenceEnd => return Some(items),
                Event::Scalar(value, style, _, None) => items.push(match scalar(&value, style) {
                    Value::One(item) => item,
                    _ => String::new(),
                }),
                other => {
                    self.fault(place, "an element of a list is not one plain value");
                    self.skip(&other)?;
                }
            }
        }
    }

    fn skip_next(&mut self) -> Option<()> {
        let (event, _) = self.next()?;
        self.skip(&event)
    }

    /// Passes over what begins with `event`, however deep it is.
    fn skip(&mut self, event: &Event<'a>) -> Option<()> {
        let mut depth = depth_after(0, event);
        while depth > 0 {
            let (event, _) = self.next()?;
            depth = depth_after(depth, &event);
        }
        Some(())
    }
}

fn depth_after(depth: usize, event: &Event<'_>) -> usize {
    match event {
        Event::MappingStart(..) | Event::SequenceStart(..) => depth + 1,
        Event::MappingEnd | Event::SequenceEnd => depth.saturating_sub(1),
        _ => depth,
    }
}

/// YAML's core schema, as far as it matters to what is text in the end.
fn scalar(value: &str, style: ScalarStyle) -> Value {
    if is_nothing(value, style) {
        return Value::Nothing;
    }
    Value::One(match value {
        "True" | "TRUE" if style == ScalarStyle::Plain => "true".to_owned(),
        "False" | "FALSE" if style == ScalarStyle::Plain => "false".to_owned(),
        _ => value.to_owned(),
    })
}

fn is_nothing(value: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(value, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests;
