//! A server in this process, and the clients that are tested against it: Python with boto3 and the AWS CLI, Node with
//! the SDK for JavaScript, and a program of aws-sdk-rust.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use pelton_kinesis::server::{Server, TlsFiles};
use pelton_kinesis::{Service, Settings};
use pelton_streams::clock::ManualClock;
use pelton_streams::storage::{FileStorage, Storage};
use pelton_streams::{Options, ShardLog};
use tokio::sync::oneshot;

/// A clock that stands until it is set.
pub fn standing_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(1_800_000_000_000))
}

/// A server on a port of its own; dropping it stops it.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    pub fn start(data: &Path, settings: Settings) -> Self {
        let service = Service::open(data, settings).unwrap();
        Self::serve(Arc::new(service))
    }

    pub fn serve(service: Arc<Service>) -> Self {
        Self::serve_by(service, None)
    }

    /// By a clock of one's own, with the log in files; what else there is goes to `storage`.
    pub fn by_clock(
        data: &Path,
        settings: Settings,
        storage: Arc<dyn Storage>,
        clock: &Arc<ManualClock>,
    ) -> Self {
        let log =
            ShardLog::open_with(data, &Options::create(), Arc::new(FileStorage), clock.clone()).unwrap();
        Self::serve(Arc::new(Service::over(log, settings, storage, clock.clone()).unwrap()))
    }

    pub fn serve_by(service: Arc<Service>, tls: Option<TlsFiles>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let address = "127.0.0.1:0".parse().unwrap();
                let server = Server::bind(service, address, tls.as_ref()).await.unwrap();
                tell.send(server.address().unwrap()).unwrap();
                server.run(async { stopped.await.unwrap_or_default() }).await;
            });
        });
        Self { address: told.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server has panicked");
        }
    }
}

/// The first boto3 that knows all operations of the model, and sends fractions of a second.
const BOTO3: (u32, u32) = (1, 44);

/// The SDK for JavaScript; later ones want a later Node.
const JAVASCRIPT: &str = "@aws-sdk/client-kinesis@3.1143.0";

/// A Python that has boto3 and the AWS CLI: the one of `PELTON_PYTHON`, that of the machine, or one in the target
/// folder, where they are installed if need be. `None` if there is no way to have one.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(find_python).as_deref()
}

fn find_python() -> Option<PathBuf> {
    let (major, minor) = BOTO3;
    let is_new = format!(
        "import awscli, boto3; assert tuple(map(int, boto3.__version__.split('.')[:2])) >= ({major}, {minor})"
    );
    let has_all = |python: &Path| ends_well(Command::new(python).args(["-c", &is_new]));
    if let Some(python) = std::env::var_os("PELTON_PYTHON") {
        let python = PathBuf::from(python);
        assert!(has_all(&python), "PELTON_PYTHON has no AWS CLI, or no boto3 of {major}.{minor} or later");
        return Some(python);
    }
    let machine = PathBuf::from("python3");
    if has_all(&machine) {
        return Some(machine);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = folder.join("bin/python");
    let _alone = alone(&folder);
    if has_all(&python) {
        return Some(python);
    }
    let is_made = ends_well(Command::new(&machine).args(["-m", "venv"]).arg(&folder))
        && ends_well(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            &format!("boto3>={major}.{minor}"),
            "awscli",
        ]));
    (is_made && has_all(&python)).then_some(python)
}

/// A folder of Node's modules with the SDK for JavaScript, in the target folder, where it is installed if need be.
/// `None` if there is no Node, or no way to install it.
fn node_modules() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
    let modules = folder.join("node_modules");
    let has_sdk = || {
        let require = ["-e", "require('@aws-sdk/client-kinesis')"];
        ends_well(Command::new("node").args(require).env("NODE_PATH", &modules))
    };
    let _alone = alone(&folder);
    let is_there = has_sdk() || {
        let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"];
        ends_well(Command::new("npm").args(install).arg(JAVASCRIPT).arg("--prefix").arg(&folder)) && has_sdk()
    };
    is_there.then_some(modules)
}

/// The program of aws-sdk-rust, if `make aws-sdk-rust` has built it.
pub fn aws_sdk_rust() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../aws-sdk-rust/debug/aws-sdk-rust");
    program.exists().then_some(program)
}

/// One process installs into a folder, the others wait.
fn alone(folder: &Path) -> std::fs::File {
    let lock = std::fs::File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

fn ends_well(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Says that a test was passed over, for want of something.
#[expect(clippy::print_stdout, reason = "a test that was passed over says so")]
pub fn passed_over(test: &str, wants: &str) {
    println!("PASSED OVER: {test} wants {wants}");
}

/// Runs a script of `tests/boto`, with arguments, against `endpoint`; it must end well. Gives what it writes.
pub fn run_script(script: &[&str], endpoint: &str) -> String {
    let Some(python) = python() else {
        passed_over(script[0], "Python with boto3 and the AWS CLI, which cannot be installed here");
        return String::new();
    };
    let folder = Path::new("tests/boto");
    let mut command = Command::new(python);
    command.arg(folder.join(script[0])).args(&script[1..]).env("PYTHONPATH", folder);
    run(command.env("PYTHONDONTWRITEBYTECODE", "1").env("ENDPOINT", endpoint))
}

/// Runs a script of `tests/node` against `endpoint`; it must end well.
pub fn run_node(script: &str, endpoint: &str) {
    let Some(modules) = node_modules() else {
        passed_over(script, "Node with the SDK for JavaScript, which is not here");
        return;
    };
    let script = Path::new("tests/node").join(script);
    run(Command::new("node").arg(script).env("NODE_PATH", modules).env("ENDPOINT", endpoint));
}

/// Runs a client, which must end well, with a key and a region; gives what it writes.
pub fn run(client: &mut Command) -> String {
    client
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let output = client.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{client:?}:\n{out}\n{err}");
    out.into_owned()
}

/// The seed of a random test: that of `PELTON_SEED`, or one that is told.
#[expect(clippy::print_stdout, reason = "a test that fails says by which seed")]
pub fn seed() -> u64 {
    use std::hash::BuildHasher;
    let given = std::env::var("PELTON_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| std::hash::RandomState::new().hash_one(0));
    println!("PELTON_SEED={seed}");
    seed
}
