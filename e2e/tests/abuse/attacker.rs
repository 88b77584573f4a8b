//! A connection that sends frames as a test needs.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
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

use crate::frames::{Kind, PREFACE, settings, stream};

/// The error code `ENHANCE_YOUR_CALM`.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// No GOAWAY frame has arrived.
const NONE: u32 = u32::MAX;

/// A connection of an attacker.
pub(crate) struct Attacker {
    write: OwnedWriteHalf,
    /// The error code of the last GOAWAY frame.
    go_away: Arc<AtomicU32>,
    resets: watch::Receiver<usize>,
    replies: watch::Receiver<usize>,
    reader: JoinHandle<()>,
}

// === impl Attacker ===

impl Attacker {
    /// Connects to a server with these settings.
    pub(crate) async fn connect(address: &str, own: &[(u16, u32)]) -> Self {
        let (read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
        write.write_all(&[PREFACE, &settings(own)].concat()).await.unwrap();
        let go_away = Arc::new(AtomicU32::new(NONE));
        let ((reset, resets), (reply, replies)) = (watch::channel(0), watch::channel(0));
        let reader = tokio::spawn(read_frames(read, Arc::clone(&go_away), reset, reply));
        Self { write, go_away, resets, replies, reader }
    }

    /// Sends these bytes. Returns whether the connection was still open.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        within("the server reads", self.write.write_all(bytes)).await.is_ok() && !self.reader.is_finished()
    }

    /// Waits until the server has reset this many calls.
    pub(crate) async fn reset(&mut self, calls: usize) {
        let reset = self.resets.wait_for(|resets| *resets >= calls);
        within("the server resets the attacker's calls", reset).await.unwrap();
    }

    /// Waits until the server has sent the headers of this many replies.
    pub(crate) async fn answered(&mut self, calls: usize) {
        let answered = self.replies.wait_for(|replies| *replies >= calls);
        within("the server answers the attacker's calls", answered).await.unwrap();
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
    resets: watch::Sender<usize>,
    replies: watch::Sender<usize>,
) {
    let mut read = BufReader::new(read);
    let mut head = [0; 9];
    while read.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if read.read_exact(&mut payload).await.is_err() {
            return;
        }
        if head[3] == Kind::GoAway as u8 {
            let code = payload[4..8].try_into().unwrap();
            go_away.store(u32::from_be_bytes(code), Ordering::Relaxed);
        } else if head[3] == Kind::ResetStream as u8 {
            resets.send_modify(|resets| *resets += 1);
        } else if head[3] == Kind::Headers as u8 {
            replies.send_modify(|replies| *replies += 1);
        }
    }
}

/// Makes this many calls of the bytes that `call` returns for each stream, as fast as the server reads them. Connects
/// again each time that the server closes the connection. Returns the error codes with which it did.
pub(crate) async fn flood(address: &str, calls: u32, call: impl Fn(u32) -> Vec<u8>) -> Vec<Option<u32>> {
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
                break;
            }
        }
    }
    codes
}
