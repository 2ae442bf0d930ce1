//! The next step, where it is a key press: a finding names what is to be done, a face by which key.

/// What can be done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To resume the holder.
    Resume,
    /// To kill the holder.
    Kill,
    /// To look at one in detail.
    Detail,
}

/// The key of a face that does a step; none where it has none, as a report.
pub type Keys<'a> = &'a dyn Fn(Step) -> Option<String>;
