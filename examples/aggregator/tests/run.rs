//! The example runs, and prints what the README says.

use std::process::Command;

#[test]
fn a_page_takes_as_long_as_its_slower_call() {
    let output = Command::new(env!("CARGO_BIN_EXE_aggregator")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let figures = |how: &str| -> Vec<u64> {
        let line = text.lines().find(|line| line.contains(how)).unwrap_or_else(|| panic!("{how}: {text}"));
        line.split(|char: char| !char.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    };
    let [wall, saved, avoidable] = figures("one by one")[..] else { panic!("{text}") };
    assert!(wall >= 500 && saved == 0 && avoidable >= 190, "{text}");
    let [wall, saved, avoidable] = figures("at the same time")[..] else { panic!("{text}") };
    assert!(wall >= 300 && saved >= 190 && avoidable == 0, "{text}");
}
