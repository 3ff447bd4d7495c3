//! Sessions of real sockets: those of strangers end, those of peers and the host's own go on.

use crate::lab::netns::until_local;
use crate::lab::rules::{FREE, GUARDED, PEER4, PEER6, Rules};
use crate::lab::server::{BANNER, Server, connect_from, echo, expect, start_connecting};
use crate::lab::{HOST4, HOST6, HOSTS, Lab};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};

/// Both ends of one session: opened from the wire, accepted on the host.
struct Session {
    far: TcpStream,
    host: TcpStream,
}

impl Session {
    fn open(lab: &Lab, from: IpAddr, to: IpAddr, door: &TcpListener) -> Session {
        let port = door.local_addr().expect("an address").port();
        lab.give_wire(from);
        let far =
            lab.wire.enter(|| connect_from(SocketAddr::new(from, 0), SocketAddr::new(to, port))).expect("a session");
        far.set_nodelay(true).expect("no delay");
        let (host, _) = door.accept().expect("accepting");
        Session { far, host }
    }

    /// Whether what the far end says is heard on the host. Decided when the kernel has dealt with it, not after some time.
    fn is_heard(&mut self, lab: &Lab) -> bool {
        lab.in_order(|| {
            // The host speaks first: what tracks connections would take the answer for one that belongs.
            self.host.write_all(b"well?").expect("the host may still write");
            lab.wait();
            self.far.write_all(b"hello").expect("the far end may still write");
            lab.wait();
        });
        let mut buffer = [0; 5];
        self.host.set_nonblocking(true).expect("not waiting");
        match self.host.read(&mut buffer) {
            Ok(5) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            other => panic!("neither silence nor a greeting: {other:?}"),
        }
    }
}

fn listen(port: u16) -> TcpListener {
    TcpListener::bind(("::", port)).expect("listening")
}

/// In the order of [`HOSTS`].
fn strangers() -> [IpAddr; 2] {
    [IpAddr::from([203, 0, 113, 1]), IpAddr::from([0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 1])]
}

on_each_backend! {
    fn of_strangers_end(backend) {
        let lab = Lab::new();
        let (guarded, free) = (listen(GUARDED), listen(FREE));
        let mut cut = Vec::new();
        let mut kept = Vec::new();
        for (host, (stranger, peer)) in HOSTS.into_iter().zip(strangers().into_iter().zip([PEER4, PEER6])) {
            cut.push(Session::open(&lab, stranger, host, &guarded));
            kept.push(Session::open(&lab, stranger, host, &free));
            kept.push(Session::open(&lab, peer, host, &guarded));
        }
        for session in cut.iter_mut().chain(&mut kept) {
            assert!(session.is_heard(&lab), "without rules");
        }
        backend.load(&Rules::usual());
        for session in &mut cut {
            assert!(!session.is_heard(&lab), "a stranger's session goes on");
        }
        for session in &mut kept {
            assert!(session.is_heard(&lab), "a session was cut that is none of the guard's business");
        }
    }

    /// The guard listens at the ways in; what the program still has to say leaves until it waits for an acknowledgement.
    fn that_are_cut_may_hear_a_little_more(backend) {
        let lab = Lab::new();
        let mut session = Session::open(&lab, strangers()[0], HOST4, &listen(GUARDED));
        assert!(session.is_heard(&lab), "without rules");
        backend.load(&Rules::usual());
        session.host.set_nonblocking(true).expect("not waiting");
        session.far.set_nonblocking(true).expect("not waiting");
        lab.in_order(|| {
            let mut written = 0;
            while written < 16 << 20 {
                match session.host.write(&[0; 1 << 16]) {
                    Ok(length) => written += length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("writing: {error}"),
                }
            }
            lab.wait();
        });
        let mut heard = 0;
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = session.far.read(&mut buffer) {
            heard += length;
        }
        assert!((1..256 << 10).contains(&heard), "{heard} bytes left the host");
    }

    /// The answers come from port 8098 of a stranger; that is not this host's port 8098.
    fn of_the_host_itself_go_out(backend) {
        let lab = Lab::new();
        let far: Vec<Server> = lab.wire.enter(|| [GUARDED, 443].map(Server::start).into_iter().collect());
        let open = || {
            let mut streams = Vec::new();
            for (host, stranger) in HOSTS.into_iter().zip(strangers()) {
                lab.give_wire(stranger);
                for port in [GUARDED, 443] {
                    let mut stream =
                        connect_from(SocketAddr::new(host, 0), SocketAddr::new(stranger, port)).expect("connecting out");
                    expect(&mut stream, BANNER);
                    streams.push(stream);
                }
            }
            streams
        };
        let mut before = open();
        backend.load(&Rules::usual());
        let mut after = open();
        // Sessions from before the rules go on too, also those to a host that is no peer: stated, listed, not cut.
        for stream in before.iter_mut().chain(&mut after) {
            echo(stream, &[b'x'; 60_000]);
        }
        drop(far);
    }

    /// The kernel may choose any port of the range for a connection of ours, but no protected one.
    fn of_the_host_never_leave_from_a_protected_port(backend) {
        let lab = Lab::new();
        netns::sysctl("net.ipv4.ip_local_port_range", "6000 6011");
        let far = lab.wire.enter(|| Server::start(443));
        lab.give_wire(strangers()[0]);
        let connect = || {
            let stream = connect_from(SocketAddr::new(HOST4, 0), SocketAddr::new(strangers()[0], 443)).expect("connecting out");
            let port = stream.local_addr().expect("an address").port();
            (stream, port)
        };
        let before: Vec<(TcpStream, u16)> = (0..3).map(|_| connect()).collect();
        assert!(before.iter().any(|(_, port)| *port < 6010), "the control chose no protected port: {before:?}");
        drop(before);
        backend.load(&Rules::usual());
        for _ in 0..2 {
            let (mut stream, port) = connect();
            assert!(port >= 6010, "connected from {port}");
            expect(&mut stream, BANNER);
            echo(&mut stream, b"hello");
        }
        drop(far);
    }

    /// A stated limit: who insists on a protected source port loses the answers of all but peers.
    fn bound_to_a_protected_port_lose_their_answers(backend) {
        let lab = Lab::new();
        let far = lab.wire.enter(|| Server::start(443));
        lab.give_wire(strangers()[0]);
        lab.give_wire(PEER4);
        // Each from a port of its own: what a port was used for lingers.
        let connects = |from: u16, to: IpAddr| {
            lab.in_order(|| {
                let stream = start_connecting(SocketAddr::new(HOST4, from), SocketAddr::new(to, 443));
                lab.wait();
                stream.peer_addr().is_ok()
            })
        };
        assert!(connects(8098, strangers()[0]), "without rules");
        backend.load(&Rules::usual());
        assert!(!connects(6000, strangers()[0]), "a stranger's answer came through");
        assert!(connects(6001, PEER4), "a peer's answer did not come through");
        drop(far);
    }

    /// Over every address that the host has, link-local ones included.
    fn with_oneself(backend) {
        let lab = Lab::new();
        let _server = Server::start(GUARDED);
        backend.load(&Rules::usual());
        let index = nix::net::if_::if_nametoindex("eth1").expect("eth1");
        let link_local: Ipv6Addr = "fe80::ff:fe00:101".parse().expect("an address");
        until_local(link_local);
        let ends = [
            SocketAddr::new(HOST4, GUARDED),
            SocketAddr::new(HOST6, GUARDED),
            SocketAddr::from(([127, 0, 0, 1], GUARDED)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, GUARDED)),
            SocketAddrV6::new(link_local, GUARDED, 0, index).into(),
        ];
        for end in ends {
            let mut from = end;
            from.set_port(0);
            let mut stream = connect_from(from, end).expect("connecting to oneself");
            expect(&mut stream, BANNER);
            echo(&mut stream, b"hello");
        }
        // And not only because nobody was stopped.
        assert!(!lab.knock(lab.stranger(HOST4), SocketAddr::new(HOST4, GUARDED)).delivered());
    }
}
