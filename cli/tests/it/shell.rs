//! A directory in which commands are run, and what they said.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A working directory that nobody else has.
pub struct Shell {
    dir: TempDir,
    env: Vec<(String, String)>,
}

/// What a command that has ended said.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Shell {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    /// The same with an environment variable.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub fn write(&self, relative: &str, text: &str) {
        std::fs::write(self.path(relative), text).unwrap();
    }

    pub fn read(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap()
    }

    /// `pelton LINE`.
    pub fn pelton(&self, line: &str) -> Ran {
        self.pelton_fed(line, "")
    }

    /// `pelton LINE < input`.
    pub fn pelton_fed(&self, line: &str, input: &str) -> Ran {
        let mut child = self.start(env!("CARGO_BIN_EXE_pelton"), line);
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        ended(child)
    }

    /// `numbers LINE`: the job of `tests/jobs/numbers.rs`, in memory unless said otherwise.
    pub fn numbers(&self, line: &str) -> Ran {
        ended(self.start_numbers(line))
    }

    pub fn start_pelton(&self, line: &str) -> Child {
        self.start(env!("CARGO_BIN_EXE_pelton"), line)
    }

    pub fn start_numbers(&self, line: &str) -> Child {
        self.start(env!("CARGO_BIN_EXE_pelton-test-job"), line)
    }

    fn start(&self, program: &str, line: &str) -> Child {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PELTON_")) {
            command.env_remove(name);
        }
        command
            .env_remove("RUST_LOG")
            .env("PELTON_BACKEND", "memory")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Waits for the end of `child`.
pub fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().expect("it ends by itself, not by a signal"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Reads what `child` says on standard error until a line has `text`; the rest is for [`ended`].
pub fn wait_for(child: &mut Child, text: &str) -> String {
    let mut lines = BufReader::with_capacity(1, child.stderr.as_mut().unwrap());
    let mut heard = String::new();
    loop {
        assert!(lines.read_line(&mut heard).unwrap() > 0, "it ended without `{text}`: {heard}");
        if let Some(line) = heard.lines().last().filter(|line| line.contains(text)) {
            return line.to_owned();
        }
    }
}

/// Sends `signal`, such as `TERM`.
pub fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Reads `lines` lines of what `child` writes; the rest is for [`ended`].
pub fn read(child: &mut Child, lines: usize) -> Vec<String> {
    let out = BufReader::with_capacity(1, child.stdout.as_mut().unwrap());
    out.lines().take(lines).map(|line| line.unwrap()).collect()
}

impl Ran {
    /// It ended well and said nothing but `out`.
    #[track_caller]
    pub fn says(self, out: &str) {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        assert_eq!(self.out, out);
    }

    /// It ended well; what it wrote has each of `parts`.
    #[track_caller]
    pub fn has(&self, parts: &[&str]) {
        assert_eq!(self.code, 0, "{}", self.err);
        for part in parts {
            assert!(self.out.contains(part), "`{part}` is missing in:\n{}", self.out);
        }
    }

    /// It failed with `code` and this message, and wrote nothing else.
    #[track_caller]
    pub fn fails(self, code: i32, error: &str) {
        assert_eq!(self.err.trim_end(), format!("error: {error}"));
        assert_eq!((self.code, self.out.as_str()), (code, ""));
    }

    /// It failed with `code`; what it said has each of `parts`.
    #[track_caller]
    pub fn fails_with(&self, code: i32, parts: &[&str]) {
        for part in parts {
            assert!(self.err.contains(part), "`{part}` is missing in:\n{}", self.err);
        }
        assert_eq!(self.code, code, "{}", self.err);
    }
}

/// The lines of the committed files in `directory`.
pub fn committed_lines(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            lines.extend(std::fs::read_to_string(path).unwrap().lines().map(str::to_owned));
        }
    }
    lines
}
