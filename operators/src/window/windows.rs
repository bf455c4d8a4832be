//! The ways to cut a stream into windows, behind one type.

use std::marker::PhantomData;

use super::Tumbling;

/// How a stream of `T` is cut into windows: made of [`Tumbling`] by `into`, which
/// [`KeyedStream::window`](crate::KeyedStream::window) does by itself.
pub struct Windows<T> {
    pub(crate) cut: Cut,
    record: PhantomData<fn(&T)>,
}

/// The ways themselves.
pub(crate) enum Cut {
    Tumbling(Tumbling),
}

impl<T> From<Tumbling> for Windows<T> {
    fn from(windows: Tumbling) -> Self {
        Self { cut: Cut::Tumbling(windows), record: PhantomData }
    }
}
