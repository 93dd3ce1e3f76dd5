//! The command-line tool against a real cluster.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use quorate_tests::process::{Cluster, Finished, Ledger, Tool, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{Outcome, Stage, say, shared};

pub(crate) fn trials(stage: &Arc<Stage>, trials: &mut Vec<Trial>) {
    shared!(
        stage,
        trials,
        values_come_back_as_they_were_put_whatever_bytes_the_key_has,
        unknown_symbols_and_reserved_modes_are_refused_by_name,
        preflist_names_primaries_then_fallbacks,
        an_output_closed_early_is_no_failure,
        converged_says_which_node_lacks_how_much_and_ends_well_only_when_all_have_the_same,
        a_load_ended_by_ctrl_c_is_resumed_and_verified,
        the_history_of_the_map_tells_what_each_version_changed,
    );
}

/// Runs the tool against a cluster.
pub(crate) fn quorate(cluster: &Cluster, arguments: &[&str]) -> Finished {
    Tool::new(cluster, arguments).run().unwrap()
}

async fn values_come_back_as_they_were_put_whatever_bytes_the_key_has(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    let put = Tool::new(cluster, &["put", "default", "00ff0a", "--key-hex", "-"])
        .run_with(b"from\0input\n")?;
    assert_eq!(put.code, Some(0), "{}", put.err);
    let got = quorate(cluster, &["get", "default", "00ff0a", "--key-hex"]);
    assert_eq!(
        (got.code, got.out.as_str()),
        (Some(0), "from\0input\n"),
        "{}",
        got.err
    );
    let missing = quorate(cluster, &["get", "default", "tool nothing"]);
    assert_eq!(missing.code, Some(1), "{}", missing.err);
    let missing = quorate(cluster, &["get", "no such bucket", "k"]);
    assert_eq!(missing.code, Some(1), "{}", missing.err);
    let deleted = quorate(cluster, &["delete", "default", "00ff0a", "--key-hex"]);
    assert_eq!(deleted.code, Some(0), "{}", deleted.err);
    let status = quorate(cluster, &["--json", "status"]);
    assert_eq!(status.code, Some(0), "{}", status.err);
    assert!(
        status.out.trim_start().starts_with(['{', '[']),
        "{}",
        status.out
    );
    Ok(())
}

async fn converged_says_which_node_lacks_how_much_and_ends_well_only_when_all_have_the_same(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    let all_equal = quorate(cluster, &["converged", "--wait"]);
    assert_eq!(all_equal.code, Some(0), "{all_equal:?}");
    let victim = cluster.all().last().unwrap();
    let name = format!("n{}", victim + 1);
    cluster.kill_seen(victim).await?;
    for number in 0..20 {
        let key = format!("converged {number}");
        let put = quorate(cluster, &["put", "default", &key, "v"]);
        assert_eq!(put.code, Some(0), "{}", put.err);
    }
    let down = quorate(cluster, &["converged"]);
    assert_eq!(down.code, Some(2), "{down:?}");
    assert!(
        down.out.contains(&format!("{name} does not answer")),
        "{}",
        down.out
    );
    let lag = quorate(cluster, &["--json", "lag"]);
    assert!(lag.out.contains("\"converged\":false"), "{}", lag.out);
    cluster.restart(victim).await?;
    let back = quorate(cluster, &["--json", "converged", "--wait"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    assert!(back.out.contains("\"converged\":true"), "{}", back.out);
    let lag = quorate(cluster, &["lag"]);
    assert!(lag.out.contains(&format!("{name} 0")), "{}", lag.out);
    Ok(())
}

async fn the_history_of_the_map_tells_what_each_version_changed(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    for more in [&["--n", "2"][..], &["--n", "2", "--r", "all"]] {
        let create = [&["bucket", "create", "of the history"], more].concat();
        let made = quorate(cluster, &create);
        assert_eq!(made.code, Some(0), "{}", made.err);
    }
    let history = quorate(cluster, &["cluster", "history"]);
    assert_eq!(history.code, Some(0), "{}", history.err);
    for what in [
        "the cluster was created",
        "every voter's storage is known",
        "bucket \"of the history\" was made, with n=2",
        "bucket \"of the history\" has other defaults",
    ] {
        assert!(history.out.contains(what), "{what}: {}", history.out);
    }
    let last = quorate(cluster, &["--json", "cluster", "history", "--last", "1"]);
    assert!(last.out.contains("has other defaults"), "{}", last.out);
    assert!(!last.out.contains("was made"), "{}", last.out);
    let status = quorate(cluster, &["status"]);
    assert!(status.out.contains("map version"), "{}", status.out);
    Ok(())
}

async fn unknown_symbols_and_reserved_modes_are_refused_by_name(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    for (arguments, word) in [
        (&["get", "default", "k", "--r", "some"][..], "'some'"),
        (&["get", "default", "k", "--r", "0"], "'0'"),
        (&["put", "default", "k", "v", "--w", "-1"], "-1"),
        (&["put", "default", "k", "v", "--dw", "two"], "'two'"),
        (&["put", "default", "k", "v", "--w", "4"], "w=4"),
        (&["get", "default", "k", "--deadline", "0s"], "deadline"),
        (
            &["get", "default", "k", "--deadline", "2 parsecs"],
            "parsecs",
        ),
        (&["bucket", "create", "b", "--mode", "strong"], "strong"),
        (&["bucket", "create", "b", "--mode", "often"], "often"),
        (&["get", "default", ""], "key"),
        (&["bucket", "create", ""], "bucket name"),
    ] {
        let refused = quorate(cluster, arguments);
        assert!(
            matches!(refused.code, Some(1 | 2)),
            "{arguments:?}: {refused:?}"
        );
        assert!(refused.err.contains(word), "{arguments:?}: {}", refused.err);
        assert!(!refused.err.contains("panicked"), "{}", refused.err);
    }
    Ok(())
}

async fn preflist_names_primaries_then_fallbacks(cluster: &mut Cluster, _: &mut Ledger) -> Outcome {
    let members = cluster.members_of("r01")?;
    let shown = quorate(cluster, &["preflist", "default", "r01"]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    let mut rest = shown.out.as_str();
    for (nodes, role) in [
        (&members.primaries, "primary"),
        (&members.fallbacks, "fallback"),
    ] {
        for node in nodes {
            let name = format!("n{}", node + 1);
            let line = rest
                .lines()
                .position(|line| line.contains(&name) && line.contains(role));
            let line = line
                .unwrap_or_else(|| panic!("{name} as {role} is not in order in:\n{}", shown.out));
            rest = rest.splitn(line + 2, '\n').last().unwrap_or("");
        }
    }
    Ok(())
}

async fn an_output_closed_early_is_no_failure(
    cluster: &mut Cluster,
    ledger: &mut Ledger,
) -> Outcome {
    // More than a pipe holds, so that the tool meets the closed end.
    let long = "k".repeat(4000);
    for number in 0..40 {
        ledger
            .put(&cluster.bucket(), &format!("{long}{number}"), "v", |put| {
                put
            })
            .await?;
    }
    let mut child = Tool::new(cluster, &["keys", "default"]).start()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line)?;
    let mut complaint = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaint)?;
    let status = child.wait()?;
    assert_eq!((status.code(), complaint.as_str()), (Some(0), ""));
    assert!(!line.is_empty());
    Ok(())
}

async fn a_load_ended_by_ctrl_c_is_resumed_and_verified(
    cluster: &mut Cluster,
    _: &mut Ledger,
) -> Outcome {
    const FILES: usize = 1_500;
    let dir = cluster.dir().join("files");
    write_files(&dir, FILES)?;
    let journal = cluster.dir().join("journal");
    let (dir, state) = (dir.display().to_string(), journal.display().to_string());
    let load = [
        "load",
        "default",
        &dir,
        "--concurrency",
        "2",
        "--resume",
        &state,
    ];
    let before = interrupted(cluster, &load, &journal).await?;
    assert!(
        (50..FILES).contains(&before),
        "{before} files were stored before Ctrl-C"
    );
    let resumed = quorate(cluster, &load);
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    let counts = [
        format!("stored {} files", FILES - before),
        format!("{before} were stored before"),
    ];
    assert!(
        counts.iter().all(|count| resumed.out.contains(count)),
        "{counts:?} are not in {}",
        resumed.out
    );
    let verified = quorate(
        cluster,
        &[
            "verify",
            "default",
            &dir,
            "--r",
            "1,2,3",
            "--through",
            "n1,n2,n3,n4,n5",
        ],
    );
    assert_eq!(verified.code, Some(0), "{}\n{}", verified.out, verified.err);
    // A value that changed on the way must be seen.
    fs::write(Path::new(&dir).join("0/0"), "changed since")?;
    assert_eq!(quorate(cluster, &["verify", "default", &dir]).code, Some(1));
    say!(
        "interrupted after {before} of {FILES} files, resumed, verified at r=1, 2, 3 through each node"
    );
    Ok(())
}

/// Begins a load and ends it by Ctrl-C; returns how many files it had stored by then.
async fn interrupted(
    cluster: &Cluster,
    load: &[&str],
    journal: &Path,
) -> Result<usize, Box<dyn std::error::Error>> {
    let lines = || fs::read_to_string(journal).map_or(0, |text| text.lines().count());
    let child = Tool::new(cluster, load).start()?;
    until(
        "the load is under way",
        Duration::from_secs(30),
        async || {
            Ok(if lines() > 50 {
                Ok(())
            } else {
                Err(format!("{} lines", lines()))
            })
        },
    )
    .await?;
    kill_process(Pid::from_child(&child), Signal::INT)?;
    let ended = child.wait_with_output()?;
    assert_eq!(
        ended.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    // The first line is the journal's title.
    Ok(lines() - 1)
}

fn write_files(dir: &Path, count: usize) -> std::io::Result<()> {
    for number in 0..count {
        let sub = dir.join((number % 10).to_string());
        fs::create_dir_all(&sub)?;
        fs::write(
            sub.join((number / 10).to_string()),
            format!("{number} ").repeat(number % 300),
        )?;
    }
    Ok(())
}
