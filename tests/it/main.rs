//! What holds for the project as a whole.

#[cfg(test)]
mod bad_input;
mod bad_state;
#[cfg(test)]
mod decoders;
#[cfg(test)]
mod facade;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod latency;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod reshard;
#[cfg(test)]
mod simulator;
