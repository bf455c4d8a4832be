//! Memory that many share: a bound on the bytes that requests, or answers, hold at a time, whoever is slow to send
//! or to read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Room for so many bytes.
#[derive(Debug)]
pub struct Room {
    most: usize,
    held: AtomicUsize,
}

/// A part of the room, which is given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// Room for `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: AtomicUsize::new(0) })
    }

    /// Bytes that are held at present.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// A share of nothing, to grow.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share { room: self.clone(), bytes: 0 }
    }

    /// A quarter of what is left, so that whoever comes next finds something too; but no more than `most`, and
    /// `least` also where there is no room.
    #[must_use]
    pub fn part(self: &Arc<Self>, least: usize, most: usize) -> Share {
        let mut part = least;
        let _ = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            part = (self.most.saturating_sub(held) / 4).clamp(least, most);
            Some(held + part)
        });
        Share { room: self.clone(), bytes: part }
    }
}

impl Share {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it one of `bytes`, which are more; tells whether there is room for that.
    #[must_use]
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes - self.bytes;
        let grown = |held: usize| held.checked_add(more).filter(|held| *held <= self.room.most);
        if more > 0 && self.room.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_err() {
            return false;
        }
        self.bytes = bytes;
        true
    }

    /// Bytes that take their part of the share along and hold it for as long as anybody has them. They count also
    /// if they are more than the share.
    #[must_use]
    pub fn hold(&mut self, bytes: Vec<u8>) -> Bytes {
        let missing = bytes.len().saturating_sub(self.bytes);
        self.room.held.fetch_add(missing, Ordering::Relaxed);
        self.bytes = self.bytes + missing - bytes.len();
        let share = Self { room: self.room.clone(), bytes: bytes.len() };
        Bytes::from_owner(Held { bytes, _share: share })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_as_far_as_there_is_room() {
        let room = Room::new(100);
        let (mut one, mut other) = (room.share(), room.share());
        assert!(one.grow_to(60) && other.grow_to(40));
        assert!(!other.grow_to(41) && other.bytes() == 40);
        drop(one);
        assert!(other.grow_to(100));
        drop(other);
        assert_eq!(room.held(), 0);
    }

    #[test]
    fn parts_become_smaller_and_never_nothing() {
        let room = Room::new(1_000);
        let parts: Vec<_> = (0..12).map(|_| room.part(50, 200)).collect();
        let bytes: Vec<_> = parts.iter().map(Share::bytes).collect();
        assert_eq!(bytes, [200, 200, 150, 112, 84, 63, 50, 50, 50, 50, 50, 50]);
        assert_eq!(room.held(), bytes.iter().sum::<usize>());
        drop(parts);
        assert_eq!(room.held(), 0);
    }

    #[test]
    fn bytes_count_until_the_last_of_them_is_gone() {
        let room = Room::new(100);
        let mut share = room.part(10, 20);
        let first = share.hold(vec![1; 15]);
        assert_eq!((room.held(), share.bytes()), (20, 5));
        let second = share.hold(vec![2; 9]);
        assert_eq!((room.held(), share.bytes()), (24, 0), "more than the share");
        let piece = first.slice(3..5);
        drop((first, share));
        assert_eq!((room.held(), &piece[..]), (24, &[1, 1][..]));
        drop(piece);
        assert_eq!(room.held(), 9);
        drop(second);
        assert_eq!(room.held(), 0);
    }
}
