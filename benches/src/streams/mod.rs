//! `streams`: a Kinesis endpoint, whoever's it is, measured from outside: raw HTTP/1.1 with signatures of our own,
//! so that what is measured is the service and not an SDK.
//!
//! In reading order: [`args`] (the command line), [`endpoint`] and [`client`] (one connection, one call at a time),
//! [`bodies`] and [`answers`] (what is sent, made once; what comes back, looked through once), [`stream`] (the stream
//! that is used), [`put`], [`get`] and [`fanout`] (what is measured), [`places`] (what was acknowledged has to be
//! read back), [`report`].

mod answers;
mod args;
mod bodies;
mod client;
mod endpoint;
mod fanout;
mod get;
mod places;
mod put;
mod report;
mod stream;
#[cfg(test)]
mod tests;

use anyhow::Result;

pub use args::StreamsArgs;
use args::{Common, Measurement};
use report::Report;

use crate::report::print_line;

/// Measures what `args` names, and prints what it came to.
pub fn run(args: &StreamsArgs) -> Result<()> {
    let (report, common) = measure(args)?;
    print_line(&if common.json { report.as_json() } else { report.for_people() });
    Ok(())
}

fn measure(args: &StreamsArgs) -> Result<(Report, &Common)> {
    match &args.measurement {
        Measurement::Put(args) => Ok((put::run(args)?, &args.common)),
        Measurement::Get(args) => Ok((get::run(args)?, &args.common)),
        Measurement::Fanout(args) => Ok((fanout::run(args)?, &args.common)),
    }
}
