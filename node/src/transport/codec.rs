//! Opaque bytes on a stream: four bytes of length, big-endian, then that many bytes, then the end of the stream.
//!
//! The length is judged before anything is read, and memory grows with what arrives and not with what is announced.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response;

/// A request, and how much of an answer its sender will read.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) bytes: Vec<u8>,
    pub(crate) response_bytes_max: usize,
}

/// The codec of the exchange and of the door. libp2p clones it for every stream, so what one request allows of its
/// response is remembered in the clone that carries both.
#[derive(Debug, Clone)]
pub(crate) struct Opaque {
    request_bytes_max: usize,
    response_bytes_max: usize,
}

impl Opaque {
    pub(crate) fn new(request_bytes_max: usize, response_bytes_max: usize) -> Self {
        Self {
            request_bytes_max,
            response_bytes_max,
        }
    }
}

/// More was announced than is allowed. Carried inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{announced} bytes announced, at most {allowed} are read")]
pub(crate) struct TooLarge {
    announced: usize,
    allowed: usize,
}

/// Whether an error of a stream says that a limit of size was passed.
pub(crate) fn is_too_large(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<TooLarge>())
}

impl request_response::Codec for Opaque {
    type Protocol = StreamProtocol;
    type Request = Question;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Question>
    where
        T: AsyncRead + Unpin + Send,
    {
        let bytes = read(io, self.request_bytes_max).await?;
        Ok(Question {
            bytes,
            response_bytes_max: self.response_bytes_max,
        })
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io, self.response_bytes_max).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        question: Question,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.response_bytes_max = self.response_bytes_max.min(question.response_bytes_max);
        write(io, &question.bytes, self.request_bytes_max).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &answer, self.response_bytes_max).await
    }
}

async fn read<T>(io: &mut T, bytes_max: usize) -> io::Result<Vec<u8>>
where
    T: AsyncRead + Unpin + Send,
{
    let mut head = [0; 4];
    io.read_exact(&mut head).await?;
    let announced = u32::from_be_bytes(head);
    within(usize::try_from(announced).unwrap_or(usize::MAX), bytes_max)?;
    let mut bytes = Vec::new();
    let arrived = io
        .take(u64::from(announced))
        .read_to_end(&mut bytes)
        .await?;
    if u32::try_from(arrived).ok() != Some(announced) {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the stream ended before the announced length",
        ));
    }
    if io.read(&mut [0; 1]).await? != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "bytes after the announced length",
        ));
    }
    Ok(bytes)
}

async fn write<T>(io: &mut T, bytes: &[u8], bytes_max: usize) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    within(bytes.len(), bytes_max)?;
    let length =
        u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await
}

fn within(announced: usize, allowed: usize) -> io::Result<()> {
    if announced > allowed {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            TooLarge { announced, allowed },
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    fn read_from(wire: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
        block_on(read(&mut Cursor::new(wire), bytes_max))
    }

    #[test]
    fn what_is_written_is_read() {
        let mut wire = Vec::new();
        block_on(write(&mut wire, b"watch", 5)).unwrap();
        assert_eq!(wire, b"\0\0\0\x05watch");
        assert_eq!(read_from(&wire, 5).unwrap(), b"watch");
    }

    #[test]
    fn attack_31_announced_length_above_the_limit_is_refused_unread() {
        let error = read_from(b"\xff\xff\xff\xff", 1_024).unwrap_err();
        assert!(is_too_large(&error));
        assert!(is_too_large(
            &block_on(write(&mut Vec::new(), b"watch", 4)).unwrap_err()
        ));
    }

    #[test]
    fn a_stream_that_ends_early_or_late_is_refused() {
        assert_eq!(
            read_from(b"\0\0\0\x05wat", 5).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(
            read_from(b"\0\0\0\x05watching", 5).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert_eq!(
            read_from(b"\0\0", 5).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
