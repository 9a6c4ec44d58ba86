//! One process: started with its output in a file, ended when it is dropped.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result, Trying as _};

/// How long a process may take until it listens or is ready.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a process may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with its output in `folder`/`name`.log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).trying("creating a log file")?;
        let errors = output.try_clone().trying("creating a log file")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| Error::failed(format!("starting {name}"), error))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until something listens at `address`.
    ///
    /// # Errors
    /// When the process ends, or takes too long.
    pub fn wait_to_listen(&mut self, address: SocketAddr) -> Result<()> {
        self.wait_until(|| TcpStream::connect(address).is_ok())
    }

    /// Waits until `is_done`.
    ///
    /// # Errors
    /// When the process ends, or takes too long.
    pub fn wait_until(&mut self, mut is_done: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_done() {
            let ended = self.child.try_wait().trying("looking after a process")?;
            if ended.is_some() || started.elapsed() > START_TIMEOUT {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let from = log.len().saturating_sub(2_000);
                let tail = log.get(from..).unwrap_or(&log);
                let why = if ended.is_some() { "it ended" } else { "it takes too long" };
                return Err(Error::failed(
                    format!("starting {}", self.name),
                    format!("{why}\n{tail}"),
                ));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > END_TIMEOUT {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The first of the ports that are given out. They lie below those that the kernel takes for outgoing
/// connections, one of which could take a port before the server that it was chosen for.
const FIRST_PORT: u16 = 12_000;

/// How many they are.
const PORTS: u16 = 20_000;

/// An address of this machine that nothing listens at, and that is not given out again soon.
///
/// # Errors
/// When the system has none.
pub fn free_address() -> Result<SocketAddr> {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| {
        // Processes that run at the same time begin at different places.
        AtomicU32::new(std::process::id().wrapping_mul(7_919) % u32::from(PORTS))
    });
    for _ in 0..PORTS {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % u32::from(PORTS);
        let port = FIRST_PORT + u16::try_from(number).trying("looking for a free port")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(Error::failed("looking for a free port", "all are taken"))
}

/// Finds a server program: named by `variable`, or in the usual places.
///
/// # Errors
/// When it is in none of them.
pub fn find_program(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian puts servers where only root's PATH looks.
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::Missing(name.into()))
}
