//! `faafo completions`: what makes a shell complete the commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Done, output};

#[derive(Args)]
#[command(after_help = "\
The Debian package brings them for bash, zsh and fish.

Examples:
  faafo completions bash > ~/.local/share/bash-completion/completions/faafo
  faafo completions zsh > ~/.zfunc/_faafo           where that folder is in $fpath
  faafo completions fish > ~/.config/fish/completions/faafo.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub fn run(args: CompletionsArgs) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "faafo", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
