//! The trigger that windows have if they are given no other, and the one that does nothing.

use super::{Decision, Trigger, TriggerContext};

/// Fires as the window ends, whichever clock it goes by, and again at each record that is late and still taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtEnd;

impl<T> Trigger<T> for AtEnd {
    type State = ();
    const MERGES: bool = true;

    #[inline]
    fn on_record(&self, _record: &T, (): &mut (), cx: &mut TriggerContext<'_>) -> Decision {
        Decision::of(cx.has_ended(), false)
    }

    fn on_end(&self, (): &mut (), _cx: &mut TriggerContext<'_>) -> Decision {
        Decision::Fire
    }

    fn on_merge(&self, (): &mut (), (): ()) {}

    fn describe(&self) -> String {
        "at the end".to_owned()
    }
}

/// Fires at nothing: a part of other triggers. A window that has it alone is a mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Never;

impl<T> Trigger<T> for Never {
    type State = ();
    const MERGES: bool = true;

    fn on_record(&self, _record: &T, (): &mut (), _cx: &mut TriggerContext<'_>) -> Decision {
        Decision::Continue
    }

    fn on_merge(&self, (): &mut (), (): ()) {}

    fn fires(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        "never".to_owned()
    }
}
