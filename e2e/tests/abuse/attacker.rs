//! A connection that sends frames as a test needs.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use e2e::wait::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

use crate::frames::{END_STREAM, Kind, PREFACE, settings, stream, window_update};

/// The error code `ENHANCE_YOUR_CALM`.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// No GOAWAY frame has arrived.
const NONE: u32 = u32::MAX;

/// A connection of an attacker.
pub(crate) struct Attacker {
    write: OwnedWriteHalf,
    /// The error code of the last GOAWAY frame.
    go_away: Arc<AtomicU32>,
    /// Whether the server has spoken HTTP/2.
    is_served: Arc<AtomicBool>,
    /// How many calls the server has reset, and how many it has answered.
    ends: watch::Receiver<Ends>,
    reader: JoinHandle<()>,
}

/// How calls ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Calls with headers from the server.
    pub(crate) begun: usize,
    pub(crate) reset: usize,
    pub(crate) answered: usize,
    /// The error code of the last reset.
    pub(crate) code: Option<u32>,
}

/// What came of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    /// The server has reset the call with this error code.
    Reset(u32),
    /// The server has closed the connection, with this error code in a GOAWAY frame.
    Closed(Option<u32>),
}

// === impl Attacker ===

impl Attacker {
    /// Connects to a server with these settings.
    pub(crate) async fn connect(address: &str, own: &[(u16, u32)]) -> Self {
        let (read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
        // The window of the connection is no limit.
        let window = window_update(0, (1 << 31) - 1 - 65_535);
        write.write_all(&[PREFACE, &settings(own), &window].concat()).await.unwrap();
        let go_away = Arc::new(AtomicU32::new(NONE));
        let is_served = Arc::<AtomicBool>::default();
        let (end, ends) = watch::channel(Ends::default());
        let reader = tokio::spawn(read_frames(read, Arc::clone(&go_away), Arc::clone(&is_served), end));
        Self { write, go_away, is_served, ends, reader }
    }

    /// Returns whether the server has spoken HTTP/2 on the connection: it was not refused.
    pub(crate) fn is_served(&self) -> bool {
        self.is_served.load(Ordering::Relaxed)
    }

    /// Sends these bytes. Returns whether the connection was still open.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        within("the server reads", self.write.write_all(bytes)).await.is_ok() && !self.reader.is_finished()
    }

    /// Waits until the server has reset this many calls.
    pub(crate) async fn reset(&mut self, calls: usize) {
        let reset = self.ends.wait_for(|ends| ends.reset >= calls);
        within("the server resets the attacker's calls", reset).await.unwrap();
    }

    /// Waits until the server has sent the headers of this many replies.
    pub(crate) async fn answered(&mut self, calls: usize) {
        let begun = self.ends.wait_for(|ends| ends.begun >= calls);
        within("the server answers the attacker's calls", begun).await.unwrap();
    }

    /// Waits until the server has reset or answered this many calls. Returns how they ended.
    pub(crate) async fn ended(&mut self, calls: usize) -> Ends {
        let ended = self.ends.wait_for(|ends| ends.reset + ends.answered >= calls);
        *within("the server ends the attacker's calls", ended).await.expect("the connection is open")
    }

    /// Waits until the server has ended a call, or closed the connection.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        let ended = self.ends.wait_for(|ends| ends.reset + ends.answered > 0);
        let ends = within("an answer", ended).await.ok().map(|ends| *ends);
        match ends {
            Some(Ends { code: Some(code), .. }) => Outcome::Reset(code),
            Some(_) => Outcome::Answered,
            None => Outcome::Closed(self.closed().await),
        }
    }

    /// Waits until the server closes the connection. Returns the error code of its GOAWAY frame.
    pub(crate) async fn closed(&mut self) -> Option<u32> {
        within("the server closes the attacker's connection", &mut self.reader).await.unwrap();
        Some(self.go_away.load(Ordering::Relaxed)).filter(|code| *code != NONE)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads to the end of the connection.
async fn read_frames(
    read: OwnedReadHalf,
    go_away: Arc<AtomicU32>,
    is_served: Arc<AtomicBool>,
    ends: watch::Sender<Ends>,
) {
    let mut read = BufReader::new(read);
    let (mut head, mut begun, mut over) = ([0; 9], HashSet::new(), HashSet::new());
    while read.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if read.read_exact(&mut payload).await.is_err() {
            return;
        }
        is_served.fetch_or(head[3] == Kind::Settings as u8, Ordering::Relaxed);
        if head[3] == Kind::GoAway as u8 {
            let code = payload[4..8].try_into().unwrap();
            go_away.store(u32::from_be_bytes(code), Ordering::Relaxed);
            continue;
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let is_answered = head[4] & END_STREAM != 0 && [Kind::Data as u8, Kind::Headers as u8].contains(&head[3]);
        if head[3] == Kind::Headers as u8 && begun.insert(stream) {
            ends.send_modify(|ends| ends.begun += 1);
        }
        let is_reset = head[3] == Kind::ResetStream as u8;
        // A call that is answered before its end may be reset too.
        if (is_answered || is_reset) && over.insert(stream) {
            ends.send_modify(|ends| {
                if is_reset {
                    ends.code = Some(u32::from_be_bytes(payload[..4].try_into().unwrap()));
                    ends.reset += 1;
                } else {
                    ends.answered += 1;
                }
            });
        }
    }
}

/// Makes this many calls of the bytes that `call` returns for each stream, as fast as the server reads them. Connects
/// again each time that the server closes the connection. Returns the error codes with which it did, and the last
/// connection.
pub(crate) async fn flood(
    address: &str,
    calls: u32,
    call: impl Fn(u32) -> Vec<u8>,
) -> (Vec<Option<u32>>, Option<Attacker>) {
    /// How many calls are sent at once.
    const BATCH: u32 = 5_000;
    let (mut sent, mut codes) = (0, Vec::new());
    while sent < calls {
        let mut attacker = Attacker::connect(address, &[]).await;
        let mut on_connection = 0;
        loop {
            let batch: Vec<_> = (on_connection..on_connection + BATCH).flat_map(|index| call(stream(index))).collect();
            let is_open = attacker.send(&batch).await;
            (sent, on_connection) = (sent + BATCH, on_connection + BATCH);
            if !is_open {
                codes.push(attacker.closed().await);
                break;
            }
            if sent >= calls {
                return (codes, Some(attacker));
            }
        }
    }
    (codes, None)
}
