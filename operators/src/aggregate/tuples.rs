//! Several aggregates at once over the same records, as a tuple.

use super::Aggregate;

macro_rules! tuple {
    ($($first:ident.$nth:tt)*, $last:ident.$end:tt) => {
        impl<$($first,)* $last> Aggregate for ($($first,)* $last,)
        where
            $last: Aggregate,
            $($first: Aggregate<In = $last::In>,)*
        {
            type In = $last::In;
            type Accumulator = ($($first::Accumulator,)* $last::Accumulator,);
            type Out = ($($first::Out,)* $last::Out,);

            const MERGES: bool = $($first::MERGES &&)* $last::MERGES;

            fn add(&self, accumulator: &mut Self::Accumulator, value: Self::In) {
                $(self.$nth.add_ref(&mut accumulator.$nth, &value);)*
                self.$end.add(&mut accumulator.$end, value);
            }

            fn add_ref(&self, accumulator: &mut Self::Accumulator, value: &Self::In) {
                $(self.$nth.add_ref(&mut accumulator.$nth, value);)*
                self.$end.add_ref(&mut accumulator.$end, value);
            }

            fn merge(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator) {
                $(self.$nth.merge(&mut accumulator.$nth, other.$nth);)*
                self.$end.merge(&mut accumulator.$end, other.$end);
            }

            fn result(&self, accumulator: &Self::Accumulator) -> Self::Out {
                ($(self.$nth.result(&accumulator.$nth),)* self.$end.result(&accumulator.$end),)
            }
        }
    };
}

tuple!(A.0, B.1);
tuple!(A.0 B.1, C.2);
tuple!(A.0 B.1 C.2, D.3);
tuple!(A.0 B.1 C.2 D.3, E.4);
tuple!(A.0 B.1 C.2 D.3 E.4, F.5);
tuple!(A.0 B.1 C.2 D.3 E.4 F.5, G.6);
tuple!(A.0 B.1 C.2 D.3 E.4 F.5 G.6, H.7);
