//! `union`: one stream from several of the same type.
//!
//! Records of one input keep their order; between inputs there is none. The watermark is the least
//! of the inputs'.

use std::panic::Location;

use pelton_dataflow::graph::{PortRef, Role};
use pelton_dataflow::record::Data;

use crate::stream::{Add, Stream};

impl<T: Data> Stream<T> {
    /// The records of this stream and of `others`.
    ///
    /// ```
    /// # use pelton_operators::testing::run_stateless;
    /// let mut both = run_stateless([1u64, 2, 3, 4], |numbers| {
    ///     let (odd, even) = (numbers.filter(|n| n % 2 == 1), numbers.filter(|n| n % 2 == 0));
    ///     odd.union([even.map(|n| n * 10)])
    /// });
    /// both.sort();
    /// assert_eq!(both, [1, 3, 20, 40]);
    /// ```
    #[track_caller]
    pub fn union(&self, others: impl IntoIterator<Item = Self>) -> Self {
        let mut add = Add::stateless::<T>("union", self.port, Location::caller());
        others.into_iter().for_each(|other| add.also_takes(&self.graph, &other));
        let node = self.graph.add(add.into_node(Role::Union));
        Self::new(self.graph.clone(), PortRef { node, port: 0 })
    }
}
