//! `fanout completions`: what a shell offers, and what `man` shows.

#![allow(clippy::unwrap_used, reason = "clippy recognizes tests by their attribute only")]

use std::process::{Command, Output};

use fanout_cli::services::SERVICES;

fn print(kind: &str) -> String {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_fanout")).args(["completions", kind]).output().unwrap();
    assert!(status.success() && stderr.is_empty(), "{kind}");
    String::from_utf8(stdout).unwrap()
}

/// Returns what bash offers for the last of these words.
fn offers(script: &str, words: &[&str]) -> Vec<String> {
    let script = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={}; _fanout fanout '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let output = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_commands_flags_and_values() {
    let script = print("bash");
    assert_eq!(offers(&script, &["fanout", "comp"]), ["compare", "completions"]);
    assert_eq!(offers(&script, &["fanout", "compare", "--strat"]), ["--strategy"]);
    assert_eq!(offers(&script, &["fanout", "compare", "--strategy", "s"]), ["sequential", "spawned"]);
    assert_eq!(offers(&script, &["fanout", "call", "pro"]), ["profile"]);
    assert_eq!(offers(&script, &["fanout", "gateway", "--retry-b"]), ["--retry-budget"], "a service's own flags");
}

#[test]
fn every_shell_has_a_script_with_all_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = print(shell);
        for command in ["up", "compare", "call", "load", "view", "analyze"]
            .into_iter()
            .chain(SERVICES.iter().map(|service| service.name))
        {
            assert!(script.contains(command), "{command} in the script for {shell}");
        }
    }
}

#[test]
fn the_manual_has_a_section_for_every_command() {
    let page = print("man");
    assert!(page.contains("\n.TH fanout 1"), "{page}");
    for command in ["up", "compare", "call", "load", "analyze", "view"]
        .into_iter()
        .chain(SERVICES.iter().map(|service| service.name))
    {
        assert!(page.contains(&format!("\n.SH \"fanout {command}\"\n")), "{command}");
        assert!(page.contains(&format!("\nfanout {command}\n")), "{command} in the list of commands");
    }
    assert!(!page.contains("(1)\n"), "no page that does not exist is referred to");
}
