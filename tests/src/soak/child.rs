//! Processes: how they are started, signalled and looked at. Linux only: the numbers come from /proc.

use std::{
    fmt::Write as _,
    fs, io,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader, Lines},
    process::{Child as Process, ChildStdin, ChildStdout, Command},
};

/// How long a process may take to say where it listens.
const START: Duration = Duration::from_secs(20);
/// How many of the last lines of a log are kept.
const KEPT_LINES: usize = 40;

/// A process, killed when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    id: u32,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    log: Arc<Mutex<Log>>,
}

/// What a process wrote to standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) lines: u64,
    /// Lines that speak of a panic.
    pub(crate) panics: Vec<String>,
    /// The last lines.
    pub(crate) last: std::collections::VecDeque<String>,
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) rss_kib: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Child {
    /// Starts a process.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = pipes.kill_on_drop(true).spawn()?;
        let id = process.id().ok_or(io::ErrorKind::NotFound)?;
        let input = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let output = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let errors = process.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let log = Arc::<Mutex<Log>>::default();
        tokio::spawn(keep(errors, Arc::clone(&log)));
        Ok(Self { process, id, input, output: BufReader::new(output).lines(), log })
    }

    /// The rest of its next line on standard output, which must begin so.
    ///
    /// # Errors
    /// If there is none, or another.
    pub(crate) async fn line(&mut self, prefix: &str) -> io::Result<String> {
        let line = tokio::time::timeout(START, self.output.next_line()).await??;
        let line = line.ok_or_else(|| io::Error::other(format!("a process ended: {:?}", self.log().last)))?;
        line.strip_prefix(prefix)
            .map(str::to_owned)
            .ok_or_else(|| io::Error::other(format!("`{line}` is not `{prefix}`")))
    }

    /// Sends it a signal by its name. It may be gone.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.id.to_string()]).stderr(Stdio::null()).status().await;
        if let Err(error) = kill {
            eprintln!("kill cannot be run: {error}");
        }
    }

    /// Tells it something on standard input.
    ///
    /// # Errors
    /// If it does not listen.
    pub(crate) async fn tell(&mut self, line: &str) -> io::Result<()> {
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        self.input.flush().await
    }

    /// Kills it, stopped or not, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        // It may be gone.
        let _ = self.process.kill().await;
    }

    /// Waits so long for its end.
    pub(crate) async fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(patience, self.process.wait()).await.ok()?.ok()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// What it wrote.
    pub(crate) fn log(&self) -> Log {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its memory, descriptors and threads now; zeros if it is gone.
    pub(crate) fn figures(&self) -> Figures {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.id)).map_or(0, Iterator::count) as u64;
        Figures { rss_kib: field("VmRSS:").unwrap_or(0), descriptors, threads: field("Threads:").unwrap_or(0) }
    }

    /// What its descriptors are, one a line.
    pub(crate) fn descriptors(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.id)).into_iter().flatten().flatten() {
            let target = fs::read_link(entry.path()).map(|path| path.display().to_string());
            let _ = writeln!(text, "  {} {}", entry.file_name().display(), target.unwrap_or_default());
        }
        text
    }
}

async fn keep(errors: impl AsyncRead + Unpin, log: Arc<Mutex<Log>>) {
    let mut lines = BufReader::new(errors).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lines += 1;
        if line.contains("panick") && log.panics.len() < KEPT_LINES {
            log.panics.push(line.clone());
        }
        if log.last.len() == KEPT_LINES {
            log.last.pop_front();
        }
        log.last.push_back(line);
    }
}
