//! The ways to cut a stream into windows, behind one type.

use std::sync::Arc;

use super::aligned::Aligned;
use super::general::{Kind, OfLayout};
use super::{Cumulative, Sliding, Tumbling};

/// How a stream of `T` is cut into windows: made of [`Tumbling`], [`Sliding`], [`Cumulative`],
/// [`Session`](super::Session), [`CountWindows`](super::CountWindows) and [`GlobalWindow`](super::GlobalWindow) by `into`,
/// which [`KeyedStream::window`](crate::KeyedStream::window) does by itself.
pub struct Windows<T> {
    pub(crate) cut: Cut<T>,
}

/// The ways themselves.
pub(crate) enum Cut<T> {
    /// At the same times for all keys.
    Aligned(Aligned),
    /// By the general operator.
    General(Kind<T>),
}

impl<T: 'static> Cut<T> {
    /// The windows as the general operator takes them.
    pub fn into_kind(self) -> Kind<T> {
        match self {
            Self::Aligned(windows) => Kind::assigned(Arc::new(OfLayout::new(windows))),
            Self::General(kind) => kind,
        }
    }
}

impl<T> From<Aligned> for Windows<T> {
    fn from(windows: Aligned) -> Self {
        Self { cut: Cut::Aligned(windows) }
    }
}

impl<T> From<Tumbling> for Windows<T> {
    fn from(windows: Tumbling) -> Self {
        Aligned::Tumbling(windows).into()
    }
}

impl<T> From<Sliding> for Windows<T> {
    fn from(windows: Sliding) -> Self {
        Aligned::Sliding(windows).into()
    }
}

impl<T> From<Cumulative> for Windows<T> {
    fn from(windows: Cumulative) -> Self {
        Aligned::Cumulative(windows).into()
    }
}
