//! Listening programs: they say who they are and repeat what they hear.

use super::PATIENCE;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Shutdown, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, shutdown, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The first words of every [`Server`].
pub const BANNER: &[u8] = b"ringfence lab\n";

/// A listening program in the namespace of the thread that starts it.
pub struct Server {
    listener: TcpListener,
    sessions: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `port`, on every address of both families.
    pub fn start(port: u16) -> Server {
        Server::saying(("::", port), BANNER)
    }

    /// The same at one address, with other first words, where it matters which of several has answered.
    pub fn saying(at: impl ToSocketAddrs, words: &[u8]) -> Server {
        let listener = TcpListener::bind(at).expect("listening");
        let words: Arc<[u8]> = words.into();
        let sessions = Arc::new(Mutex::new(Vec::new()));
        let (door, open) = (listener.try_clone().expect("a second handle"), Arc::clone(&sessions));
        let thread = std::thread::spawn(move || {
            // Ends with the error that shutting a listening socket down leaves behind.
            for stream in door.incoming().map_while(Result::ok) {
                open.lock().expect("the list").push(stream.try_clone().expect("a second handle"));
                let words = Arc::clone(&words);
                std::thread::spawn(move || converse(stream, &words));
            }
        });
        Server { listener, sessions, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Every thread has to end, or it keeps its namespace alive for as long as the tests run.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.sessions.lock().iter().flat_map(|list| list.iter()) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Errors end the conversation: the other side may be cut off at any time, that is what the tests do.
fn converse(mut stream: TcpStream, words: &[u8]) {
    let mut buffer = [0; 4096];
    if stream.write_all(words).is_ok() {
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    }
}

/// Connects from a given source, which the standard library cannot. Belongs to the namespace of the calling thread.
/// Gives up after [`PATIENCE`], and so does reading from the stream.
pub fn connect_from(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let fd = bound_socket(from, SockFlag::empty())?;
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::seconds(PATIENCE.as_secs() as i64))?;
    connect(fd.as_raw_fd(), &SockaddrStorage::from(to))?;
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends the SYN and does not wait; `peer_addr` of the stream tells whether the handshake is done.
pub fn start_connecting(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let fd = bound_socket(from, SockFlag::SOCK_NONBLOCK).expect("a bound socket");
    let started = connect(fd.as_raw_fd(), &SockaddrStorage::from(to));
    assert!(matches!(started, Ok(()) | Err(Errno::EINPROGRESS)), "connecting to {to}: {started:?}");
    TcpStream::from(fd)
}

fn bound_socket(from: SocketAddr, flags: SockFlag) -> std::io::Result<OwnedFd> {
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(from))?;
    Ok(fd)
}

/// Says something and expects it back: the session works in both directions.
pub fn echo(stream: &mut TcpStream, words: &[u8]) {
    stream.write_all(words).expect("the session takes words");
    expect(stream, words);
}

/// Reads exactly these words.
pub fn expect(stream: &mut TcpStream, words: &[u8]) {
    let mut heard = vec![0; words.len()];
    stream.read_exact(&mut heard).expect("the session gives words");
    assert_eq!(heard, words);
}
