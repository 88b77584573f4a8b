//! Ends a process with the one that started it, whichever way that ends: in order, by a crash or by SIGKILL.
//!
//! The parent keeps the write end of a pipe and its children inherit the read end, so the operating system closes the pipe
//! when the parent is gone. Every Unix has this. It depends on no thread of the parent, and it reaches children behind
//! other programs, such as a shell.

use std::{
    env,
    fs::File,
    io::{self, PipeReader, PipeWriter, Read as _},
    os::{fd::AsRawFd as _, unix::fs::FileTypeExt as _},
    sync::OnceLock,
    thread,
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Signal, getpid, kill_process},
};

/// The variable with the path of the pipe's read end.
const PARENT_PIPE: &str = "FANOUT_PARENT_PIPE";

/// Returns the environment variable with which a `fanout` process ends when this process has ended.
///
/// # Errors
///
/// Returns an error if the process has no file descriptors left.
pub fn variable() -> io::Result<(&'static str, String)> {
    static PIPE: OnceLock<(PipeReader, PipeWriter)> = OnceLock::new();
    let (reader, _) = if let Some(pipe) = PIPE.get() {
        pipe
    } else {
        let pipe = io::pipe()?;
        // Children inherit this end. The other one closes when a program is started.
        fcntl_setfd(&pipe.0, FdFlags::empty())?;
        PIPE.get_or_init(|| pipe)
    };
    Ok((PARENT_PIPE, format!("/dev/fd/{}", reader.as_raw_fd())))
}

/// Sends this process SIGTERM when its parent has ended, if the parent has set [`variable`].
pub(crate) fn end_with_parent() {
    let Some(path) = env::var_os(PARENT_PIPE) else { return };
    match File::open(&path).and_then(only_pipe) {
        Ok(pipe) => drop(thread::spawn(|| wait_for_end(pipe))),
        Err(error) => eprintln!("fanout: {PARENT_PIPE} is {}, which is no pipe to read from: {error}", path.display()),
    }
}

/// Rejects another file that happens to have the pipe's number.
fn only_pipe(file: File) -> io::Result<File> {
    let is_pipe = file.metadata()?.file_type().is_fifo();
    is_pipe.then_some(file).ok_or_else(|| io::Error::other("it is a file of another type"))
}

fn wait_for_end(mut pipe: File) {
    // Nobody writes to it: this returns when the last writer, the parent, has ended.
    let _ = pipe.read(&mut [0]);
    let _ = kill_process(getpid(), Signal::TERM);
}
