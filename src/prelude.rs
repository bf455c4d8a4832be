//! What most jobs use.

pub use pelton_connectors::{Files, Generator, LogAddress, ShardLog, Stdout};
pub use pelton_dataflow::error::{OpError, OpResult};
pub use pelton_dataflow::key::Key;
pub use pelton_dataflow::record::{Data, Record};
pub use pelton_dataflow::source::Rejected;
pub use pelton_dataflow::time::EventTime;
pub use pelton_operators::{
    Aggregate, Context, Declare, Job, KeyedProcess, KeyedStream, NoSide, Process, ProcessContext, Stream, Tumbling,
    Watermarks, WindowResult,
};
pub use pelton_state::{ListTable, MapTable, State, StateMut};
