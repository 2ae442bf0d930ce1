//! The table: what was measured, its spread, its target, whether it was met.

use crate::hop;

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// For the record.
    None,
}

/// Pairs that a row needs where the lock goes from processor to processor: their distance changes the rate by a quarter.
const LEAST: usize = 15;

/// The rows so far.
pub struct Rows {
    /// How many pairs, or runs, a row has.
    pub pairs: usize,
    lines: Vec<String>,
}

impl Rows {
    pub fn new(pairs: usize) -> Self {
        Self { pairs: pairs.max(1), lines: Vec::new() }
    }

    /// The median of ratios of what `pair` gives, as many as there are pairs. It runs its second side first: the
    /// first one is compared with the second one before and after it, for machines grow faster and slower.
    pub fn ratio(&mut self, what: &str, target: Target, mut pair: impl FnMut() -> (f64, f64)) {
        let mut all: Vec<(f64, f64)> = (0..self.pairs).map(|_| pair()).collect();
        all.push((f64::NAN, pair().1));
        self.figure(what, target, "", &mut ratios(&all));
    }

    /// The same where the lock goes from processor to processor all the time; then apart what was measured while they were
    /// near each other and while they were far apart, where they were both.
    pub fn ratio_by_distance(&mut self, what: &str, target: Target, mut pair: impl FnMut() -> (f64, f64)) {
        let mut hops = vec![hop::ns()];
        let mut all: Vec<(f64, f64)> = (0..self.pairs.max(LEAST))
            .map(|_| {
                let both = pair();
                hops.push(hop::ns());
                both
            })
            .collect();
        all.push((f64::NAN, pair().1));
        hops.push(hop::ns());
        let mut ratios = ratios(&all);
        let mut hops: Vec<f64> = hops.into_iter().flatten().collect();
        // A pair lies between two looks at the distance, and is compared with a third side.
        let apart = hops.windows(3).zip(&ratios);
        let of = |near: bool| {
            let all_so = |hops: &[f64]| hops.iter().all(|ns| (*ns <= hop::NEAR) == near);
            apart.clone().filter(|(hops, _)| all_so(hops)).map(|(_, ratio)| *ratio).collect::<Vec<f64>>()
        };
        let (mut near, mut far) = (of(true), of(false));
        self.figure(what, target, "", &mut ratios);
        if !near.is_empty() && near.len() < ratios.len() {
            self.figure(&format!("- the {} of these with near processors", near.len()), Target::None, "", &mut near);
        }
        if !far.is_empty() {
            self.figure(&format!("- the {} of these with far ones", far.len()), Target::None, "", &mut far);
        }
        if !hops.is_empty() {
            self.figure("- a cache line from one processor to the other", Target::None, "ns", &mut hops);
        }
    }

    /// The median of what was measured several times.
    pub fn figure(&mut self, what: &str, target: Target, unit: &str, values: &mut [f64]) {
        let (low, middle, high) = spread(values);
        let (target, met) = match target {
            Target::AtLeast(least) => (format!("≥ {least}"), Some(middle >= least)),
            Target::AtMost(most) => (format!("≤ {most}"), Some(middle <= most)),
            Target::None => ("-".into(), None),
        };
        let met = met.map_or("-", |met| if met { "met" } else { "**missed**" });
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let range = if values.len() > 1 { format!("{} - {}", plain(low), plain(high)) } else { "-".into() };
        self.line(format!("| {what} | {}{unit} | {range} | {target} | {met} |", plain(middle)));
    }

    /// A row that could not be measured, and why.
    pub fn skipped(&mut self, what: &str, why: &str) {
        self.line(format!("| {what} | skipped: {why} | - | - | - |"));
    }

    fn line(&mut self, line: String) {
        // So that whoever waits sees that it goes on.
        eprintln!("{line}");
        self.lines.push(line);
    }

    pub fn print(&self) {
        println!("\n| what | median of {} or more | lowest - highest | target | |\n|---|---|---|---|---|", self.pairs);
        self.lines.iter().for_each(|line| println!("{line}"));
    }
}

/// Each first side to the mean of the second sides before and after it.
fn ratios(pairs: &[(f64, f64)]) -> Vec<f64> {
    pairs.windows(2).map(|pair| pair[0].0 / ((pair[0].1 + pair[1].1) / 2.0)).collect()
}

fn plain(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// Lowest, median, highest.
fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
