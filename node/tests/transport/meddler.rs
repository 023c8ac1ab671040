//! A man in the middle of TCP connections: passes bytes on, spoils one, slips others in, or swallows them all.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::world::socket;

/// The meddler.
pub(crate) struct Meddler {
    /// Where it takes calls.
    pub(crate) address: Multiaddr,
    mischief: Arc<Mischief>,
}

#[derive(Default)]
struct Mischief {
    spoil_one: AtomicBool,
    /// Slipped in before what passes next towards the target.
    injected: Mutex<Vec<u8>>,
    connections: AtomicU64,
    /// Connections up to this one are swallowed.
    swallowed: AtomicU64,
}

impl Meddler {
    /// Stands before an address.
    pub(crate) async fn before(target: &Multiaddr) -> Self {
        let target = socket(target);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let SocketAddr::V4(local) = listener.local_addr().unwrap() else {
            panic!("not IPv4")
        };
        let mischief = Arc::new(Mischief::default());
        let shared = Arc::clone(&mischief);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(target).await else {
                    continue;
                };
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                tokio::spawn(pass(from_near, to_far, Arc::clone(&shared), number, true));
                tokio::spawn(pass(from_far, to_near, Arc::clone(&shared), number, false));
            }
        });
        let address = Multiaddr::from(*local.ip()).with(Protocol::Tcp(local.port()));
        Self { address, mischief }
    }

    /// Changes one bit of what passes next, in either direction.
    pub(crate) fn spoil_one(&self) {
        self.mischief.spoil_one.store(true, Ordering::SeqCst);
    }

    /// Slips bytes in before what passes next towards the target.
    pub(crate) fn inject(&self, bytes: Vec<u8>) {
        *self.mischief.injected.lock().unwrap() = bytes;
    }

    /// From now on passes nothing on, not even an end, over the connections there are; over later ones it does.
    pub(crate) fn swallow(&self) {
        let all = self.mischief.connections.load(Ordering::SeqCst);
        self.mischief.swallowed.store(all, Ordering::SeqCst);
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mischief: Arc<Mischief>,
    number: u64,
    inwards: bool,
) {
    let mut buffer = vec![0; 4_096];
    loop {
        let read = from.read(&mut buffer).await;
        if mischief.swallowed.load(Ordering::SeqCst) >= number {
            // The far end never learns of the end either.
            while from.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            std::future::pending::<()>().await;
        }
        let Ok(count @ 1..) = read else { return };
        if mischief.spoil_one.swap(false, Ordering::SeqCst) {
            buffer[count / 2] ^= 1;
        }
        if inwards {
            let injected = std::mem::take(&mut *mischief.injected.lock().unwrap());
            // The target may close before it has taken all of it.
            to.write_all(&injected).await.ok();
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
