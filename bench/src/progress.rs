//! What is being done right now, on the terminal's last line.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    time::{Duration, Instant},
};

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(250);

/// Shows what is being done. Where nobody watches, each task is one line.
pub struct Progress {
    task: String,
    shown: Instant,
    is_watched: bool,
    is_silent: bool,
}

impl Progress {
    /// Shows on the standard error.
    #[must_use]
    pub fn new() -> Self {
        let is_watched = stderr().is_terminal();
        Self { task: String::new(), shown: Instant::now(), is_watched, is_silent: false }
    }

    /// Shows nothing, for tests.
    #[must_use]
    pub fn silent() -> Self {
        Self { is_watched: false, is_silent: true, ..Self::new() }
    }

    /// Begins a task.
    pub fn task(&mut self, task: impl Into<String>) {
        self.task = task.into();
        if self.is_watched {
            self.line("");
        } else {
            self.say(&self.task.clone());
        }
    }

    /// Begins what comes before a task, and is worth no line of its own.
    pub fn step(&mut self, step: impl Into<String>) {
        self.task = step.into();
        if self.is_watched {
            self.line("");
        }
    }

    /// Tells how far the task is.
    pub fn show(&mut self, detail: impl FnOnce() -> String) {
        if self.is_watched && self.shown.elapsed() >= EVERY {
            self.shown = Instant::now();
            self.line(&detail());
        }
    }

    /// Says something that stays.
    pub fn say(&self, text: &str) {
        if !self.is_silent {
            let start = if self.is_watched { "\r\x1b[K" } else { "" };
            // A terminal that is gone is no reason to stop.
            let _ = writeln!(stderr(), "{start}{text}");
        }
    }

    fn line(&self, detail: &str) {
        let task = &self.task;
        let mut stderr = stderr();
        let _ = write!(stderr, "\r\x1b[K{task}  {detail}");
        let _ = stderr.flush();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
