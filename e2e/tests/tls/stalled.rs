//! Peers that begin a handshake and do not end it.

use std::time::{Duration, Instant};

use e2e::wait::within;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{caller::Caller, fleet::Fleet};

/// How many of them there are.
const STALLED: usize = 400;

/// How long a handshake may take, and as much again for a busy machine.
const CUT_OFF: Duration = Duration::from_secs(10);

/// The beginning of a record of a TLS handshake that has 512 bytes.
const BEGINNING: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_stall_are_cut_off_and_hold_nobody() {
    let fleet = Fleet::start(&[]);
    let caller = Caller::connect(&fleet.gateway.url(), &fleet.client("caller", &fleet.authority.pem));
    within("the first call", caller.call()).await.unwrap();
    let idle = fleet.gateway.service.memory("VmRSS");
    let begun = Instant::now();
    let mut stalled = Vec::new();
    // Some have said nothing yet.
    for said in [&[][..], BEGINNING].into_iter().cycle().take(STALLED) {
        let mut connection = TcpStream::connect(fleet.gateway.service.address()).await.unwrap();
        connection.write_all(said).await.unwrap();
        stalled.push(connection);
    }
    // New connections of others are made beside them.
    for _ in 0..10 {
        let caller = Caller::connect(&fleet.gateway.url(), &fleet.client("caller", &fleet.authority.pem));
        within("a call beside stalled handshakes", caller.call()).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "they have not been cut off yet: {:?}", begun.elapsed());
    for mut connection in stalled {
        let closed = within("a stalled handshake is cut off", connection.read(&mut [0; 64])).await;
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
    assert!(begun.elapsed() < CUT_OFF, "{:?}", begun.elapsed());
    let taken = fleet.gateway.service.memory("VmHWM").saturating_sub(idle);
    assert!(taken <= 64 << 10, "{taken} KiB");
    within("the last call", caller.call()).await.unwrap();
    assert_eq!(fleet.gateway.service.log.count(|line| line["level"] == "WARN"), 0);
}
