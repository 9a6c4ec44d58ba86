//! One started program: its output in a file, its end certain.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{programs, wait::until};

/// A running program. It is killed when this is dropped, and also when the test process dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with these variables and no others; its output is added to the file `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<A, E>(program: &Path, arguments: A, environment: E, log: &Path) -> Self
    where
        A: IntoIterator<Item: AsRef<std::ffi::OsStr>>,
        E: IntoIterator<Item = (String, String)>,
    {
        let output = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = bound_to_this_process(program);
        command
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let child = spawn(command)
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        Self { child, log: log.to_owned() }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its memory at the moment, in bytes: what it has in RAM.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        resident_kibibytes(self.child.id()).map(|kibibytes| kibibytes * 1024)
    }

    /// The exit status, if the program has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the program's own end.
    pub async fn exit(&mut self) -> ExitStatus {
        let what = format!("the end of the program that writes {}", self.log.display());
        until(&what, async || self.ended()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(target_os = "linux")]
fn resident_kibibytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// As POSIX's program says it, which a slim Linux need not have.
#[cfg(not(target_os = "linux"))]
fn resident_kibibytes(process: u32) -> Option<u64> {
    let output =
        Command::new("ps").args(["-o", "rss=", "-p", &process.to_string()]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// What a log file has.
pub(crate) fn output(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// A command whose process the kernel kills when the one that spawned it dies, where there is
/// util-linux: then not even a killed test leaves anything behind.
fn bound_to_this_process(program: &Path) -> Command {
    let Some(setpriv) = programs::find("SETPRIV", "setpriv") else { return Command::new(program) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Spawns from one thread that lives as long as this process: to the kernel, "the one that spawned
/// it" is a thread, and those of tests end.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                // A failed test may have gone in the meantime.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, answered) = mpsc::channel();
    SPAWNER.send((command, answer)).unwrap();
    answered.recv().unwrap()
}
