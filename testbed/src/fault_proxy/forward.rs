//! One request through the proxy: recorded, met by its fault or sent on, answered.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::{Fault, Seen, Shared, fault, stream};

pub(super) type AnyError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = BoxBody<Bytes, AnyError>;

/// An error closes the connection without an answer.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, AnyError> {
    let user_agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let seen = Seen {
        at: Instant::now(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        user_agent: user_agent.unwrap_or_default().to_owned(),
        status: None,
    };
    let (index, injected) = shared.begin(&seen);
    let fault = injected.as_ref().map(|injected| &injected.fault);
    let response = match fault {
        Some(Fault::Status(code)) => {
            let status = fault::status(*code, "injected by the fault proxy");
            whole(*code, "application/json", status.to_string().into())?
        }
        Some(Fault::PlainStatus(code, text)) => whole(*code, "text/plain; charset=utf-8", text.clone().into())?,
        Some(Fault::WatchError(code)) => {
            let mut line = fault::error_event(*code);
            line.push(b'\n');
            whole(200, "application/json", line.into())?
        }
        Some(Fault::Stale) => {
            let known = injected.as_ref().and_then(|injected| injected.lists.get(&key(&seen)));
            if let Some(body) = known {
                whole(200, "application/json", body.clone())?
            } else {
                // never a fresh answer under the name of a stale one
                let status = fault::status(500, &format!("the fault proxy remembers no answer to {}", key(&seen)));
                whole(500, "application/json", status.to_string().into())?
            }
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Close) => return Err("closed by the fault proxy".into()),
        Some(Fault::Delay(delay)) => {
            tokio::time::sleep(*delay).await;
            forward(&shared, &seen, request, None).await?
        }
        fault @ (None
        | Some(Fault::CutAfterLines(_) | Fault::EndAfterLines(_) | Fault::EditBody(_) | Fault::Lines(_))) => {
            forward(&shared, &seen, request, fault).await?
        }
    };
    shared.answered(index, response.status().as_u16());
    Ok(response)
}

/// Sends the request on, and gives the answer with what the fault makes of it.
async fn forward(
    shared: &Arc<Shared>,
    seen: &Seen,
    mut request: Request<Incoming>,
    fault: Option<&Fault>,
) -> Result<Response<Body>, AnyError> {
    // lines and bodies are looked at, so they must come as text
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(&shared.upstream.to_string())?);
    let tcp = TcpStream::connect(shared.upstream).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::from(shared.upstream.ip());
    let tls = shared.tls.connect(name, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
    // ends with the answer's body, or when the answer is dropped
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let is_list = seen.method == "GET" && parts.status == 200;
    let body: Body = if seen.is_watch() && parts.status == 200 {
        stream::lines(Arc::clone(shared), seen.clone(), body, fault)
    } else if is_list || matches!(fault, Some(Fault::EditBody(_))) {
        let bytes = body.collect().await?.to_bytes();
        if is_list {
            shared.lock().lists.insert(key(seen), bytes.clone());
        }
        let bytes = match fault {
            Some(Fault::EditBody(edit)) => edit(bytes.to_vec()).into(),
            _ => bytes,
        };
        let mut response = Response::from_parts(parts, full(bytes));
        response.headers_mut().remove(header::CONTENT_LENGTH);
        return Ok(response);
    } else {
        body.map_err(Into::into).boxed()
    };
    Ok(Response::from_parts(parts, body))
}

/// Under what a list is remembered.
fn key(seen: &Seen) -> String {
    format!("{}?{}", seen.path, seen.query)
}

fn whole(status: u16, content_type: &str, body: Bytes) -> Result<Response<Body>, AnyError> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
    Ok(response.body(full(body))?)
}

fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}
