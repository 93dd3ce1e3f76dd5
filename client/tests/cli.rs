//! The tool without a cluster: its help, its refusals, its exit codes.

#![allow(clippy::unwrap_used)]

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn quorate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command
        .args(args)
        .env_clear()
        .env("COLUMNS", "100")
        .stdin(Stdio::null());
    command
}

/// The command line, its exit code, and what it printed, with the directory's name left out.
fn transcript(args: &[&str], dir: &Path) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = quorate(args).current_dir(dir).output().unwrap();
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(dir.to_str().unwrap(), "DIR")
    };
    let mut out = format!("$ quorate {}\n{}", args.join(" "), text(stdout));
    for line in text(stderr).lines() {
        out += &format!("2> {line}\n");
    }
    out + &format!("exit code {}\n\n", status.code().unwrap())
}

fn transcripts(commands: &[&[&str]]) -> String {
    let dir = tempfile::tempdir().unwrap();
    commands
        .iter()
        .map(|args| transcript(args, dir.path()))
        .collect()
}

#[test]
fn help_explains_every_command() {
    let commands: &[&[&str]] = &[
        &["--help"],
        &["put", "--help"],
        &["get", "--help"],
        &["delete", "--help"],
        &["keys", "--help"],
        &["load", "--help"],
        &["verify", "--help"],
        &["preflist", "--help"],
        &["bucket", "create", "--help"],
        &["bucket", "drop", "--help"],
        &["status", "--help"],
        &["ring", "--help"],
        &["handoff", "--help"],
        &["converged", "--help"],
        &["wait", "--help"],
        &["wait"],
        &["lag", "--help"],
        &["backup", "create", "--help"],
        &["backup", "list", "--help"],
        &["backup", "verify", "--help"],
        &["backup", "prune", "--help"],
        &["repair", "--help"],
        &["scrub", "--help"],
        &["scrub", "pause", "--help"],
        &["ping", "--help"],
        &["certs", "ca", "--help"],
        &["certs", "node", "--help"],
        &["certs", "client", "--help"],
        &["cluster", "create", "--help"],
        &["cluster", "history", "--help"],
        &["cluster", "--help"],
        &["cluster", "join", "--help"],
        &["cluster", "replace", "--help"],
        &["cluster", "leave", "--help"],
        &["cluster", "weight", "--help"],
        &["cluster", "zone", "--help"],
        &["cluster", "plan", "--help"],
        &["cluster", "commit", "--help"],
        &["completions", "--help"],
    ];
    insta::assert_snapshot!(transcripts(commands));
}

#[test]
fn what_is_wrong_is_said_in_one_line_with_what_to_do() {
    let here: &[&str] = &[
        "--seeds",
        "127.0.0.1:1",
        "--ca",
        "ca.pem",
        "--cert",
        "c.pem",
        "--key",
        "c.key",
    ];
    let with = |args: &[&'static str]| [args, here].concat();
    let commands = [
        vec!["get", "b", "k"],
        vec!["get", "b", "k", "--seeds", "127.0.0.1:1"],
        with(&["get", "b", "k"]),
        with(&["get", "b", "k", "--json"]),
        with(&["get", "b", "zz", "--key-hex"]),
        with(&["get", "b", "k", "--r", "0"]),
        with(&["get", "b", "k", "--r", "most"]),
        with(&["get", "b", "k", "--deadline", "soon"]),
        with(&["put", "b", "k"]),
        with(&["put", "b", "k", "--file", "missing"]),
        with(&["put", "b", "k", "v", "--context", "?"]),
        with(&["put", "b", "k", "v", "--ttl", "0s"]),
        with(&["put", "b", "k", "v", "--ttl", "soon"]),
        with(&["bucket", "create", "b", "--ttl", "11years"]),
        with(&["load", "b", "missing"]),
        with(&["bucket", "create", "b", "--mode", "strong"]),
        vec![
            "cluster", "create", "--name", "c", "--out", ".", "--node", "name=n1",
        ],
        vec![
            "cluster",
            "create",
            "--name",
            "c",
            "--out",
            ".",
            "--node",
            "name=n1,peer=h:1,client=h:1",
        ],
        vec![
            "cluster",
            "create",
            "--name",
            "c",
            "--out",
            ".",
            "--partitions",
            "63",
            "--node",
            "name=a,peer=h:1,client=h:2",
        ],
        vec!["certs", "node", "--ca", ".", "--id", "12", "--out", "."],
        vec![
            "certs",
            "node",
            "--ca",
            ".",
            "--id",
            "0000000000000012",
            "--out",
            ".",
        ],
    ];
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    insta::assert_snapshot!(transcripts(&commands));
}

#[test]
fn a_cluster_is_made_once_and_certificates_are_added_later() {
    let dir = tempfile::tempdir().unwrap();
    let create = [
        "cluster",
        "create",
        "--name",
        "c",
        "--node",
        "name=n1,peer=127.0.0.1:1,client=127.0.0.1:2",
        "--out",
        "c",
        "--json",
    ];
    let run = |args: &[&str]| quorate(args).current_dir(dir.path()).output().unwrap();
    let made = run(&create);
    assert!(made.status.success());
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(made["nodes"][0]["name"], "n1");
    assert_eq!(made["nodes"][0]["partitions"], 64);
    let map = quorate_protocol::map_file::decode(
        &std::fs::read(dir.path().join("c/cluster.map")).unwrap(),
    )
    .unwrap();
    assert_eq!(made["cluster"], map.map.cluster.to_string());
    assert_eq!(run(&create).status.code(), Some(1));
    let client = [
        "certs",
        "client",
        "--ca",
        "c",
        "--name",
        "bob",
        "--out",
        "c/clients",
    ];
    assert!(run(&client).status.success());
    assert_eq!(run(&client).status.code(), Some(1));
    assert!(run(&[&client[..], &["--force"]].concat()).status.success());
    assert!(dir.path().join("c/clients/bob.key").exists());
}

#[test]
fn output_that_nobody_reads_ends_quietly() {
    let mut child = quorate(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Closed before a byte was read: whatever does not fit the pipe cannot be written.
    drop(child.stdout.take());
    let mut complaints = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaints)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), complaints.as_str()),
        (Some(0), "")
    );
}
