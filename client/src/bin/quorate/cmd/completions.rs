//! `quorate completions`: scripts that complete commands and options in a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::outcome::Done;
use crate::output::Out;

#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Completions, out: &mut Out) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut crate::args::Args::command(),
        "quorate",
        &mut script,
    );
    out.raw(&script)
}
