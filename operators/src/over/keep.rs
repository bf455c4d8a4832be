//! What becomes of a record: a kept value of its own, or a part of its bucket.

use std::sync::Arc;

use pelton_dataflow::error::OpResult;
use pelton_state::{TableValue, codec};

use super::features::{Entries, Features};

/// Takes of a record what is kept.
pub(super) type Taken<T, V> = Arc<dyn Fn(&T) -> V + Send + Sync>;

/// The bucket that is still filling, with the time of its latest record.
pub(super) type Open<E> = Option<Box<(i64, E)>>;

/// Makes entries of records.
pub(super) trait Keep<T>: Send + Sync + 'static {
    type Entry: TableValue;

    /// Takes a record in; the entry that is complete now, if one is.
    fn take(&self, open: &mut Open<Self::Entry>, at_ms: i64, record: &T) -> Option<(i64, Self::Entry)>;

    /// What orders records of equal times.
    fn bytes(&self, record: &T) -> OpResult<Vec<u8>>;
}

/// The bucket that is filling, as entries that follow those that are kept.
pub(super) fn entries<E>(open: &Open<E>) -> &Entries<E> {
    open.as_deref().map_or(&[], std::slice::from_ref)
}

/// Each value is kept.
pub(super) struct Each<T, V>(pub Taken<T, V>);

impl<T: 'static, V: TableValue> Keep<T> for Each<T, V> {
    type Entry = V;

    fn take(&self, _: &mut Open<V>, at_ms: i64, record: &T) -> Option<(i64, V)> {
        Some((at_ms, (self.0)(record)))
    }

    fn bytes(&self, record: &T) -> OpResult<Vec<u8>> {
        Ok(codec::encode(&(self.0)(record))?)
    }
}

/// Partial aggregates are kept, of all values of a bucket of time.
pub(super) struct Buckets<T, V, F> {
    pub taken: Taken<T, V>,
    pub features: F,
    pub bucket_ms: i64,
}

impl<T, V, F> Keep<T> for Buckets<T, V, F>
where
    T: 'static,
    V: TableValue,
    F: Features<V>,
{
    type Entry = F::Partials;

    fn take(&self, open: &mut Open<F::Partials>, at_ms: i64, record: &T) -> Option<(i64, F::Partials)> {
        let bucket = at_ms.div_euclid(self.bucket_ms);
        let complete = open.take_if(|open| open.0.div_euclid(self.bucket_ms) != bucket);
        let (last_ms, partials) = &mut **open.get_or_insert_default();
        *last_ms = at_ms;
        self.features.gather(partials, &(self.taken)(record));
        complete.map(|complete| *complete)
    }

    fn bytes(&self, record: &T) -> OpResult<Vec<u8>> {
        Ok(codec::encode(&(self.taken)(record))?)
    }
}
