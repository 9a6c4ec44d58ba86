//! What a deployment lets its services do on NATS, and what they are seen to do there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    process::Command,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::programs;

/// Something that a user of NATS may do, or did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The user: a service's name.
    pub user: String,
    /// What is done.
    pub act: Act,
    /// Where: a subject, perhaps with wildcards.
    pub subject: String,
}

/// What can be done with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Publish to it.
    Publish,
    /// Subscribe to it.
    Subscribe,
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let act = match self.act {
            Act::Publish => "publishes to",
            Act::Subscribe => "subscribes to",
        };
        write!(formatter, "{} {act} {}", self.user, self.subject)
    }
}

impl Right {
    /// Whether `done` is allowed by this.
    #[must_use]
    pub fn covers(&self, done: &Self) -> bool {
        self.user == done.user && self.act == done.act && matches(&self.subject, &done.subject)
    }

    /// What `deploy/nats/users.conf` grants.
    ///
    /// # Panics
    /// When the file does not look as it is expected to.
    #[must_use]
    pub fn granted() -> BTreeSet<Self> {
        granted_by(&users_conf())
    }

    /// What a NATS server has seen its users do, by the log of its tracing.
    #[must_use]
    pub fn used(log: &str) -> BTreeSet<Self> {
        let mut users = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for line in log.lines() {
            let Some((_, rest)) = line.split_once(" - cid:") else { continue };
            let Some((connection, rest)) = rest.split_once(' ') else { continue };
            let Some((_, command)) = rest.split_once("<<- [") else { continue };
            let Some((verb, arguments)) = command.trim_end_matches(']').split_once(' ') else {
                continue;
            };
            let act = match verb {
                "PUB" | "HPUB" => Act::Publish,
                "SUB" => Act::Subscribe,
                "CONNECT" => {
                    // A server writes this in place of secrets and of what is null.
                    let arguments = arguments.replace(":[REDACTED]", ":null");
                    let login: Value = serde_json::from_str(&arguments).unwrap_or_default();
                    users.insert(connection, login["user"].as_str().unwrap_or("").to_owned());
                    continue;
                }
                _ => continue,
            };
            let subject = arguments.split(' ').next().unwrap_or_default().to_owned();
            let user = users.get(connection).cloned().unwrap_or_default();
            seen.insert(Self { user, act, subject });
        }
        seen
    }
}

/// What NATS answers to `commands` of a user, up to its PONG or error.
///
/// # Panics
/// When the server is away.
pub async fn nats_answer(url: &str, user: &str, password: &str, commands: &str) -> String {
    let address = url.strip_prefix("nats://").unwrap();
    let mut connection = BufReader::new(TcpStream::connect(address).await.unwrap());
    let login = json!({"user": user, "pass": password, "verbose": false, "pedantic": false});
    let lines = format!("CONNECT {login}\r\n{commands}PING\r\n");
    connection.write_all(lines.as_bytes()).await.unwrap();
    let mut answer = String::new();
    loop {
        answer.clear();
        let length = connection.read_line(&mut answer).await.unwrap();
        if length == 0 || answer.starts_with("PONG") || answer.starts_with("-ERR") {
            return answer.trim().to_owned();
        }
    }
}

/// The rights of a deployment, as they are written.
pub(crate) fn users_conf() -> String {
    std::fs::read_to_string(programs::repository("deploy/nats/users.conf")).unwrap()
}

/// The rights of installations with these prefixes, as `deploy/nats/users.sh` writes them.
pub(crate) fn users_conf_of(prefixes: &[&str]) -> String {
    let script = programs::repository("deploy/nats/users.sh");
    let output = Command::new(script).args(prefixes).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn granted_by(file: &str) -> BTreeSet<Right> {
    let mut granted = BTreeSet::new();
    let (mut user, mut act) = (String::new(), None);
    for line in file.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("user: ") {
            name.clone_into(&mut user);
        } else if line == "publish: [" {
            act = Some(Act::Publish);
        } else if line == "subscribe: [" {
            act = Some(Act::Subscribe);
        } else if line == "]" {
            act = None;
        } else if let Some(subject) = line.strip_prefix('"') {
            let subject = subject.strip_suffix('"').expect("a subject in quotes").to_owned();
            let act = act.expect("a subject in a list");
            granted.insert(Right { user: user.clone(), act, subject });
        }
    }
    assert!(!granted.is_empty(), "users.conf grants nothing that can be read");
    granted
}

/// Whether a subject, which may have wildcards of its own, lies within a pattern.
fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(wanted), Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(user: &str, act: Act, subject: &str) -> Right {
        Right { user: user.to_owned(), act, subject: subject.to_owned() }
    }

    #[test]
    fn a_pattern_covers_what_lies_within_it() {
        let covers = |pattern, subject| {
            right("a", Act::Publish, pattern).covers(&right("a", Act::Publish, subject))
        };
        assert!(covers("x.y", "x.y") && covers("x.*", "x.y") && covers("x.>", "x.y.z"));
        assert!(covers("x.*", "x.*") && covers(">", "x.>"));
        assert!(!covers("x.y", "x.z") && !covers("x.*", "x.y.z") && !covers("x.*", "x.>"));
        assert!(!covers("x.>", "x") && !covers("x.y", "x") && !covers("x", "x.y"));
        let one = right("a", Act::Publish, "x");
        assert!(!one.covers(&right("b", Act::Publish, "x")));
        assert!(!one.covers(&right("a", Act::Subscribe, "x")));
    }

    #[test]
    fn rights_are_read_as_they_are_written() {
        let file = "users: [\n  {\n  user: a\n publish: [\n # why\n \"x.*\"\n ]\n  subscribe: [\n \
                    \"y\"\n ]\n }\n {\n user: b\n publish: [\n \"z\"\n ]\n }";
        let expected = [
            right("a", Act::Publish, "x.*"),
            right("a", Act::Subscribe, "y"),
            right("b", Act::Publish, "z"),
        ];
        assert_eq!(granted_by(file), expected.into());
    }

    #[test]
    fn what_was_done_is_read_from_the_trace_of_old_and_new_servers() {
        let log = r#"
[1] 2026/11/26 05:52:08.1 [TRC] 127.0.0.1:3 - cid:4 - <<- [CONNECT {"nkey":[REDACTED],"user":"a","pass":"[REDACTED]"}]
[1] 2026/11/26 05:52:08.1 [TRC] 127.0.0.1:3 - cid:4 - "v0.1:rust:goch-x" - <<- [SUB y g 1]
[1] 2026/11/26 05:52:08.1 [TRC] 127.0.0.1:3 - cid:4 - "v0.1:rust:goch-x" - <<- [PUB x _INBOX.a 2]
[1] 2026/11/26 05:52:08.1 [TRC] 127.0.0.1:3 - cid:4 - "v0.1:rust:goch-x" - <<- MSG_PAYLOAD: ["hi"]
[1] 2026/11/26 05:52:08.1 [TRC] 127.0.0.1:3 - cid:4 - "v0.1:rust:goch-x" - "$G/user:a" - <<- [HPUB z 12 14]
[1] 2026/11/26 05:52:08.1 [TRC] 127.0.0.1:3 - cid:4 - "v0.1:rust:goch-x" - ->> [MSG q 1 2]
[1] 2026/11/26 05:52:08.1 [TRC] 127.0.0.1:3 - cid:4 - "v0.1:rust:goch-x" - <-> [DELSUB 1]
"#;
        let expected = [
            right("a", Act::Publish, "x"),
            right("a", Act::Publish, "z"),
            right("a", Act::Subscribe, "y"),
        ];
        assert_eq!(Right::used(log), expected.into());
    }
}
