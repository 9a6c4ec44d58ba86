//! NATS servers with the configuration of a deployment: the files of `deploy/nats`, on ports of their own.

use std::path::PathBuf;

use crate::{
    ports,
    process::Process,
    programs,
    rights::users_conf,
    servers::{NatsServer, Servers, password, users_with_operator},
};

/// What the servers show each other.
const ROUTE_PASSWORD: &str = "proute";

impl Servers {
    /// Three NATS servers as `k8s/components/three-nats` starts them, and Redis. The rights hold for the
    /// prefix `goch`.
    ///
    /// # Panics
    /// When their configuration is not as it is expected to be, or cannot be written.
    #[must_use]
    pub fn deployed() -> Self {
        let ports = [(); 3].map(|()| ports::free());
        let mut routes = vec![("NATS_ROUTE_PASSWORD".to_owned(), ROUTE_PASSWORD.to_owned())];
        for (number, port) in ports.iter().enumerate() {
            let route = format!("nats-route://route:{ROUTE_PASSWORD}@127.0.0.1:{port}");
            routes.push((format!("NATS_ROUTE_{number}"), route));
        }
        Self::of(|folder| {
            let server = |number: usize| {
                let name = format!("goch-nats-{number}");
                let mut server = NatsServer::new(folder, &name);
                server.with_users();
                let files = folder.join(format!("{name}.d"));
                let monitor = ports::free();
                std::fs::create_dir(&files).unwrap();
                for (file, port, own) in [
                    ("nats.conf", "http_port: 8222", format!("http_port: {monitor}")),
                    ("cluster.conf", "port: 6222", format!("port: {}", ports[number])),
                ] {
                    let path = programs::repository(&format!("deploy/nats/{file}"));
                    let text = std::fs::read_to_string(path).unwrap();
                    assert!(text.contains(port), "{file} has no {port}");
                    std::fs::write(files.join(file), text.replace(port, &own)).unwrap();
                }
                std::fs::write(files.join("users.conf"), users_with_operator(&users_conf()))
                    .unwrap();
                let mut environment = routes.clone();
                environment.extend(
                    [
                        ("NATS_SERVER_NAME", name),
                        ("NATS_STORE_DIR", files.join("store").display().to_string()),
                        // Each message to the disk would make tests wait for it three times.
                        ("NATS_SYNC_INTERVAL", "120s".to_owned()),
                    ]
                    .map(|(name, value)| (name.to_owned(), value)),
                );
                server.deploy(files.join("cluster.conf"), monitor, environment);
                server
            };
            [0, 1, 2].map(server).into()
        })
    }
}

impl NatsServer {
    /// Starts what tells the server that a file of its configuration has changed: `deploy/nats/reload.sh`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn watch_configuration(&self) -> Process {
        let script = programs::repository("deploy/nats/reload.sh");
        let files = self.configuration_file();
        let folder = files.parent().unwrap();
        let arguments = [folder.to_owned(), self.pid_file(), PathBuf::from("1")];
        let environment = [("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())];
        Process::start(&script, arguments, environment, &folder.join("reload.log"))
    }

    /// Logs in as the operator, who may do anything.
    #[must_use]
    pub fn operator(&self) -> async_nats::ConnectOptions {
        async_nats::ConnectOptions::with_user_and_password("operator".into(), password("operator"))
    }
}
