//! What is done to this machine so that its own figures move: sockets that are held, datagrams that arrive, that nobody reads,
//! that find nobody. UDP, because hardly anything else on a machine that runs tests uses it.
use crate::real_script::within;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Connections that are held; each is a socket at both ends.
const CONNECTIONS: usize = 120;
/// Sockets that are held and hear nothing.
const SOCKETS: usize = 200;
/// Datagrams of each kind at each step.
const DATAGRAMS: usize = 20;
/// Bytes of a datagram: some twenty fill a socket's queue.
const SIZE: usize = 8_192;

/// What is held, and who sends.
pub struct Machine {
    /// Who takes our connections.
    server: SocketAddr,
    connections: Vec<TcpStream>,
    sockets: Vec<UdpSocket>,
    mouth: UdpSocket,
    /// Reads all that it gets.
    ear: UdpSocket,
    /// Never reads.
    deaf: Option<UdpSocket>,
    /// Where nobody listens.
    nobody: SocketAddr,
}

impl Machine {
    pub fn new(server: SocketAddr) -> Machine {
        let (mouth, ear) = (socket(), socket());
        ear.set_nonblocking(true).expect("a socket can be read without waiting");
        let nobody = address(&socket());
        Machine { server, connections: Vec::new(), sockets: Vec::new(), mouth, ear, deaf: None, nobody }
    }

    /// One step `at` a time of the script.
    pub fn play(&mut self, at: Duration) {
        hold(within(at, 8, 24), &mut self.sockets, SOCKETS, || Some(socket()));
        hold(within(at, 30, 44), &mut self.connections, CONNECTIONS, || TcpStream::connect(self.server).ok());
        if within(at, 12, 26) {
            let deaf = address(self.deaf.get_or_insert_with(socket));
            self.send(deaf);
        } else {
            self.deaf = None;
        }
        if within(at, 16, 32) {
            self.send(address(&self.ear));
            let mut buffer = [0; SIZE];
            while self.ear.recv(&mut buffer).is_ok() {}
        }
        if within(at, 28, 42) {
            self.send(self.nobody);
        }
    }

    fn send(&self, to: SocketAddr) {
        // A datagram that is lost is what some of them are for.
        (0..DATAGRAMS).for_each(|_| drop(self.mouth.send_to(&[0; SIZE], to)));
    }
}

/// Opens `count` while `wanted`, and closes them afterwards.
fn hold<T>(wanted: bool, held: &mut Vec<T>, count: usize, open: impl Fn() -> Option<T>) {
    match (wanted, held.is_empty()) {
        (true, true) => *held = (0..count).map_while(|_| open()).collect(),
        (false, false) => held.clear(),
        _ => {}
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").expect("a free port")
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("it is bound")
}
