//! One process under test from its start to its end: rounds of calls and faults, after each of which all must be quiet, the books balance, and the upstream,
//! well again, be reached by every call.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{process::Command, task::JoinSet};
use tower_rampart::clock::now;

use super::{
    books::{Behind, Books, Subject},
    chance::Chance,
    child::{Child, Figures},
    document::{self, BODIES, LIMITED, SPARE},
    faults::{Scene, Upstream},
    host::{BACK, FRONT},
    verdict::{Sample, Verdict},
    worker::{Shared, probe, work, work_well},
};

/// How long a round takes, if there is time for several.
const ROUND: Duration = Duration::from_secs(15);
/// How long after its last call a process may take to be quiet, and with calls to close its circuits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Workers over HTTP/1.1 and over HTTP/2.
const WORKERS: [(bool, u64); 2] = [(false, 16), (true, 8)];
/// Calls after each round that must all be answered, for each of eight workers.
const WELL: u64 = 50;

/// What is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The program `rampart`.
    Gateway,
    /// An axum service with `ServerLayer`, and `ClientLayer` behind.
    Host,
}

impl Kind {
    fn subject(self) -> Subject {
        let gateway: &[&str] = &["default", LIMITED, BODIES, SPARE];
        match self {
            Self::Gateway => Subject { name: "gateway", is_gateway: true, fronts: gateway, backs: gateway },
            Self::Host => Subject { name: "host", is_gateway: false, fronts: &[FRONT], backs: &[BACK] },
        }
    }
}

/// Runs a process under test for so long.
///
/// # Errors
/// If a process cannot be started or asked: then nothing is known.
pub async fn run(kind: Kind, rampart: &Path, time: Duration, mut chance: Chance) -> io::Result<Verdict> {
    let mut stage = Stage::set(kind, rampart).await?;
    let rounds = u32::try_from(time.as_secs() / ROUND.as_secs()).unwrap_or(u32::MAX).max(2);
    let before = stage.front.figures();
    let (mut warm, mut memory) = (Figures::default(), Vec::new());
    let began = now();
    for round in 1..=rounds {
        stage.round(time / rounds, &mut chance).await?;
        stage.checkpoint(&mut chance).await?;
        let figures = stage.front.figures();
        if round == (rounds / 4).max(1) {
            warm = figures;
        }
        memory.push(Sample { second: now().since(began).as_secs(), rss_kib: figures.rss_kib });
    }
    let seconds = now().since(began).as_secs_f64();
    Ok(Verdict { seconds, memory, ..stage.end(before, warm).await? })
}

/// The processes, and what is counted.
#[derive(Debug)]
struct Stage {
    subject: Subject,
    front: Child,
    admin: SocketAddr,
    upstream: Upstream,
    file: Option<PathBuf>,
    shared: Arc<Shared>,
    wrong: Vec<String>,
}

impl Stage {
    async fn set(kind: Kind, rampart: &Path) -> io::Result<Self> {
        let (subject, upstream) = (kind.subject(), Upstream::start().await?);
        let file = upstream.folder.path().join("rampart.json");
        std::fs::write(&file, document::first(subject.is_gateway).to_string())?;
        let mut command = match kind {
            Kind::Gateway => Command::new(rampart),
            Kind::Host => Command::new(std::env::current_exe()?),
        };
        match kind {
            Kind::Gateway => {
                command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config"]);
                command.arg(&file).arg("--upstream").arg(format!("http://{}", upstream.address));
            }
            Kind::Host => {
                command.arg("host").arg(upstream.address.to_string());
            }
        }
        let mut front = Child::start(command)?;
        let address = parsed(&front.line("listening on http://").await?)?;
        let admin = parsed(&front.line("admin on http://").await?)?;
        Books::read(admin).await?;
        let shared = Shared::new(address, subject.is_gateway);
        let file = subject.is_gateway.then_some(file);
        Ok(Self { subject, front, admin, upstream, file, shared, wrong: Vec::new() })
    }

    async fn round(&mut self, time: Duration, chance: &mut Chance) -> io::Result<()> {
        self.shared.stop.store(false, Ordering::Relaxed);
        let mut workers = JoinSet::new();
        for (is_h2, count) in WORKERS {
            for _ in 0..count {
                workers.spawn(work(Arc::clone(&self.shared), is_h2, chance.split()));
            }
        }
        let shared = Arc::clone(&self.shared);
        workers.spawn(async move {
            tokio::time::sleep(time).await;
            shared.stop.store(true, Ordering::Relaxed);
        });
        self.scene().play(chance).await?;
        while workers.join_next().await.is_some() {}
        Ok(())
    }

    fn scene(&mut self) -> Scene<'_> {
        let (front, admin, file) = (&self.front, self.admin, self.file.clone());
        Scene { front, admin, upstream: &mut self.upstream, file, shared: &self.shared }
    }

    /// All must be quiet, the books balance, circuits close, and all calls be answered by the upstream.
    async fn checkpoint(&mut self, chance: &mut Chance) -> io::Result<()> {
        if !self.front.runs() {
            return Err(io::Error::other(format!("the {} is dead: {:?}", self.subject.name, self.front.log().last)));
        }
        self.balance().await?;
        let deadline = now().after(PATIENCE);
        while Books::read(self.admin).await?.has_open_circuit() {
            if now() > deadline {
                self.wrong.push("a circuit stays open though the upstream is well".to_owned());
                break;
            }
            let mut calls = JoinSet::new();
            for operation in self.subject.fronts {
                calls.spawn(probe(Arc::clone(&self.shared), operation));
            }
            while calls.join_next().await.is_some() {}
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The last calls of the round may have left a closed circuit a window half full of failures, and then the success that fills it opens it.
        self.scene().reset_circuits().await?;
        let mut workers = JoinSet::new();
        for worker in 0..8 {
            workers.spawn(work_well(Arc::clone(&self.shared), worker % 4 == 0, WELL, chance.split()));
        }
        while workers.join_next().await.is_some() {}
        self.balance().await
    }

    /// Waits until all is quiet, and looks whether the books balance.
    async fn balance(&mut self) -> io::Result<()> {
        let deadline = now().after(PATIENCE);
        let mut books = Books::read(self.admin).await?;
        while books.in_flight() > 0.0 && now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
            books = Books::read(self.admin).await?;
        }
        let behind = Behind::read(self.upstream.folder.path())?;
        let complaints = books.audit(&self.subject, &self.shared.tally.counts(), &behind);
        for complaint in complaints {
            self.shared.tally.complain(complaint);
        }
        Ok(())
    }

    /// The upstream goes, and with it every connection; then the process ends.
    async fn end(mut self, before: Figures, warm: Figures) -> io::Result<Verdict> {
        let books = Books::read(self.admin).await?;
        let reloads = ["applied", "refused"].map(|it| books.count("rampart_reloads_total", &[("result", it)]));
        self.upstream.kill().await;
        let deadline = now().after(PATIENCE);
        let mut after = self.front.figures();
        while after.descriptors > before.descriptors && now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            after = self.front.figures();
        }
        let (mut wrong, counts) = (self.wrong, self.shared.tally.counts());
        wrong.extend(counts.wrong.iter().map(|(what, times)| format!("{what} ({times} times)")));
        if after.descriptors > before.descriptors {
            wrong.push(format!("descriptors stay open:\n{}", self.front.descriptors()));
        }
        // What allocators keep, and no more.
        if after.rss_kib > warm.rss_kib + warm.rss_kib / 5 + 16 * 1024 {
            wrong.push("memory grows".to_owned());
        }
        for (what, is_there) in [("whole bodies", counts.whole), ("broken bodies", counts.broken_bodies)] {
            if is_there == 0 {
                wrong.push(format!("there were no {what}, so nothing was shown"));
            }
        }
        self.front.signal("-TERM").await;
        match self.front.ended(PATIENCE).await {
            Some(status) if status.success() => {}
            other => wrong.push(format!("told to end, it did so badly: {other:?}")),
        }
        let log = self.front.log();
        wrong.extend(log.panics.iter().map(|line| format!("a panic: {line}")));
        Ok(Verdict {
            name: self.subject.name,
            counts,
            seconds: 0.0,
            memory: Vec::new(),
            rss: [warm.rss_kib, after.rss_kib],
            descriptors: [before.descriptors, after.descriptors],
            threads: [before.threads, after.threads],
            reloads,
            log_lines: log.lines,
            wrong,
        })
    }
}

fn parsed(address: &str) -> io::Result<SocketAddr> {
    address.parse().map_err(|_| io::Error::other(format!("no address: {address}")))
}
