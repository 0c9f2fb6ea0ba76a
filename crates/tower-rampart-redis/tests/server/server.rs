//! A redis-server of a test's own, on a free port of loopback and in a directory that goes with it; and peers that only look like one.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;

/// How long anything that is no part of a measurement may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    child: Child,
    port: u16,
    options: Vec<String>,
    directory: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// One with further options, as on its command line.
    pub(crate) fn with(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let start = || {
            let directory = tempfile::tempdir().expect("there is room for a directory");
            let port = free_port();
            let child = launch(port, &options, &directory);
            let mut server = Self { child, port, options: options.clone(), directory };
            server.answers().then_some(server)
        };
        // Somebody else may take the port in between.
        (0..10).find_map(|_| start()).expect("redis-server answers, if it is installed")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn answers(&mut self) -> bool {
        for _ in 0..200 {
            if self.child.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if let Ok(answer) = send(self.port, "PING\r\n")
                && (answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
            {
                return true;
            }
            wait(Duration::from_millis(20));
        }
        false
    }

    /// Kills it; the port stays its own.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is our child");
    }

    /// Starts it anew where it was, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.child = launch(self.port, &self.options, &self.directory);
        assert!(self.answers(), "redis-server does not come back");
    }

    /// Lets it stand still, connections and all.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.expect("there is a kill").success());
    }

    /// Runs a command, inline; the first bytes of the answer.
    pub(crate) fn run(&self, command: &str) -> String {
        send(self.port, &format!("{command}\r\n")).expect("it answers")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed before, or stand still.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn launch(port: u16, options: &[String], directory: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
        .arg(directory.path())
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

fn send(port: u16, text: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = [0; 512];
    let read = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

/// Waits without a runtime: a program that starts has no event to wait for.
fn wait(time: Duration) {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    assert!(never.recv_timeout(time).is_err());
}

/// A peer that accepts whoever comes and says to each request what it was told to; nothing, if that is empty.
pub(crate) struct Impostor {
    port: u16,
    says: Arc<Mutex<String>>,
}

impl Impostor {
    pub(crate) fn saying(words: &str) -> Self {
        Self::with(words, answer_all)
    }

    /// One that passes on what a server says, until it is told what to say instead of each of its answers.
    pub(crate) fn before(server: &Server) -> Self {
        let port = server.port();
        Self::with("", move |stream, words| relay(stream, port, words))
    }

    fn with(words: &str, serve: impl Fn(TcpStream, &Mutex<String>) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let says = Arc::new(Mutex::new(words.to_owned()));
        let words = Arc::clone(&says);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (words, serve) = (Arc::clone(&words), serve.clone());
                std::thread::spawn(move || serve(stream, &words));
            }
        });
        Self { port, says }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn say(&self, words: &str) {
        words.clone_into(&mut self.says.lock().expect("nobody panics"));
    }
}

fn relay(mut client: TcpStream, port: u16, words: &Mutex<String>) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
    let (Ok(mut requests), Ok(mut there)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || {
        // The other end is closed with this one; that it was closed is no failure.
        drop(std::io::copy(&mut requests, &mut there));
        drop(there.shutdown(std::net::Shutdown::Both));
    });
    let mut answer = vec![0; 65_536];
    while let Ok(read) = server.read(&mut answer)
        && read > 0
    {
        let instead = words.lock().expect("nobody panics").clone();
        let said = if instead.is_empty() { &answer[..read] } else { instead.as_bytes() };
        if client.write_all(said).is_err() {
            return;
        }
    }
}

fn answer_all(mut stream: TcpStream, words: &Mutex<String>) {
    let mut request = vec![0; 65_536];
    while let Ok(read) = stream.read(&mut request)
        && read > 0
    {
        // One answer for each command of a pipeline, as far as that can be told.
        let commands = request[..read].windows(2).filter(|it| it[0] == b'*' && it[1].is_ascii_digit()).count();
        for _ in 0..commands {
            let words = words.lock().expect("nobody panics").clone();
            if stream.write_all(words.as_bytes()).is_err() {
                return;
            }
        }
    }
}
