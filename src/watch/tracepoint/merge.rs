//! The rings of all CPUs in the order of time.

use super::Record;

/// What one CPU has written, in the order of time.
pub(crate) trait Lane {
    /// Looks how far it has come; what it writes later is for the next time.
    fn fetch(&mut self);

    /// When the next record was written; none where all is taken.
    fn next(&self) -> Option<u64>;

    /// Takes the next record; none also where it is of no use.
    fn take(&mut self) -> Option<Record>;

    /// What was taken may be overwritten.
    fn release(&mut self);
}

/// Hands on every record written before `horizon`, in the order of time. A CPU writes what it stamped earlier within the
/// window between `horizon` and now, or it is late: then it comes out of order.
pub(crate) fn merge<L: Lane>(lanes: &mut [L], horizon: u64, mut sink: impl FnMut(&Record)) {
    lanes.iter_mut().for_each(L::fetch);
    loop {
        let (mut first, mut second) = ((u64::MAX, None), u64::MAX);
        for lane in lanes.iter_mut() {
            let Some(t) = lane.next() else { continue };
            if t < first.0 || first.1.is_none() {
                second = first.0;
                first = (t, Some(lane));
            } else if t < second {
                second = t;
            }
        }
        let (t, Some(lane)) = first else { break };
        if t >= horizon {
            break;
        }
        // The earliest goes on until another is earlier.
        let until = second.min(horizon - 1);
        while lane.next().is_some_and(|t| t <= until) {
            if let Some(record) = lane.take() {
                sink(&record);
            }
        }
    }
    lanes.iter_mut().for_each(L::release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::tracepoint::What;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    struct Queue(VecDeque<Record>);

    impl Lane for Queue {
        fn fetch(&mut self) {}
        fn next(&self) -> Option<u64> {
            self.0.front().map(|r| r.t)
        }
        fn take(&mut self) -> Option<Record> {
            self.0.pop_front()
        }
        fn release(&mut self) {}
    }

    proptest! {
        #[test]
        fn records_come_in_the_order_of_time_up_to_the_horizon(
            times in proptest::collection::vec(proptest::collection::vec(0u64..50, 0..30), 0..5),
            horizon in 0u64..60,
        ) {
            let mut lanes: Vec<Queue> = times
                .iter()
                .zip(0..)
                .map(|(lane, cpu)| {
                    let mut lane = lane.clone();
                    lane.sort_unstable();
                    Queue(lane.into_iter().map(|t| Record { t, cpu, tid: 1, what: What::Exit }).collect())
                })
                .collect();
            let mut seen = Vec::new();
            merge(&mut lanes, horizon, |r| seen.push(r.t));
            let mut all: Vec<u64> = times.into_iter().flatten().filter(|&t| t < horizon).collect();
            all.sort_unstable();
            prop_assert_eq!(seen, all);
            prop_assert!(lanes.iter().all(|l| l.next().is_none_or(|t| t >= horizon)));
        }
    }
}
