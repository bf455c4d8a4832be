//! Bodies of requests as they come in: each of a length at most, and all that are there at a time within a bound,
//! so that clients who send large ones, and slowly, use up no memory that others need.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;

use crate::room::{Room, Share};

/// The largest body of a request: 10 MiB of records in base64, with keys and names of members.
const MOST_BODY_BYTES: usize = 20 << 20;
/// What of each body counts against nothing: what asks for little is served also when there is no room for more.
const FREE_BYTES: usize = 8 << 10;
/// What is taken at once for a body that says that it is long: its bytes may never come.
const FIRST_BYTES: usize = 1 << 20;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBody {
    /// It is longer than any may be.
    TooLarge,
    /// Others take up all that there is for bodies.
    NoRoom,
    /// It broke off.
    Broken,
}

/// A body, for as long as it counts.
#[derive(Debug)]
pub struct Taken {
    /// Its bytes.
    pub bytes: Bytes,
    _share: Share,
}

/// Takes a body in.
///
/// # Errors
/// If it is too large, there is no room, or it has no end.
pub async fn take<B>(room: &Arc<Room>, mut body: B) -> Result<Taken, NoBody>
where
    B: Body<Data = Bytes> + Unpin,
{
    // A length that is told beforehand is the least that is to come.
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if told > MOST_BODY_BYTES {
        return Err(NoBody::TooLarge);
    }
    let mut share = room.share();
    let (mut first, mut whole) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| NoBody::Broken)?.into_data() else { continue };
        let before = first.len() + whole.len();
        let len = before + piece.len();
        if len > MOST_BODY_BYTES {
            return Err(NoBody::TooLarge);
        }
        if !share.grow_to(len.saturating_sub(FREE_BYTES)) {
            return Err(NoBody::NoRoom);
        }
        if before == 0 {
            // Most bodies are one piece, and stay where they are.
            first = piece;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(told.clamp(len, len.max(FIRST_BYTES)));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&piece);
    }
    let bytes = if whole.is_empty() { first } else { whole.into() };
    Ok(Taken { bytes, _share: share })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use hyper::body::{Frame, SizeHint};

    use super::*;

    /// A body of pieces that are there, told or not how long it is.
    struct Pieces(VecDeque<Bytes>, Option<u64>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }

        fn size_hint(&self) -> SizeHint {
            self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    fn pieces(lens: &[usize], told: bool) -> Pieces {
        let mut next = 0_u8;
        let piece = |len: &usize| {
            next += 1;
            Bytes::from(vec![next; *len])
        };
        let told = told.then(|| lens.iter().sum::<usize>() as u64);
        Pieces(lens.iter().map(piece).collect(), told)
    }

    fn taken(room: &Arc<Room>, body: Pieces) -> Result<Taken, NoBody> {
        let mut taking = std::pin::pin!(take(room, body));
        match taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => taken,
            Poll::Pending => panic!("all pieces are there"),
        }
    }

    #[test]
    fn pieces_come_together() {
        let room = Room::new(10 << 20);
        for told in [true, false] {
            for lens in [&[][..], &[3], &[3, 5], &[0, 0, 4], &[1, 0, 2, 70_000], &[2 << 20, 1, 1 << 20]] {
                let expected = Vec::from(pieces(lens, told).0).concat();
                assert_eq!(taken(&room, pieces(lens, told)).unwrap().bytes, expected, "{lens:?}");
            }
        }
        assert_eq!(room.held(), 0);
    }

    #[test]
    fn what_is_too_long_is_refused_whether_it_says_so_or_not() {
        let room = Room::new(usize::MAX);
        for told in [true, false] {
            assert!(taken(&room, pieces(&[MOST_BODY_BYTES], told)).is_ok());
            let refused = taken(&room, pieces(&[MOST_BODY_BYTES - 1, 2], told)).unwrap_err();
            assert_eq!(refused, NoBody::TooLarge);
        }
        assert_eq!(room.held(), 0);
    }

    #[test]
    fn bodies_share_the_room_and_give_it_back() {
        let room = Room::new(10_000);
        let first = taken(&room, pieces(&[FREE_BYTES, 6_000], true)).unwrap();
        assert_eq!(room.held(), 6_000);
        let refused = taken(&room, pieces(&[FREE_BYTES, 4_000, 1], true)).unwrap_err();
        assert_eq!((refused, room.held()), (NoBody::NoRoom, 6_000));
        let second = taken(&room, pieces(&[FREE_BYTES, 4_000], false)).unwrap();
        assert!(taken(&room, pieces(&[FREE_BYTES], true)).is_ok(), "what is small finds room always");
        drop(first);
        assert!(taken(&room, pieces(&[FREE_BYTES + 6_000], true)).is_ok());
        drop(second);
        assert_eq!(room.held(), 0);
    }
}
