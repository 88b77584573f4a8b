//! `fanout completions`: completions for shells, and the manual page.

use std::io;

use clap::{Args, Command, ValueEnum, builder::Resettable};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{services::SERVICES, terminal::stdout, usage};

/// The name under which the program is called.
const NAME: &str = "fanout";

/// The flags of `fanout completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  source <(fanout completions bash)                                 in this shell
  fanout completions bash > /etc/bash_completion.d/fanout           in every shell
  fanout completions zsh > \"${fpath[1]}/_fanout\"
  fanout completions fish > ~/.config/fish/completions/fanout.fish
  fanout completions man > /usr/local/share/man/man1/fanout.1       then: man fanout")]
pub struct CompletionsArgs {
    /// The shell, or `man` for the manual page
    #[arg(value_enum, value_name = "SHELL")]
    kind: Kind,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
    /// The manual page, for `man`
    Man,
}

/// Runs the command: prints the completions, or the manual page.
///
/// # Errors
///
/// Returns an error if standard output cannot be written.
pub fn completions(args: &CompletionsArgs) -> io::Result<()> {
    let shell = match args.kind {
        Kind::Bash => Shell::Bash,
        Kind::Elvish => Shell::Elvish,
        Kind::Fish => Shell::Fish,
        Kind::PowerShell => Shell::PowerShell,
        Kind::Zsh => Shell::Zsh,
        Kind::Man => return stdout::print(&manual(whole_command())?),
    };
    let script = section(|script| {
        clap_complete::generate(shell, &mut whole_command(), NAME, script);
        Ok(())
    });
    stdout::print(&script?)
}

/// Returns the command line with the settings of the services, which read them themselves.
fn whole_command() -> Command {
    SERVICES.iter().fold(usage::command(NAME), |command, service| {
        command.mut_subcommand(service.name, |known| {
            let about = known.get_about().cloned().unwrap_or_default();
            (service.command)().name(service.name).about(about)
        })
    })
}

/// Returns the manual page: that of the program, how to begin, and the flags of each command.
fn manual(command: Command) -> io::Result<String> {
    let mut command = command.after_help(Resettable::Reset);
    command.build();
    let mut page = section(|page| Man::new(command.clone()).render(page))?;
    for command in command.get_subcommands() {
        let name = command.get_name();
        // Not a page of its own.
        page = page.replace(&format!("{NAME}\\-{}(1)", name.replace('-', "\\-")), &format!("{NAME} {name}"));
    }
    // Lines as they are.
    let steps = usage::first_steps(NAME);
    page.extend([".SH EXAMPLES\n.nf\n", &steps, "\n.fi\n"]);
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let options = section(|page| Man::new(command.clone()).render_options_section(page))?;
        page.push_str(&options.replacen(".SH OPTIONS", &format!(".SH \"{NAME} {}\"", command.get_name()), 1));
    }
    Ok(page)
}

fn section(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<String> {
    let mut bytes = Vec::new();
    render(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
