//! A directory of merchants: what one would ask a service for, by the number of the merchant.
//!
//! The service is as simple as can be, and a real one all the same: it listens on a socket, takes a line with a
//! number, and answers with a line of JSON: [`Merchant`], or `null` if it does not know him. What it knows is made up, a
//! pure function of the number.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use pelton::prelude::OpResult;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use super::payment::MerchantId;

/// The longest line that either side takes.
const LONGEST_LINE: u64 = 1_000;

/// How much fraud there is with a merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Less than usual.
    Low,
    /// As usual.
    Medium,
    /// More than usual.
    High,
}

/// What the directory knows of a merchant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Merchant {
    /// What he sells.
    pub trade: String,
    /// How much fraud there is with him.
    pub risk: Risk,
}

impl Merchant {
    /// What is listed under a number; one in ten is missing.
    #[must_use]
    pub fn listed(id: MerchantId) -> Option<Self> {
        let (trade, risk) = match id.0 % 10 {
            0..4 => ("groceries", Risk::Low),
            4..6 => ("travel", Risk::Medium),
            6..8 => ("restaurant", Risk::Low),
            8 => ("electronics", Risk::High),
            _ => return None,
        };
        Some(Self { trade: trade.to_owned(), risk })
    }
}

/// A client of the directory.
#[derive(Debug)]
pub struct Merchants {
    address: SocketAddr,
}

impl Merchants {
    /// The directory at `address`, or else one that this process serves from now on. It takes the runtime of tokio that
    /// it is called in.
    ///
    /// # Errors
    /// There is no place to listen at.
    pub fn open(address: Option<SocketAddr>) -> OpResult<Self> {
        if let Some(address) = address {
            return Ok(Self { address });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(listener));
        Ok(Self { address })
    }

    /// What is listed of a merchant.
    ///
    /// # Errors
    /// The directory does not answer, or what it says is not understood.
    pub async fn ask(&self, id: MerchantId) -> OpResult<Option<Merchant>> {
        let mut directory = BufStream::new(TcpStream::connect(self.address).await?);
        directory.write_all(format!("{}\n", id.0).as_bytes()).await?;
        directory.flush().await?;
        let mut line = String::new();
        directory.take(LONGEST_LINE).read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Serves the directory at `listener`, as long as the runtime runs.
///
/// # Errors
/// It can no longer be listened to.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        // A client that breaks off is its own affair.
        tokio::spawn(answer(client));
    }
}

async fn answer(client: TcpStream) -> OpResult {
    let mut client = BufStream::new(client);
    let mut line = String::new();
    while (&mut client).take(LONGEST_LINE).read_line(&mut line).await? > 0 {
        let listed = Merchant::listed(MerchantId(line.trim().parse()?));
        client.write_all(format!("{}\n", serde_json::to_string(&listed)?).as_bytes()).await?;
        client.flush().await?;
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_listed_can_be_asked_for() {
        let merchants = Merchants::open(None).unwrap();
        for id in (0..20).map(MerchantId) {
            assert_eq!(merchants.ask(id).await.unwrap(), Merchant::listed(id));
        }
    }

    #[tokio::test]
    async fn a_directory_that_hangs_up_is_an_error() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let merchants = Merchants::open(Some(listener.local_addr().unwrap())).unwrap();
        let hangs_up = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(merchants.ask(MerchantId(1)).await.is_err());
        hangs_up.join().unwrap();
        assert!(merchants.ask(MerchantId(1)).await.is_err(), "nobody listens any more");
    }
}
