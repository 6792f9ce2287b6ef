//! One GET over plain HTTP, for the operator's admin server and etcd's health.

use std::{net::SocketAddr, time::Duration};

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::{Context, Result};

const WITHIN: Duration = Duration::from_secs(5);

/// Status and body of `GET http://address/path`.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, String)> {
    let what = format!("failed to GET http://{address}{path}");
    tokio::time::timeout(WITHIN, exchange(address, path)).await.context(what.clone())?.context(what)
}

async fn exchange(
    address: SocketAddr,
    path: &str,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        result = &mut exchange => result,
        // the connection is driven here; once it is done, what it brought is still to be read
        _ = connection => exchange.await,
    }
}
