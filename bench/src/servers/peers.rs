//! What Goch is compared with: the floor, and chat servers of the usual kind on Node.

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

use super::{
    Target,
    process::{Process, find_program, free_address},
    usage::{FRONT, Watched},
};
use crate::{
    client::Dialect,
    error::{Error, Result, Trying as _},
    floor::Writes,
};

/// Servers to compare with. They end when this is dropped.
pub struct Peers {
    running: Vec<(Peer, Process, Target)>,
    folder: TempDir,
    options: Options,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Options {
    /// This program, which is also the floor.
    pub floor: PathBuf,
    /// The folder with Node's servers and their packages, if they are installed.
    pub node: Option<PathBuf>,
}

/// A server to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The floor.
    Floor(Writes),
    /// `ws`, the WebSocket library of most Node servers.
    Ws,
    /// socket.io, over WebSockets only.
    SocketIo,
}

impl Peer {
    /// Its name in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Floor(Writes::Coalesced) => "floor",
            Self::Floor(Writes::Each) => "floor, one write a frame",
            Self::Ws => "ws",
            Self::SocketIo => "socket.io",
        }
    }
}

impl Peers {
    /// None yet.
    ///
    /// # Errors
    /// When no folder can be made for their logs.
    pub fn new(options: Options) -> Result<Self> {
        let folder = tempfile::tempdir().trying("making a folder")?;
        Ok(Self { running: Vec::new(), folder, options })
    }

    /// Whether Node's servers can be run.
    #[must_use]
    pub fn has_node(&self) -> bool {
        self.options.node.is_some()
    }

    /// The peer as a target; it is started if it does not run.
    ///
    /// # Errors
    /// When it does not start.
    pub fn target(&mut self, peer: Peer) -> Result<Target> {
        if let Some((_, _, target)) = self.running.iter().find(|(running, ..)| *running == peer) {
            return Ok(target.clone());
        }
        let (process, target) = self.start(peer)?;
        self.running.push((peer, process, target.clone()));
        Ok(target)
    }

    /// Starts a peer that nobody else uses.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, peer: Peer) -> Result<(Process, Target)> {
        let address = free_address()?;
        let (mut command, dialect) = match peer {
            Peer::Floor(writes) => {
                let mut command = Command::new(&self.options.floor);
                command.args(["floor", "--writes", writes.as_str(), "--listen"]);
                (command, Dialect::Plain)
            }
            Peer::Ws => (self.node("ws.js")?, Dialect::Plain),
            Peer::SocketIo => (self.node("socket-io.js")?, Dialect::SocketIo),
        };
        command.arg(address.to_string());
        let name = format!("peer-{}", address.port());
        let mut process = Process::start(&name, self.folder.path(), &mut command)?;
        process.wait_to_listen(address)?;
        let target = Target {
            name: peer.name().to_owned(),
            dialect,
            addresses: vec![address],
            processes: Watched::default().with(FRONT, process.id()),
        };
        Ok((process, target))
    }

    fn node(&self, script: &str) -> Result<Command> {
        let folder = self.options.node.as_ref().ok_or_else(|| Error::Missing("node".into()))?;
        let mut command = Command::new(find_program("NODE", "node")?);
        command.arg(folder.join(script));
        Ok(command)
    }
}
