//! A server in this process, and Python with boto3.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use pelton_kinesis::server::{Server, TlsFiles};
use pelton_kinesis::{Service, Settings};
use tokio::sync::oneshot;

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

/// A Python that has boto3: the one of `PELTON_PYTHON`, that of the machine, or one in the target folder,
/// where it is installed if need be. `None` if there is no way to have one.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(find_python).as_deref()
}

fn find_python() -> Option<PathBuf> {
    let (major, minor) = BOTO3;
    let is_new = format!(
        "import boto3; assert tuple(map(int, boto3.__version__.split('.')[:2])) >= ({major}, {minor})"
    );
    let has_boto3 = |python: &Path| {
        Command::new(python).args(["-c", &is_new]).output().is_ok_and(|output| output.status.success())
    };
    if let Some(python) = std::env::var_os("PELTON_PYTHON") {
        let python = PathBuf::from(python);
        assert!(has_boto3(&python), "PELTON_PYTHON has no boto3 of {major}.{minor} or later");
        return Some(python);
    }
    let machine = PathBuf::from("python3");
    if has_boto3(&machine) {
        return Some(machine);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = folder.join("bin/python");
    // One process installs it, the others wait.
    let lock = std::fs::File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if has_boto3(&python) {
        return Some(python);
    }
    let run = |program: &Path, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let is_made = run(&machine, &["-m", "venv", folder.to_str().unwrap()])
        && run(&python, &["-m", "pip", "install", "--quiet", &format!("boto3>={major}.{minor}")]);
    (is_made && has_boto3(&python)).then_some(python)
}

/// Runs a script of `tests/boto`, with arguments, against `endpoint`; it must end well. Gives what it writes.
#[expect(clippy::print_stdout, reason = "a test that was passed over says so")]
pub fn run_script(script: &[&str], endpoint: &str) -> String {
    let Some(python) = python() else {
        println!("PASSED OVER: {script:?} needs Python with boto3, which cannot be installed here");
        return String::new();
    };
    let folder = Path::new("tests/boto");
    let output = Command::new(python)
        .arg(folder.join(script[0]))
        .args(&script[1..])
        .env("ENDPOINT", endpoint)
        .env("PYTHONPATH", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script:?}:\n{out}\n{err}");
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
