//! A line to a server that can be made bad: replies are lost, cut or late, the server is busy, a condition is overlooked.
//! It speaks as much HTTP/1.1 as the clients of stores do, one request per connection to the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server does what is asked, and the connection breaks before the reply.
    LostReply,
    /// The connection breaks before the server has heard of it.
    LostRequest,
    /// The reply breaks off after so many bytes.
    CutReply(usize),
    /// Nothing comes, and the connection stays.
    Silence,
    /// The server answers with this status and does nothing.
    Status(u16),
    /// The server does not see the condition.
    Unconditional,
}

/// Which requests are hit: of those that begin with `line` (`PUT /bucket/…`) or contain it, so many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) method: &'static str,
    pub(crate) contains: &'static str,
    pub(crate) fault: Fault,
    pub(crate) times: usize,
}

/// The line.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    plan: Option<Plan>,
    lines: Vec<String>,
}

impl Proxy {
    pub(crate) async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, state: Arc::default() };
        let this = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let this = this.clone();
                // A broken connection is what this is for.
                tokio::spawn(async move { this.serve(client, port).await.ok() });
            }
        });
        proxy
    }

    pub(crate) fn plan(&self, plan: Plan) {
        let mut state = self.state.lock();
        state.plan = Some(plan);
        state.lines.clear();
    }

    /// The request lines since the last plan.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.state.lock().lines.clone()
    }

    fn fault(&self, line: &str) -> Option<Fault> {
        let mut state = self.state.lock();
        state.lines.push(line.to_owned());
        let plan = state.plan.as_mut()?;
        let is_hit = plan.times > 0 && line.starts_with(plan.method) && line.contains(plan.contains);
        is_hit.then(|| {
            plan.times -= 1;
            plan.fault
        })
    }

    async fn serve(&self, mut client: TcpStream, port: u16) -> std::io::Result<()> {
        let mut pending = Vec::new();
        loop {
            let Some((head, body)) = read_request(&mut client, &mut pending).await? else { return Ok(()) };
            let line = head.lines().next().unwrap_or_default().to_owned();
            let fault = self.fault(&line);
            match fault {
                Some(Fault::LostRequest) => return Ok(()),
                Some(Fault::Silence) => {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                    return Ok(());
                }
                Some(Fault::Status(status)) => {
                    let reply = format!("HTTP/1.1 {status} as planned\r\nContent-Length: 7\r\n\r\nplanned");
                    client.write_all(reply.as_bytes()).await?;
                    continue;
                }
                _ => {}
            }
            let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
            let is_kept = |line: &&str| {
                let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
                let is_condition = name == "if-none-match" || name == "x-goog-if-generation-match";
                !(name == "connection"
                    || name == "expect"
                    || (is_condition && fault == Some(Fault::Unconditional)))
            };
            let mut request: String =
                head.lines().filter(is_kept).map(|line| format!("{line}\r\n")).collect();
            request.push_str("Connection: close\r\n\r\n");
            server.write_all(request.as_bytes()).await?;
            server.write_all(&body).await?;
            let mut reply = Vec::new();
            server.read_to_end(&mut reply).await?;
            match fault {
                Some(Fault::LostReply) => return Ok(()),
                Some(Fault::CutReply(bytes)) => {
                    let head = reply.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
                    client.write_all(&reply[..reply.len().min(head + bytes)]).await?;
                    return client.shutdown().await;
                }
                // The server has said that it closes the connection, and so it is.
                _ => {
                    client.write_all(&reply).await?;
                    return client.shutdown().await;
                }
            }
        }
    }
}

/// Head and body of the next request; none when the client has closed.
async fn read_request(
    client: &mut TcpStream,
    pending: &mut Vec<u8>,
) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut buffer = vec![0; 64 << 10];
    let head_end = loop {
        if let Some(at) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match client.read(&mut buffer).await? {
            0 => return Ok(None),
            read => pending.extend_from_slice(&buffer[..read]),
        }
    };
    let head = String::from_utf8_lossy(&pending[..head_end]).trim_end().to_owned();
    let header = |name: &str| {
        let lower = head.to_ascii_lowercase();
        lower.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    let length: usize = header("content-length:").map_or(0, |length| length.parse().unwrap());
    while pending.len() < head_end + length {
        match client.read(&mut buffer).await? {
            0 => return Ok(None),
            read => pending.extend_from_slice(&buffer[..read]),
        }
    }
    let body = pending[head_end..head_end + length].to_vec();
    pending.drain(..head_end + length);
    Ok(Some((head, body)))
}
