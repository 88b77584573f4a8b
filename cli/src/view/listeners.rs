//! The ports of the viewer, opened here or handed over by `fanout up`.
//!
//! They are handed over as file descriptors through a socket that is the viewer's standard input, so that `fanout up`
//! can tell the other services where to send before the viewer runs, and no other program can take a port in between.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener as StdListener},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use service_kit::settings::Listen;
use tokio::net::TcpListener;
use viewer::Listeners;

use crate::view::{ViewArgs, ViewError};

/// How many listeners there are: for the page, for OTLP over gRPC and over HTTP.
pub(crate) const LISTENERS: usize = 3;

/// Opens the listeners, or takes those that are handed over.
pub(super) async fn open(args: &ViewArgs) -> Result<Listeners, ViewError> {
    let Listen::Address(page) = args.listen else { return inherited().map_err(ViewError::NotInherited) };
    Ok(Listeners {
        page: bind(page, "the page", "listen").await?,
        otlp_grpc: bind(args.otlp_grpc, "OTLP over gRPC", "otlp-grpc").await?,
        otlp_http: bind(args.otlp_http, "OTLP over HTTP", "otlp-http").await?,
    })
}

async fn bind(address: SocketAddr, what: &'static str, flag: &'static str) -> Result<TcpListener, ViewError> {
    TcpListener::bind(address).await.map_err(|source| ViewError::Listen { address, what, flag, source })
}

/// Returns a socket that hands these listeners to the process whose standard input it becomes.
///
/// # Errors
///
/// Returns the operating system's error.
pub(crate) fn hand_over(listeners: &[StdListener; LISTENERS]) -> io::Result<OwnedFd> {
    let (here, there) = UnixStream::pair()?;
    let descriptors: [BorrowedFd<'_>; LISTENERS] = listeners.each_ref().map(StdListener::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LISTENERS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for the listeners"));
    }
    sendmsg(&here, &[IoSlice::new(&[0])], &mut control, SendFlags::empty())?;
    Ok(there.into())
}

fn inherited() -> io::Result<Listeners> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LISTENERS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(io::stdin().as_fd(), &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::empty())?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors = descriptors.flatten();
    let mut next = || {
        let descriptor = descriptors.next().ok_or_else(|| io::Error::other("there are fewer than three"))?;
        let listener = StdListener::from(descriptor);
        listener.local_addr()?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    Ok(Listeners { page: next()?, otlp_grpc: next()?, otlp_http: next()? })
}
