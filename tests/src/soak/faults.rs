//! What goes wrong while calls are made: the upstream dies, stops, closes its port; configurations come and go; circuits are forced; bursts arrive.
//! What goes wrong within a single call is its play (`play`) or its cut (`call`).

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpSocket, process::Command, task::JoinSet};
use tower_rampart::clock::now;

use super::{
    call::Plan,
    chance::Chance,
    child::Child,
    connect::ask,
    document::{self, BODIES, LIMITED, SPARE},
    host::BACK,
    raw::flurry,
    upstream::bind,
    worker::{Shared, alone},
};

/// Where the management API of the program is, on its admin address.
const API: &str = "/internal/resilience";

/// How long a file that was written may take to be in force.
const RELOAD: Duration = Duration::from_secs(10);

/// The upstream of one process under test.
#[derive(Debug)]
pub(crate) struct Upstream {
    program: PathBuf,
    pub(crate) address: SocketAddr,
    /// Bound and not listening: nobody else gets the port while the process is dead.
    _reserved: TcpSocket,
    pub(crate) folder: TempDir,
    process: Child,
}

impl Upstream {
    /// Starts it on a port of its own.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start() -> io::Result<Self> {
        let reserved = bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let (address, folder, program) = (reserved.local_addr()?, TempDir::new()?, std::env::current_exe()?);
        let process = Self::process(&program, address, &folder).await?;
        Ok(Self { program, address, _reserved: reserved, folder, process })
    }

    async fn process(program: &PathBuf, address: SocketAddr, folder: &TempDir) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.arg("upstream").arg(address.to_string()).arg(folder.path());
        let mut process = Child::start(command)?;
        process.line("listening on ").await?;
        Ok(process)
    }

    /// Ends it by SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.process = Self::process(&self.program, self.address, &self.folder).await?;
        Ok(())
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Stop,
    ClosePort,
    Reload,
    WrongReload,
    Hangup,
    Circuit,
    Override,
    Burst,
    Flurry,
}

impl Fault {
    const ALL: [(u64, Self); 10] = [
        (2, Self::Kill),
        (2, Self::Stop),
        (2, Self::ClosePort),
        (3, Self::Reload),
        (2, Self::WrongReload),
        (2, Self::Hangup),
        (2, Self::Circuit),
        (2, Self::Override),
        (2, Self::Burst),
        (3, Self::Flurry),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Kill => "upstream killed (SIGKILL)",
            Self::Stop => "upstream stopped (SIGSTOP)",
            Self::ClosePort => "port closed",
            Self::Reload => "configuration replaced",
            Self::WrongReload => "configuration that is wrong",
            Self::Hangup => "SIGHUP",
            Self::Circuit => "circuit operated by hand",
            Self::Override => "configuration overridden for a second",
            Self::Burst => "burst",
            Self::Flurry => "flurry of broken clients",
        }
    }
}

/// Whom it happens to.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) front: &'a Child,
    pub(crate) admin: SocketAddr,
    pub(crate) upstream: &'a mut Upstream,
    /// The file that the process under test follows, if it does.
    pub(crate) file: Option<PathBuf>,
    pub(crate) shared: &'a Arc<Shared>,
}

impl Scene<'_> {
    /// Lets things go wrong, one after another, until it is over; then all are well again.
    ///
    /// # Errors
    /// If what is to go wrong cannot be done.
    pub(crate) async fn play(&mut self, chance: &mut Chance) -> io::Result<()> {
        self.configure(&document::first(self.shared.is_gateway).to_string()).await?;
        while !self.shared.is_over() {
            tokio::time::sleep(chance.millis(50, 700)).await;
            let fault = chance.weighted(&Fault::ALL);
            if matches!(fault, Fault::Hangup | Fault::Override) && self.file.is_none() {
                continue;
            }
            self.shared.tally.fault(fault.name());
            self.cause(fault, chance).await?;
        }
        self.configure(&document::calm(self.shared.is_gateway).to_string()).await?;
        self.reset_circuits().await
    }

    /// Resets all circuits, forced ones and what their windows hold included.
    ///
    /// # Errors
    /// If they cannot be asked for.
    pub(crate) async fn reset_circuits(&self) -> io::Result<()> {
        for (_, operation) in self.circuits() {
            let deadline = now().after(RELOAD);
            while !self.operate(operation, "reset").await? {
                if now() > deadline {
                    self.shared.tally.complain(format!("the circuit of {operation} stays off"));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    async fn cause(&mut self, fault: Fault, chance: &mut Chance) -> io::Result<()> {
        match fault {
            Fault::Kill => {
                self.upstream.kill().await;
                tokio::time::sleep(chance.millis(0, 800)).await;
                self.upstream.restart().await?;
            }
            Fault::Stop => {
                self.upstream.process.signal("-STOP").await;
                tokio::time::sleep(chance.millis(50, 800)).await;
                self.upstream.process.signal("-CONT").await;
            }
            Fault::ClosePort => {
                self.upstream.process.tell("close").await?;
                tokio::time::sleep(chance.millis(50, 800)).await;
                self.upstream.process.tell("open").await?;
            }
            Fault::Reload => {
                self.configure(&document::varied(self.shared.is_gateway, chance).to_string()).await?;
            }
            Fault::WrongReload => self.configure(&document::wrong(chance)).await?,
            Fault::Hangup => self.front.signal("-HUP").await,
            Fault::Circuit => {
                let commands = [(1, "reset"), (2, "force-open"), (1, "force-close")];
                let operation = chance.weighted(&self.circuits());
                self.operate(operation, chance.weighted(&commands)).await?;
                tokio::time::sleep(chance.millis(10, 300)).await;
                self.operate(operation, "reset").await?;
            }
            Fault::Override => self.lay_over(chance).await?,
            Fault::Burst => self.burst(chance).await,
            Fault::Flurry => {
                let clients = chance.between(5, 60);
                flurry(self.shared.address, clients, &self.shared.tally, chance).await;
            }
        }
        Ok(())
    }

    /// Gives it another configuration, which it may refuse.
    async fn configure(&self, text: &str) -> io::Result<()> {
        match &self.file {
            Some(file) => fs::write(file, text),
            None => ask(self.admin, "POST", "/document", text).await.map(|_| ()),
        }
    }

    /// The operations whose circuits can be operated.
    fn circuits(&self) -> Vec<(u64, &'static str)> {
        if self.file.is_some() { vec![(4, "default"), (1, LIMITED), (1, BODIES), (1, SPARE)] } else { vec![(1, BACK)] }
    }

    /// Operates a circuit: by the management API, or by the library where there is none. Whether it is on: a configuration may have turned it off.
    async fn operate(&self, operation: &str, command: &str) -> io::Result<bool> {
        let path = match self.file {
            Some(_) => format!("{API}/circuit-breakers/{operation}/{command}"),
            None => format!("/circuit/{command}"),
        };
        let (status, text) = ask(self.admin, "POST", &path, "").await?;
        let is_off = status == 422 && text.contains("Circuit breaker is off");
        if !is_off && !(200..300).contains(&status) {
            self.shared.tally.complain(format!("{command} of {operation} is refused: {status} {text}"));
        }
        Ok(!is_off)
    }

    /// Lays other values over the configuration for a second, by the management API.
    async fn lay_over(&self, chance: &mut Chance) -> io::Result<()> {
        let body = json!({"timeout": {"attempt": format!("{}ms", chance.between(150, 400))}}).to_string();
        let (status, text) = ask(self.admin, "PATCH", &format!("{API}/config?ttl_seconds=1"), &body).await?;
        if status != 200 {
            self.shared.tally.complain(format!("an override is refused: {status} {text}"));
        }
        Ok(())
    }

    /// More calls at once than any limit allows, each over a connection of its own.
    async fn burst(&self, chance: &mut Chance) {
        let mut calls = JoinSet::new();
        for _ in 0..chance.between(100, 300) {
            let plan = Plan::any(self.shared.number(), self.shared.is_gateway, chance);
            calls.spawn(alone(Arc::clone(self.shared), chance.one_in(4), plan));
        }
        while calls.join_next().await.is_some() {}
    }
}
