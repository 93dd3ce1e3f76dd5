#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/quorate/node.toml"))
}

fn minimal(extra: &str) -> String {
    format!(
        "data_dir = \"d\"\nsecret_file = \"s\"\n{extra}\n[tls]\nca = \"ca\"\ncert = \"cert\"\nkey = \"/key\"\n"
    )
}

fn refusal(extra: &str) -> String {
    let text = parse(&minimal(extra)).unwrap_err().to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(&minimal("")).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/quorate/d"));
    assert_eq!(config.tls.key, Path::new("/key"));
}

#[test]
fn unknown_keys_are_refused_by_name_and_line() {
    let text = refusal("cache_size = 3");
    assert!(
        text.contains("cache_size") && text.contains("line 3"),
        "{text}"
    );
    let text = parse(&minimal("").replace("ca =", "authority ="))
        .unwrap_err()
        .to_string();
    assert!(text.contains("authority"), "{text}");
}

#[test]
fn a_missing_key_is_named() {
    let text = parse("data_dir = \"d\"").unwrap_err().to_string();
    assert!(
        text.contains("secret_file") || text.contains("tls"),
        "{text}"
    );
}

#[test]
fn values_out_of_bounds_are_refused_by_key() {
    for (line, key) in [
        ("shards = 257", "shards"),
        ("cache_mb = 7", "cache_mb"),
        ("initial_mtu = 1199", "initial_mtu"),
        ("initial_mtu = 65001", "initial_mtu"),
        ("initial_mtu = 70000", "line 3"),
        ("listen_peer = \"localhost\"", "listen_peer"),
        ("listen_client = \"1.2.3.4\"", "listen_client"),
        ("peer_addresses = { abc = \"h:1\" }", "abc"),
        (
            "peer_addresses = { 0123456789abcdef = \"h\" }",
            "0123456789abcdef",
        ),
        (
            "peer_addresses = { 0123456789abcdef = \"h:0\" }",
            "host:port",
        ),
        ("log = { format = \"xml\" }", "xml"),
        ("backup = { rate_mb = 0 }", "backup.rate_mb"),
        ("backup = { directory = \"d/db/x\" }", "backup.directory"),
        ("handoff = { rate_mb = 0 }", "handoff.rate_mb"),
        ("handoff = { latency_ms = 60001 }", "handoff.latency_ms"),
        ("scrub = { rate_mb = 0 }", "scrub.rate_mb"),
        ("scrub = { every_minutes = 0 }", "scrub.every_minutes"),
        ("scrub = { speed = 1 }", "speed"),
        ("dot_log_mb = 0", "dot_log_mb"),
        ("dot_log_mb = 5000", "dot_log_mb"),
    ] {
        let text = refusal(line);
        assert!(text.contains(key), "{line}: {text}");
    }
}

#[test]
fn no_shards_means_one_for_each_core() {
    assert!(parse(&minimal("shards = 0")).unwrap().shards >= 1);
}

/// The example documents every key, and what it shows as a default is the default.
#[test]
fn the_example_is_complete_and_shows_the_defaults() {
    let as_is = parse(EXAMPLE).unwrap();
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_assignment(rest) => format!("{rest}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let shown = parse(&uncommented).unwrap();
    assert_eq!(shown.initial_mtu, Some(1200));
    assert_eq!(
        shown.metrics_file.as_deref(),
        Some(Path::new("/etc/quorate/metrics.prom"))
    );
    assert_eq!(shown.peer_addresses.len(), 1);
    let same = Config {
        initial_mtu: None,
        metrics_file: None,
        peer_addresses: BTreeMap::new(),
        ..shown
    };
    assert_eq!(same, as_is);

    let keys: BTreeSet<&str> = uncommented
        .lines()
        .filter(|line| is_assignment(line))
        .filter_map(|line| line.split(" =").next())
        .collect();
    let expected = BTreeSet::from([
        "data_dir",
        "listen_peer",
        "listen_client",
        "secret_file",
        "shards",
        "cache_mb",
        "disk_reserve_mb",
        "dot_log_mb",
        "initial_mtu",
        "metrics_file",
        "ca",
        "cert",
        "key",
        "latency_ms",
        "filter",
        "format",
        "directory",
        "rate_mb",
        "rate_mb",
        "every_minutes",
        "paused",
        "\"0123456789abcdef\"",
    ]);
    assert_eq!(keys, expected);
}

fn is_assignment(line: &str) -> bool {
    line.split_once(" = ")
        .is_some_and(|(key, _)| !key.contains(' ') && !key.starts_with('#'))
}

#[test]
fn a_secret_is_64_hexadecimal_digits() {
    let good = "00ff".repeat(16);
    assert_eq!(parse_secret(&good).unwrap()[..2], [0, 0xff]);
    for wrong in ["", "00", &"0".repeat(63), &"0g".repeat(32), &"é".repeat(32)] {
        assert_eq!(parse_secret(wrong), None, "{wrong}");
    }
}
