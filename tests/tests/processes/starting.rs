//! Starts that are refused: one line, exit code 1, and nothing touched.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use quorate_client::provision::{Issued, Validity};
use quorate_tests::process::{Programs, Provisioned, Settings, Trouble, write_pem};
use tempfile::TempDir;

use crate::stage::{Outcome, Stage, alone};

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    alone!(
        stage,
        trials,
        a_damaged_configuration_is_refused_by_its_line_and_key,
        a_damaged_or_wrong_certificate_is_refused_by_its_file,
        a_damaged_secret_is_refused,
        a_damaged_identity_or_map_is_refused_and_left_as_it_is,
        another_disk_format_is_refused_and_left_as_it_is,
        another_nodes_or_clusters_directory_is_refused,
        a_directory_that_was_never_initialised_is_refused,
        a_port_in_use_is_refused_by_its_number,
        too_few_file_descriptors_are_refused,
    );
    // The owner's rights do not bind root, and only root can mount.
    let can = mounts() || !rustix::process::geteuid().is_root();
    trials.push(
        stage
            .alone(
                "a_read_only_directory_is_refused",
                a_read_only_directory_is_refused,
            )
            .with_ignored_flag(!can),
    );
}

/// One node's files, never started.
struct Bench {
    programs: Programs,
    files: Provisioned,
    _dir: TempDir,
}

impl Bench {
    fn new(programs: &Programs, nodes: usize) -> Result<Self, Trouble> {
        let dir = TempDir::with_prefix("quorate-").map_err(Trouble::io("a temporary directory"))?;
        let settings = Settings {
            nodes,
            ..Settings::default()
        };
        let files = Provisioned::create(dir.path(), programs, &settings)?;
        Ok(Self {
            programs: programs.clone(),
            files,
            _dir: dir,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.node_dir(0).join(name)
    }

    /// What `quorate-node run` says of the first node, which must end by itself.
    fn run(&self) -> Output {
        self.run_by(&[])
    }

    fn run_by(&self, wrapper: &[&str]) -> Output {
        let node = self.programs.node.display().to_string();
        let config = self.path("node.toml").display().to_string();
        // A start that is not refused would go on for ever.
        let mut words = vec!["timeout", "20"];
        words.extend(wrapper);
        words.extend([node.as_str(), "run", "--config", config.as_str()]);
        Command::new(words[0]).args(&words[1..]).output().unwrap()
    }

    /// Runs the node and demands: exit code 1, one line which holds all of `words`, and a data
    /// directory in which not a byte has changed.
    fn refuses(&self, words: &[&str]) {
        let before = content(&self.path("data"));
        check_refusal(&self.run(), words);
        assert!(
            before == content(&self.path("data")),
            "the data directory was touched"
        );
    }

    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(self.path(name), text.replacen(from, to, 1)).unwrap();
    }

    fn flip(&self, name: &str) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(self.path(name), bytes).unwrap();
    }
}

fn check_refusal(output: &Output, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

/// Every file below a directory, with its bytes; but for the lock, which names its last holder.
fn content(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let Ok(entries) = fs::read_dir(path) else {
        return all;
    };
    for entry in entries
        .flatten()
        .filter(|entry| entry.file_name() != "LOCK")
    {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(content(&entry.path())),
            false => all.push((entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    all.sort();
    all
}

async fn a_damaged_configuration_is_refused_by_its_line_and_key(programs: &Programs) -> Outcome {
    let cases = [
        ("data_dir = \"data\"", "data_dir = data", "line 1"),
        ("cache_mb = 32", "cache_mb = 1", "cache_mb"),
        ("cache_mb = 32", "cash_mb = 32", "cash_mb"),
        ("cache_mb = 32", "cache_mb = 32\ncache_mb = 33", "duplicate"),
        (
            "listen_peer = \"127.0.0.1",
            "listen_peer = \"nowhere",
            "listen_peer",
        ),
        ("secret_file = \"../secret\"", "", "secret_file"),
        ("cert = \"node.pem\"", "cert = \"gone.pem\"", "gone.pem"),
    ];
    for (from, to, word) in cases {
        let bench = Bench::new(programs, 1)?;
        bench.replace("node.toml", from, to);
        bench.refuses(&[word]);
    }
    let bench = Bench::new(programs, 1)?;
    fs::write(bench.path("node.toml"), [0xff, 0xfe, 0])?;
    bench.refuses(&["node.toml"]);
    fs::remove_file(bench.path("node.toml"))?;
    bench.refuses(&["node.toml"]);
    Ok(())
}

fn issue(bench: &Bench, from: SystemTime, until: SystemTime) -> Result<Issued, Trouble> {
    let id = bench.files.id(0)?;
    let issued = bench
        .files
        .made
        .authority
        .node(id, Validity { from, until });
    issued.map_err(|error| Trouble::Made(error.to_string()))
}

async fn a_damaged_or_wrong_certificate_is_refused_by_its_file(programs: &Programs) -> Outcome {
    let bench = Bench::new(programs, 2)?;
    let now = SystemTime::now();
    let good = issue(&bench, now - DAY, now + DAY)?;
    let node = bench.path("node");
    write_pem(&node, &issue(&bench, now - 2 * DAY, now - DAY)?)?;
    bench.refuses(&["node.pem", "expired"]);
    write_pem(&node, &issue(&bench, now + DAY, now + 2 * DAY)?)?;
    bench.refuses(&["node.pem", "not valid before"]);
    write_pem(&node, &bench.files.made.admin)?;
    bench.refuses(&["node.pem", "client"]);
    write_pem(&node, &good)?;
    fs::write(node.with_extension("key"), &bench.files.made.admin.key)?;
    bench.refuses(&["node.key", "does not belong"]);
    fs::write(node.with_extension("key"), "not a key")?;
    bench.refuses(&["node.key", "PEM"]);
    write_pem(&node, &good)?;
    fs::write(node.with_extension("pem"), "")?;
    bench.refuses(&["node.pem"]);
    let stranger = Bench::new(programs, 1)?;
    write_pem(&node, &stranger.files.made.nodes[0].1)?;
    bench.refuses(&["node.pem", "was not signed"]);
    Ok(())
}

async fn a_damaged_secret_is_refused(programs: &Programs) -> Outcome {
    let bench = Bench::new(programs, 1)?;
    fs::write(bench.files.dir.join("secret"), "too short")?;
    bench.refuses(&["secret", "64 hexadecimal digits"]);
    fs::remove_file(bench.files.dir.join("secret"))?;
    bench.refuses(&["secret"]);
    Ok(())
}

async fn a_damaged_identity_or_map_is_refused_and_left_as_it_is(programs: &Programs) -> Outcome {
    for file in ["data/identity", "data/map"] {
        let bench = Bench::new(programs, 1)?;
        bench.flip(file);
        bench.refuses(&[file]);
        fs::write(bench.path(file), "")?;
        bench.refuses(&[file]);
    }
    let bench = Bench::new(programs, 1)?;
    fs::remove_file(bench.path("data/map"))?;
    bench.refuses(&["data/map"]);
    Ok(())
}

async fn another_disk_format_is_refused_and_left_as_it_is(programs: &Programs) -> Outcome {
    let bench = Bench::new(programs, 1)?;
    bench.replace("data/identity", "format 6", "format 7");
    bench.refuses(&["format 7", "newer build"]);
    bench.replace("data/identity", "format 7", "format 2");
    bench.refuses(&["format 2", "the build that wrote it"]);
    Ok(())
}

async fn another_nodes_or_clusters_directory_is_refused(programs: &Programs) -> Outcome {
    let bench = Bench::new(programs, 2)?;
    bench.replace(
        "node.toml",
        "data_dir = \"data\"",
        "data_dir = \"../n2/data\"",
    );
    let theirs = content(&bench.files.node_dir(1));
    bench.refuses(&["node", "use that node's own directory"]);
    let stranger = Bench::new(programs, 1)?;
    let dir = stranger.path("data").display().to_string();
    bench.replace("node.toml", "../n2/data", &dir);
    bench.refuses(&["belongs to cluster"]);
    assert!(theirs == content(&bench.files.node_dir(1)));
    Ok(())
}

async fn a_directory_that_was_never_initialised_is_refused(programs: &Programs) -> Outcome {
    let bench = Bench::new(programs, 1)?;
    fs::remove_dir_all(bench.path("data"))?;
    check_refusal(&bench.run(), &["quorate-node init"]);
    assert!(!bench.path("data").exists());
    Ok(())
}

async fn a_port_in_use_is_refused_by_its_number(programs: &Programs) -> Outcome {
    let bench = Bench::new(programs, 1)?;
    let ports = bench.files.ports[0];
    for port in [ports.peer, ports.client] {
        let _taken = UdpSocket::bind(("127.0.0.1", port))?;
        check_refusal(&bench.run(), &[&port.to_string()]);
        assert!(!bench.path("data/db").exists(), "a database was made");
    }
    Ok(())
}

async fn too_few_file_descriptors_are_refused(programs: &Programs) -> Outcome {
    let bench = Bench::new(programs, 1)?;
    let output = bench.run_by(&["sh", "-c", "ulimit -n 100; exec \"$@\"", "limited"]);
    check_refusal(&output, &["file descriptors", "ulimit"]);
    assert!(!bench.path("data/db").exists(), "a database was made");
    Ok(())
}

/// Whether this process may mount a file system.
pub(crate) fn mounts() -> bool {
    let Ok(dir) = TempDir::with_prefix("quorate-") else {
        return false;
    };
    Mount::new(dir.path(), "1m").is_ok()
}

/// A small file system in memory, until dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(at: &Path, size: &str) -> Result<Self, Trouble> {
        let options = format!("size={size}");
        mount(&["-t", "tmpfs", "-o", &options, "quorate-test"], at)?;
        Ok(Self(at.to_owned()))
    }

    /// From now on nothing in it can be changed.
    pub(crate) fn make_read_only(&self) -> Result<(), Trouble> {
        mount(&["-o", "remount,ro"], &self.0)
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, size: &str) -> Result<(), Trouble> {
        mount(&["-o", &format!("remount,size={size}")], &self.0)
    }
}

fn mount(words: &[&str], at: &Path) -> Result<(), Trouble> {
    let output = Command::new("mount")
        .args(words)
        .arg(at)
        .output()
        .map_err(Trouble::io("mount"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Trouble::Made(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process that still ends may hold it for a moment longer: the name goes at once.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

async fn a_read_only_directory_is_refused(programs: &Programs) -> Outcome {
    let bench = Bench::new(programs, 1)?;
    let data = bench.path("data");
    let kept = bench.path("kept");
    fs::rename(&data, &kept)?;
    fs::create_dir(&data)?;
    let mount = if rustix::process::geteuid().is_root() {
        Some(Mount::new(&data, "1m")?)
    } else {
        None
    };
    for (path, bytes) in content(&kept) {
        fs::write(data.join(path.file_name().unwrap()), bytes)?;
    }
    match &mount {
        Some(mount) => mount.make_read_only()?,
        None => read_only(&data)?,
    }
    check_refusal(&bench.run(), &["data", "cannot be written"]);
    Ok(())
}

fn read_only(path: &Path) -> std::io::Result<()> {
    for (file, _) in content(path) {
        let mut rights = fs::metadata(&file)?.permissions();
        rights.set_readonly(true);
        fs::set_permissions(&file, rights)?;
    }
    let mut rights = fs::metadata(path)?.permissions();
    rights.set_readonly(true);
    fs::set_permissions(path, rights)
}
