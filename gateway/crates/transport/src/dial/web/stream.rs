//! The bytes inside a WebSocket that this side has opened.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::web::{CONTROL_MAX, End, FrameDecoder};

/// A WebSocket, as the stream of bytes that its binary messages hold: one message a write, masked with a key of its own.
///
/// Pings are answered when something is read. The server's close frame reads as the end of the stream, and is answered; what
/// breaks the protocol reads as `InvalidData`. One task is to read and to write it.
#[derive(Debug)]
pub(in crate::dial) struct WebClient<S> {
    inner: S,
    decoder: FrameDecoder,
    /// Bytes of the WebSocket that came with the answer to its request.
    early: Vec<u8>,
    /// Frames that have not been taken.
    out: Vec<u8>,
    taken: usize,
    /// Our close frame is among what was given out: nothing may follow it.
    closing: bool,
}

/// Bytes of one message at most.
const MESSAGE_MAX: usize = 64 << 10;

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PONG: u8 = 0x8A;
const MASKED: u8 = 0x80;

/// Nothing is wrong, and the purpose is fulfilled.
const NORMAL: u16 = 1000;

impl<S: AsyncRead + AsyncWrite + Unpin> WebClient<S> {
    pub(super) fn new(inner: S, early: Vec<u8>) -> Self {
        let decoder = FrameDecoder::of_server();
        Self { inner, decoder, early, out: Vec::new(), taken: 0, closing: false }
    }

    /// Writes what waits.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.taken..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.taken += written,
            }
        }
        self.out.clear();
        self.taken = 0;
        Poll::Ready(Ok(()))
    }

    /// Adds a frame to what waits.
    fn frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        // Who knows the key beforehand could make others on the way read a payload as something else (RFC 6455, section 10.3).
        let key = random::<4>()?;
        self.out.push(kind);
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short @ 0..126), _) => self.out.push(MASKED | short),
            (_, Ok(middle)) => {
                self.out.push(MASKED | 126);
                self.out.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                self.out.push(MASKED | 127);
                let long = u64::try_from(payload.len()).unwrap_or(u64::MAX);
                self.out.extend_from_slice(&long.to_be_bytes());
            }
        }
        self.out.extend_from_slice(&key);
        self.out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        Ok(())
    }

    /// What the server sends that is no payload; the latest ping is answered, unless more waits already than a server that
    /// reads would leave.
    fn answer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(ping) = self.decoder.take_ping()
            && !self.closing
            && self.out.len() < MESSAGE_MAX
        {
            self.frame(PONG, ping.get(..CONTROL_MAX).unwrap_or(&ping))?;
        }
        if let Some(end) = self.decoder.end()
            && !self.closing
        {
            let code = match end {
                End::Closed(code) => code,
                End::Fault(fault) => Some(fault.code()),
            };
            self.closing = true;
            let code = code.map(u16::to_be_bytes);
            self.frame(CLOSE, code.as_ref().map_or(&[], |bytes| bytes.as_slice()))?;
        }
        // What is not taken now goes out with the next write.
        if let Poll::Ready(Ok(())) = self.poll_out(cx) {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
        Ok(())
    }

    /// Puts more bytes of the WebSocket behind those of `buf`; none at its end.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let count = self.early.len().min(buf.remaining());
        let first: Vec<u8> = self.early.drain(..count).collect();
        buf.put_slice(&first);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebClient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match this.decoder.end() {
                Some(End::Closed(_)) => return Poll::Ready(Ok(())),
                Some(End::Fault(fault)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
                None => {}
            }
            let before = buf.filled().len();
            ready!(this.poll_more(cx, buf))?;
            let arrived = buf.filled_mut().get_mut(before..).unwrap_or_default();
            if arrived.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let kept = this.decoder.decode(arrived);
            buf.set_filled(before + kept);
            this.answer(cx)?;
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebClient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        if this.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let payload = buf.get(..MESSAGE_MAX).unwrap_or(buf);
        if payload.is_empty() {
            return Poll::Ready(Ok(0));
        }
        this.frame(BINARY, payload)?;
        // It is taken over; what does not leave now leaves with a flush or the next write.
        match this.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(payload.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    /// Says goodbye, and closes what is below.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            this.closing = true;
            this.frame(CLOSE, &NORMAL.to_be_bytes())?;
        }
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let failed = |_| io::Error::other("the system gives no random numbers");
    SystemRandom::new().fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn masked(frame: &[u8], head: usize) -> Vec<u8> {
        let (key, payload) = frame[head..].split_at(4);
        payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }

    #[tokio::test]
    async fn what_is_written_is_masked_with_ever_new_keys() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut web = WebClient::new(near, Vec::new());
        for payload in [&b"hello"[..], &[7; 126], &[7; 125], &[9; 65_535], &[9; 65_536]] {
            web.write_all(payload).await.unwrap();
            web.flush().await.unwrap();
            let head = match payload.len() {
                ..126 => 2,
                126..65_536 => 4,
                _ => 10,
            };
            let mut frame = vec![0; head + 4 + payload.len()];
            far.read_exact(&mut frame).await.unwrap();
            assert_eq!((frame[0], frame[1] & MASKED), (BINARY, MASKED));
            assert_eq!(masked(&frame, head), payload);
        }
    }

    #[tokio::test]
    async fn fragments_pings_and_what_came_early_are_read_and_a_close_is_answered() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let mut web = WebClient::new(near, vec![0x02, 2, b'a', b'b', 0x89, 1]);
        far.write_all(&[b'!', 0x80, 1, b'c', 0x88, 2, 0x03, 0xE8]).await.unwrap();
        let mut all = Vec::new();
        web.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"abc");
        let mut pong = [0; 7];
        far.read_exact(&mut pong).await.unwrap();
        assert_eq!((pong[0], pong[1], masked(&pong, 2)), (PONG, MASKED | 1, vec![b'!']));
        let mut close = [0; 8];
        far.read_exact(&mut close).await.unwrap();
        assert_eq!((close[0], masked(&close, 2)), (CLOSE, vec![0x03, 0xE8]));
        assert!(web.write_all(b"more").await.is_err());
    }

    #[tokio::test]
    async fn a_masked_frame_of_a_server_is_an_error() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let mut web = WebClient::new(near, Vec::new());
        far.write_all(&[0x82, 0x81, 0, 0, 0, 0, b'a']).await.unwrap();
        let error = web.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
