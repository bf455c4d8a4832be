//! The watermarks of a stage whose first operator makes them itself.
//!
//! To the stage this is what a source is to its own: watermarks are published as often, and when its input has been
//! quiet for long enough it follows the same operator on other workers, by the board. Of the watermarks
//! that come in only the end of time counts; so timely is told that nothing of its inputs' frontiers reaches
//! its outputs ([`OwnTime::of`] is asked for that when the stage is built).

use std::time::Duration;

use super::source_head::IDLE_CHECK;
use super::stage::Core;
use crate::clock::monotonic_ns;
use crate::graph::{Node, NodeId, Role};
use crate::source::SourceTime;
use crate::time::EventTime;

/// What a stage knows of its input, to say how far event time has come.
pub struct OwnTime {
    node: NodeId,
    /// When it last said what event time it is, in monotonic nanoseconds.
    published_ns: Option<u64>,
    /// A batch was taken since.
    has_news: bool,
    /// Since when the input was found empty at every look, by the clock in microseconds.
    quiet_since_us: Option<i64>,
}

impl OwnTime {
    /// Of the stage of `node`, if its watermarks are its own and it has inputs.
    pub fn of(node: &Node) -> Option<Self> {
        let is_operator = matches!(node.role, Role::Operator(_));
        (is_operator && node.makes_time()).then_some(Self {
            node: node.id,
            published_ns: None,
            has_news: false,
            quiet_since_us: None,
        })
    }

    /// A batch was taken.
    pub fn took_batch(&mut self) {
        self.has_news = true;
        self.quiet_since_us = None;
    }

    /// The stage takes none now: of what has come it knows nothing.
    pub fn looked_away(&mut self) {
        self.quiet_since_us = None;
    }

    /// There was none to be taken.
    pub fn found_none(&mut self, core: &Core) {
        self.quiet_since_us.get_or_insert_with(|| core.env.clock.now_us());
    }

    /// The watermark to be published, if it is time to say one; `input` is that of the inputs. `after_look` if this
    /// turn has found no more batches: before that only what was taken may tell.
    pub fn watermark(&mut self, core: &Core, input: EventTime, after_look: bool) -> Option<EventTime> {
        if core.watermark == EventTime::END {
            return None;
        }
        let time = if input == EventTime::END {
            SourceTime::Active(EventTime::END)
        } else if (after_look || self.has_news) && self.is_due(core) {
            core.tree.event_time(self.quiet_for(core))
        } else {
            return None;
        };
        self.published_ns = Some(monotonic_ns());
        self.has_news = false;
        core.env.board.say(self.node, core.env.worker, time)
    }

    /// Has the stage, which has nothing to do, look again when there may be something to say.
    pub fn rest(&self, core: &mut Core) {
        let interval = Duration::from_millis(core.env.settings.watermark_interval_ms);
        core.wake_after(if self.has_news { interval } else { interval.max(IDLE_CHECK) });
    }

    fn quiet_for(&self, core: &Core) -> Duration {
        let quiet_us = self.quiet_since_us.map_or(0, |since_us| core.env.clock.now_us() - since_us);
        Duration::from_micros(quiet_us.max(0).unsigned_abs())
    }

    fn is_due(&self, core: &Core) -> bool {
        let interval_ns = core.env.settings.watermark_interval_ms.saturating_mul(1_000_000);
        self.published_ns.is_none_or(|published| monotonic_ns().saturating_sub(published) >= interval_ns)
    }
}
