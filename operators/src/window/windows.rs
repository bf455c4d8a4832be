//! The ways to cut a stream into windows, behind one type.

use std::marker::PhantomData;

use super::aligned::Aligned;
use super::{Cumulative, Sliding, Tumbling};

/// How a stream of `T` is cut into windows: made of [`Tumbling`], [`Sliding`] or [`Cumulative`] by `into`, which
/// [`KeyedStream::window`](crate::KeyedStream::window) does by itself.
pub struct Windows<T> {
    pub(crate) cut: Cut,
    record: PhantomData<fn(&T)>,
}

/// The ways themselves.
pub(crate) enum Cut {
    /// At the same times for all keys.
    Aligned(Aligned),
}

impl<T> From<Aligned> for Windows<T> {
    fn from(windows: Aligned) -> Self {
        Self { cut: Cut::Aligned(windows), record: PhantomData }
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
