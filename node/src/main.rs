//! The daemon's command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use quorate_core::record::Restored;
use quorate_node::backup::Which;
use quorate_node::daemon::{self, DaemonError, RestoreOptions};
use quorate_ring::NodeId;

/// A node of a Quorate cluster.
#[derive(Parser)]
#[command(name = "quorate-node", version = quorate_node::BUILD, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the node until SIGTERM (the default).
    Run(RunArgs),
    /// Make the node's data directory from a cluster map.
    Init(InitArgs),
    /// Put a backup of this node in the place of its data, while it is stopped.
    Restore(RestoreArgs),
    /// Count all that a stopped node's database holds, by kind, and the bytes of metadata in it.
    Inspect(InspectArgs),
    /// Check everything that a start reads, and change nothing.
    CheckConfig(CheckArgs),
}

#[derive(Args)]
struct RunArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "quorate-node.toml")]
    config: PathBuf,
}

#[derive(Args)]
struct InitArgs {
    /// The directory to make; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The cluster map that `quorate cluster create`, `join` or `replace` has written.
    #[arg(long, value_name = "FILE")]
    map: PathBuf,
    /// This node's id: 16 hexadecimal digits; one of the map's members, or of a node that is to join.
    #[arg(long, value_name = "HEX")]
    node: NodeId,
}

#[derive(Args)]
struct RestoreArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "quorate-node.toml")]
    config: PathBuf,
    /// Where the backups are [default: where the configuration has them made]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The number of the backup, or `latest`.
    #[arg(long, value_name = "NUMBER", default_value = "latest", value_parser = which)]
    backup: Which,
    /// All nodes of the cluster are restored, each from its own backup, before any of them is started again.
    #[arg(long)]
    whole_cluster: bool,
    /// Set data that is there aside; it is not deleted.
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
struct InspectArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "quorate-node.toml")]
    config: PathBuf,
    /// Compact the database first, so that its bytes are those of what is in it.
    #[arg(long)]
    compact: bool,
}

fn which(text: &str) -> Result<Which, String> {
    if text == "latest" {
        return Ok(Which::Latest);
    }
    let number = text.parse().map(Which::Number);
    number.map_err(|_| "write the number of a backup, or latest".to_owned())
}

#[derive(Args)]
struct CheckArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "quorate-node.toml")]
    config: PathBuf,
    /// Print a configuration that documents every key instead.
    #[arg(long)]
    example: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command {
        None => daemon::run(&cli.run.config),
        Some(Command::Run(args)) => daemon::run(&args.config),
        Some(Command::Init(args)) => init(&args),
        Some(Command::Restore(args)) => restore(args),
        Some(Command::Inspect(args)) => inspect(&args),
        Some(Command::CheckConfig(args)) => check(&args),
    };
    ended.unwrap_or_else(|error| {
        say(format_args!("quorate-node: {error}"));
        ExitCode::FAILURE
    })
}

/// Writes a line for people; a closed standard error is no reason to fail.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn init(args: &InitArgs) -> Result<ExitCode, DaemonError> {
    daemon::init(&args.dir, &args.map, args.node)?;
    say(format_args!(
        "{} is the data directory of node {}",
        args.dir.display(),
        args.node
    ));
    Ok(ExitCode::SUCCESS)
}

fn restore(args: RestoreArgs) -> Result<ExitCode, DaemonError> {
    let options = RestoreOptions {
        from: args.from,
        which: args.backup,
        restored: if args.whole_cluster {
            Restored::Cluster
        } else {
            Restored::Node
        },
        force: args.force,
    };
    let manifest = daemon::restore(&args.config, options)?;
    say(format_args!(
        "backup {} of node {} is restored: {} files, {} MiB",
        manifest.backup,
        manifest.identity.node,
        manifest.files.len(),
        manifest.bytes() >> 20
    ));
    Ok(ExitCode::SUCCESS)
}

/// One figure a line, its name first.
fn inspect(args: &InspectArgs) -> Result<ExitCode, DaemonError> {
    let inspected = daemon::inspect(&args.config, args.compact)?;
    let mut lines = String::new();
    for (name, number) in inspected.figures() {
        lines.push_str(&format!("{name} {number}\n"));
    }
    // A reader that has seen enough may close its end.
    let _ = std::io::stdout().write_all(lines.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn check(args: &CheckArgs) -> Result<ExitCode, DaemonError> {
    if args.example {
        // A reader that has seen enough may close its end.
        let _ = std::io::stdout().write_all(quorate_node::config::EXAMPLE.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    daemon::check_config(&args.config)?;
    say(format_args!("{}: nothing is wrong", args.config.display()));
    Ok(ExitCode::SUCCESS)
}
