//! What becomes of a pair, and of a record without a partner: the kinds of joins.

use pelton_dataflow::record::Data;

/// A kind of join, with what the user makes of its pairs.
pub(crate) trait Pair<A, B>: Send + Sync + 'static {
    type Out: Data;
    /// Whether left records without a partner are given.
    const LEFT: bool;
    /// Whether right records without a partner are given.
    const RIGHT: bool;

    fn both(&self, left: &A, right: &B) -> Self::Out;

    /// What becomes of a left record without a partner.
    fn left(&self, left: &A) -> Option<Self::Out>;

    /// What becomes of a right record without a partner.
    fn right(&self, right: &B) -> Option<Self::Out>;
}

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident($left:ty, $right:ty): $has_left:literal $has_right:literal,
     $f:ident, $l:ident, $r:ident: $both:expr, $alone_left:expr, $alone_right:expr) => {
        $(#[$doc])*
        pub(crate) struct $name<F>(pub F);

        impl<A, B, O: Data, F: Fn($left, $right) -> O + Send + Sync + 'static> Pair<A, B> for $name<F> {
            type Out = O;
            const LEFT: bool = $has_left;
            const RIGHT: bool = $has_right;

            #[inline]
            fn both(&self, $l: &A, $r: &B) -> O {
                let Self($f) = self;
                $both
            }

            #[inline]
            fn left(&self, $l: &A) -> Option<O> {
                let Self($f) = self;
                let _ = ($f, $l);
                $alone_left
            }

            #[inline]
            fn right(&self, $r: &B) -> Option<O> {
                let Self($f) = self;
                let _ = ($f, $r);
                $alone_right
            }
        }
    };
}

kind! {
    /// Pairs alone.
    Inner(&A, &B): false false, f, a, b: f(a, b), None, None
}
kind! {
    /// Pairs, and left records without a partner.
    LeftOuter(&A, Option<&B>): true false, f, a, b: f(a, Some(b)), Some(f(a, None)), None
}
kind! {
    /// Pairs, and right records without a partner.
    RightOuter(Option<&A>, &B): false true, f, a, b: f(Some(a), b), None, Some(f(None, b))
}
kind! {
    /// Pairs, and records of either side without a partner.
    FullOuter(Option<&A>, Option<&B>): true true, f, a, b: f(Some(a), Some(b)), Some(f(Some(a), None)), Some(f(None, Some(b)))
}
